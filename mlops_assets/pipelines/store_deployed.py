"""What of the declared pipelines Dagster is to load, and what it has loaded.

Add here what the code location reads or tells. Keep out changes by people (`store`): nothing here counts a revision up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select, text, tuple_
from sqlalchemy.orm import Session

from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.storage.pipeline_tables import Pipeline, PipelineVersion

LONGEST_ERROR = 4000


@dataclass(frozen=True)
class Deployed:
    """A deployed version. `name` is its spec's name too: of a deployed pipeline they are always the same."""

    id: UUID
    name: str
    version: int
    active: bool


def deployed(session: Session) -> list[Deployed]:
    """What is deployed and not deleted, by name."""
    asked = select(Pipeline.id, Pipeline.name, Pipeline.deployed_version, Pipeline.active)
    found = asked.where(Pipeline.deployed_version.is_not(None), Pipeline.deleted_at.is_(None))
    rows = session.execute(found.order_by(Pipeline.name))
    return [Deployed(id, name, version, active) for id, name, version, active in rows if version is not None]


def specs(session: Session, wanted: Collection[tuple[UUID, int]]) -> dict[tuple[UUID, int], PipelineSpec]:
    """The specs of these versions, without those that aren't there or can't be read any more."""
    key = PipelineVersion.pipeline_id, PipelineVersion.version
    rows = session.execute(select(*key, PipelineVersion.spec).where(tuple_(*key).in_(list(wanted)))) if wanted else ()
    found = {}
    for pipeline_id, version, stored in rows:
        try:
            found[pipeline_id, version] = PipelineSpec.model_validate(stored)
        except ValidationError:
            continue  # the caller sees that it is missing
    return found


def mark_loaded(session: Session, loaded: Collection[Deployed], errors: Mapping[UUID, str]) -> None:
    """Note what Dagster shows: of `loaded` these versions, of pipelines with an error what it showed before.

    Of all others it shows nothing. Only rows that differ are written, and no revision changes.
    """
    session.execute(
        _MARK,
        {
            "ids": [str(one.id) for one in loaded],
            "versions": [one.version for one in loaded],
            "actives": [one.active for one in loaded],
            "failed": [str(pipeline_id) for pipeline_id in errors],
            "errors": [_storable(error) for error in errors.values()],
        },
    )


_MARK = text(
    """
    UPDATE mlops.pipeline AS pipeline
    SET loaded_version = now.version, loaded_active = now.active, load_error = now.error
    FROM (
        SELECT
            pipeline.id,
            CASE WHEN failed.id IS NULL THEN shown.version ELSE pipeline.loaded_version END AS version,
            CASE WHEN failed.id IS NULL THEN shown.active ELSE pipeline.loaded_active END AS active,
            failed.error
        FROM mlops.pipeline
        LEFT JOIN unnest(CAST(:ids AS uuid[]), CAST(:versions AS int[]), CAST(:actives AS boolean[]))
            AS shown (id, version, active) ON shown.id = pipeline.id
        LEFT JOIN unnest(CAST(:failed AS uuid[]), CAST(:errors AS text[])) AS failed (id, error)
            ON failed.id = pipeline.id
    ) AS now
    WHERE now.id = pipeline.id
        AND (pipeline.loaded_version, pipeline.loaded_active, pipeline.load_error)
            IS DISTINCT FROM (now.version, now.active, now.error)
    """
)


def _storable(words: str) -> str:
    return words[:LONGEST_ERROR].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
