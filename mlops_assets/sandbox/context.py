"""What a stage's function gets as `context`: parameters, config, a logger, the artifact writer, facts of the run.

Add here what stages of users may rely on; every public name is a promise. Standard library only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlops_assets.sandbox import values
from mlops_assets.sandbox.channel import Channel, write_all
from mlops_assets.sandbox.order import ARTIFACT_TYPES

LOG_MARK = b"\x1e"
NAME_LENGTH, METADATA_LENGTH = 255, 64_000


class Context:
    """`parameters`, `config`, `stage`, `logger`, `artifact`; facts such as `run_id`, `pipeline`, `attempt`, `trigger`.

    A fact that this run hasn't raises AttributeError.
    """

    def __init__(self, order: Mapping[str, Any], channel: Channel, own_module: str) -> None:
        self.parameters: Mapping[str, Any] = MappingProxyType(order["parameters"])
        self.config: Mapping[str, Any] = MappingProxyType(order["config"])
        self.logger = logging.getLogger("stage")
        self.stage: str = order["stage"]
        self._facts = order["facts"]
        self._folder = f"{order['folder']}/artifacts"
        self._channel, self._own_module = channel, own_module
        self._written = 0

    def __getattr__(self, name: str) -> Any:
        facts = self.__dict__.get("_facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(f"context has no {name!r}; facts of this run: {', '.join(sorted(facts))}")

    def artifact(self, name: str, data: Any, type: str = "OTHER", metadata: Mapping[str, Any] | None = None) -> None:
        """Keep something of this run beside its result: a table, an array, JSON, text, bytes, any object, or a file.

        A `pathlib.Path` is a file to copy; its content is kept. `type` is one of MODEL DATASET METRICS PLOT LOG CONFIG
        REPORT OTHER. Raises ValueError for an unknown type, an empty or overlong name, metadata that isn't JSON;
        UnstorableError (a TypeError) for data that can't be stored.
        """
        if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH:
            raise ValueError(f"artifact: the name must be text of 1 to {NAME_LENGTH} characters")
        if type not in ARTIFACT_TYPES:
            raise ValueError(f"artifact {name!r}: type {type!r} is none of {', '.join(ARTIFACT_TYPES)}")
        try:
            facts = json.loads(json.dumps(dict(metadata or {}), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(f"artifact {name!r}: metadata must be JSON: {error}") from error
        if len(json.dumps(facts)) > METADATA_LENGTH:
            raise ValueError(f"artifact {name!r}: metadata is longer than {METADATA_LENGTH} characters of JSON")
        self._written += 1
        stem = f"{self._written:06d}"
        if isinstance(data, Path):
            stored = values.copied(data, self._folder, stem)
        else:
            stored = values.dump(data, self._folder, stem, self._own_module, text=True)
        self._channel.tell("artifact", name=name, type=type, metadata=facts, value=stored)


class LogHandler(logging.Handler):
    """Writes records to the log with their level, as marked lines of JSON among what is printed."""

    def __init__(self, descriptor: int, flush: Callable[[], None]) -> None:
        super().__init__()
        self._descriptor, self._flush = descriptor, flush

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record after all that was printed before it."""
        try:
            line = json.dumps([record.levelname, self.format(record)]).encode()
            self._flush()
            write_all(self._descriptor, LOG_MARK + line + b"\n")
        except Exception:  # noqa: BLE001 a log line never fails a stage
            self.handleError(record)
