"""How an asset's result reaches the next one: a small record travels, the bytes stay in storage.

An asset returns a frozen pydantic record (`training/records.py`) that names files by place and hash. Each run writes
its own, so two runs at once never read each other's half. Keep out the files themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import BaseModel

from mlops_assets.storage.files import MissingFileError, Storage


class ReferenceIOManager(dg.IOManager):
    """Keeps the record of each asset and run as JSON under `references/<asset key>/<run id>.json`."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the record of this run. Only pydantic records are accepted."""
        if obj is None:
            return
        if not isinstance(obj, BaseModel):
            raise TypeError(f"{context.asset_key.to_user_string()} returned {type(obj).__name__}, not a record")
        self._folder(context.asset_key).write_json(f"{context.run_id}.json", obj.model_dump(mode="json"))

    def load_input(self, context: dg.InputContext) -> Any:
        """The upstream record of this run, else of the runs that it repeats, else the newest."""
        folder = self._folder(context.asset_key)
        record_type = context.dagster_type.typing_type
        for run_id in self._runs(context):
            try:
                return record_type.model_validate(folder.read_json(f"{run_id}.json"))
            except MissingFileError:
                continue
        raise dg.Failure(f"{context.asset_key.to_user_string()} hasn't been materialized yet; materialize it first")

    def _runs(self, context: dg.InputContext) -> Iterator[str]:
        run: dg.DagsterRun | None = context.step_context.dagster_run
        while run is not None:
            yield run.run_id
            run = context.instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
        newest = context.instance.get_latest_materialization_event(context.asset_key)
        if newest is not None:
            yield newest.run_id

    def _folder(self, key: dg.AssetKey) -> Storage:
        return self.storage.at("references", *key.path)
