"""Pipelines as lists show them: what is asked for, in two statements however many there are.

Add a filter or an order here. Keep out changes (`store`) and how things are shown. Of a version's spec only its head
leaves the database: the sources of a page of pipelines can be megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from mlops_assets.storage.pipeline_tables import Pipeline, PipelineVersion

Sort = Literal["name", "-name", "created_at", "-created_at", "updated_at", "-updated_at"]
_TOLD = ("title", "description", "owner", "schedule", "timezone")
_COLUMNS = {"name": Pipeline.name, "created_at": Pipeline.created_at, "updated_at": Pipeline.updated_at}


@dataclass(frozen=True)
class Asked:
    """Which pipelines are wanted, None or empty: all. `tags` are names with the value that is wanted, if any."""

    limit: int = 50
    offset: int = 0
    sort: Sort = "name"
    q: str | None = None
    active: bool | None = None
    deployed: bool | None = None
    tags: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class Head:
    """What of a pipeline's specs is shown beside it: of the newest version, and when the deployed one runs."""

    title: str | None
    description: str
    owner: str | None
    schedule: str | None
    timezone: str
    tags: Mapping[str, str]
    stage_count: int
    deployed_schedule: str | None
    deployed_timezone: str | None


def listed(session: Session, asked: Asked) -> tuple[list[tuple[Pipeline, Head]], int]:
    """The page that is asked for, and how many fit in all."""
    newest = _version_alias("newest")
    fitting = _filtered(select(Pipeline.id), newest, asked)
    total = session.scalar(select(func.count()).select_from(fitting.subquery())) or 0
    column = _COLUMNS[asked.sort.removeprefix("-")]
    order = (column.desc(), Pipeline.id.desc()) if asked.sort.startswith("-") else (column, Pipeline.id)
    # The page first: only its own specs are unpacked.
    page = fitting.order_by(*order).limit(asked.limit).offset(asked.offset).subquery()
    rows = session.execute(_with_heads().where(Pipeline.id.in_(select(page.c.id))).order_by(*order))
    return [(row[0], Head(*row[1:])) for row in rows], total


def head_of(session: Session, pipeline: Pipeline) -> Head:
    """The head of one pipeline; of the versions that it tells of, only those are read that the session doesn't hold."""
    newest = session.get_one(PipelineVersion, (pipeline.id, pipeline.version))
    deployed = None
    if pipeline.deployed_version is not None:
        deployed = session.get_one(PipelineVersion, (pipeline.id, pipeline.deployed_version))
    return Head(
        **{name: newest.spec[name] for name in (*_TOLD, "tags")},
        stage_count=len(newest.spec["stages"]),
        deployed_schedule=deployed.spec["schedule"] if deployed is not None else None,
        deployed_timezone=deployed.spec["timezone"] if deployed is not None else None,
    )


def _version_alias(name: str) -> type[PipelineVersion]:
    return aliased(PipelineVersion, name=name)


def _filtered(asking: Select[Any], newest: type[PipelineVersion], asked: Asked) -> Select[Any]:
    found = asking.where(Pipeline.deleted_at.is_(None))
    if asked.active is not None:
        found = found.where(Pipeline.active == asked.active)
    if asked.deployed is not None:
        found = found.where(Pipeline.deployed_version.is_not(None) == asked.deployed)
    if asked.q or asked.tags:
        found = found.join(newest, _is_newest(newest))
    if asked.q:
        title = newest.spec["title"].astext
        found = found.where(
            or_(Pipeline.name.icontains(asked.q, autoescape=True), title.icontains(asked.q, autoescape=True))
        )
    for tag, value in asked.tags:
        tags = newest.spec["tags"]
        found = found.where(tags[tag].astext.is_not(None) if value is None else tags[tag].astext == value)
    return found


def _is_newest(version: type[PipelineVersion]) -> ColumnElement[bool]:
    return and_(version.pipeline_id == Pipeline.id, version.version == Pipeline.version)


def _with_heads() -> Select[Any]:
    """Pipelines, each with the fields of its `Head`."""
    newest, deployed = _version_alias("newest"), _version_alias("deployed")
    spec = newest.spec
    is_deployed = and_(deployed.pipeline_id == Pipeline.id, deployed.version == Pipeline.deployed_version)
    return (
        select(
            Pipeline,
            *(spec[name].astext for name in _TOLD),
            spec["tags"],
            func.json_array_length(spec["stages"]),
            *(deployed.spec[name].astext for name in ("schedule", "timezone")),
        )
        .join(newest, _is_newest(newest))
        .outerjoin(deployed, is_deployed)
    )
