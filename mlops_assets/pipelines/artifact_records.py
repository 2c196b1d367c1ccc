"""Reads of the artifacts' rows: one, those that fit, how many and how large.

Add a filter or an order here. Keep out writing (`artifacts`, `retention`) and files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, func, select

from mlops_assets.pipelines.ids import uuid_of
from mlops_assets.pipelines.stage_types import ArtifactType
from mlops_assets.storage.pipeline_tables import Artifact, Pipeline

if TYPE_CHECKING:
    from mlops_assets.storage.database import Database

Sort = Literal["-created_at", "created_at", "-size", "size", "name", "-name"]
_COLUMNS = {"created_at": Artifact.created_at, "size": Artifact.size, "name": Artifact.name}


@dataclass(frozen=True)
class Asked:
    """Which artifacts. `pipeline` is an id or the name of a pipeline that isn't deleted; `text` part of a name."""

    pipeline: str | None = None
    run_id: str | None = None
    stage: str | None = None
    type: str | None = None
    storage: str | None = None
    is_result: bool | None = None
    text: str | None = None
    sort: Sort = "-created_at"
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True)
class Found:
    """An artifact and the name of its pipeline."""

    artifact: Artifact
    pipeline: str


@dataclass(frozen=True)
class Counts:
    """Artifacts whose file is there: how many, their bytes, how many of each type."""

    total: int
    bytes: int
    by_type: Mapping[ArtifactType, int]


def listed(database: Database, asked: Asked) -> tuple[list[Found], int]:
    """The artifacts of one page, and how many fit in all."""
    conditions = _conditions(asked)
    page = _with_pipelines().where(*conditions).order_by(*_order(asked.sort)).limit(asked.limit).offset(asked.offset)
    total = select(func.count()).select_from(Artifact).where(*conditions)
    with database.session() as session:
        return [Found(*row) for row in session.execute(page)], session.scalar(total) or 0


def one(database: Database, artifact_id: str) -> Found | None:
    """The artifact with this id; None also for what is no id."""
    known = uuid_of(artifact_id)
    if known is None:
        return None
    with database.session() as session:
        row = session.execute(_with_pipelines().where(Artifact.id == known)).one_or_none()
    return None if row is None else Found(*row)


def of_runs(database: Database, run_ids: Collection[str]) -> dict[tuple[str, str], list[UUID]]:
    """The ids of the artifacts of runs, by run and stage, oldest first."""
    query = select(Artifact.run_id, Artifact.stage, Artifact.id).where(Artifact.run_id.in_(run_ids))
    found: dict[tuple[str, str], list[UUID]] = {}
    with database.session() as session:
        for run_id, stage, artifact_id in session.execute(query.order_by(Artifact.created_at, Artifact.id)):
            found.setdefault((run_id, stage), []).append(artifact_id)
    return found


def counts(database: Database) -> Counts:
    """All artifacts whose file is there."""
    query = (
        select(Artifact.type, func.count(), func.sum(Artifact.size))
        .where(Artifact.uri.is_not(None))
        .group_by(Artifact.type)
        .order_by(Artifact.type)
    )
    with database.session() as session:
        rows = session.execute(query).all()
    return Counts(
        total=sum(count for _, count, _ in rows),
        bytes=sum(int(size) for _, _, size in rows),
        by_type={ArtifactType(kind): count for kind, count, _ in rows},
    )


def _with_pipelines() -> Any:
    return select(Artifact, Pipeline.name).join(Pipeline, Pipeline.id == Artifact.pipeline_id)


def _conditions(asked: Asked) -> list[ColumnElement[bool]]:
    exact: dict[Any, Any] = {
        Artifact.run_id: asked.run_id,
        Artifact.stage: asked.stage,
        Artifact.type: asked.type,
        Artifact.storage: asked.storage,
        Artifact.is_result: asked.is_result,
    }
    conditions = [column == value for column, value in exact.items() if value is not None]
    if asked.pipeline is not None:
        known = uuid_of(asked.pipeline)
        named = select(Pipeline.id).where(Pipeline.name == asked.pipeline, Pipeline.deleted_at.is_(None))
        conditions.append(Artifact.pipeline_id == known if known else Artifact.pipeline_id.in_(named))
    if asked.text:
        conditions.append(Artifact.name.icontains(asked.text, autoescape=True))
    return conditions


def _order(sort: Sort) -> list[Any]:
    column = _COLUMNS[sort.removeprefix("-")]
    # The id last, so that pages don't overlap where many are equal.
    return [column.desc(), Artifact.id.desc()] if sort.startswith("-") else [column, Artifact.id]
