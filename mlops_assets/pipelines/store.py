"""The store of declared pipelines: the one truth of what is declared, in which versions, and what is deployed.

Every function works in its caller's transaction. A change counts the pipeline's revision up, and fails if somebody else
changed it since it was read; whoever listens on `CHANNEL` hears of it when it is committed. Add a change here. Keep out
lists (`store_queries`) and what Dagster loads (`store_deployed`).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer

from mlops_assets.pipelines.ids import NAME, uuid_of
from mlops_assets.pipelines.spec import PipelineSpec, digest
from mlops_assets.pipelines.store_deployed import Deployed, deployed, mark_loaded, specs
from mlops_assets.pipelines.store_queries import Asked, Head, head_of, listed
from mlops_assets.storage.pipeline_tables import Pipeline, PipelineVersion

__all__ = [
    "CHANNEL", "Asked", "ChangedError", "ConflictError", "Deployed", "Head", "NameTakenError", "StoreError",
    "UnknownPipelineError", "add_version", "by_id", "create", "delete", "deploy", "deployed", "find", "head_of",
    "listed", "mark_loaded", "set_active", "spec_of", "specs", "version_of", "versions",
]  # fmt: skip

CHANNEL = "mlops_pipelines"
NAME_INDEX = "pipeline_live_name_idx"
SHOWN = 80
# What an UPDATE gives back goes into the row that is read already.
_AS_WRITTEN = {"populate_existing": True, "synchronize_session": False}
# Versions in a session's notes.
_HELD = "mlops.versions"


class StoreError(ValueError):
    """What was asked of the store isn't possible; the message says why."""


class UnknownPipelineError(StoreError):
    """There is no such pipeline, or no such version of it."""


class NameTakenError(StoreError):
    """Another pipeline has this name."""


class ChangedError(StoreError):
    """The pipeline was changed since it was read; `revision` is the present one."""

    def __init__(self, name: str, revision: int) -> None:
        super().__init__(f"pipeline {name!r} is at revision {revision} now and was changed since you read it")
        self.revision = revision


class ConflictError(StoreError):
    """The pipeline's state doesn't allow it."""


def create(session: Session, spec: PipelineSpec, by: str, *, deploy: bool) -> Pipeline:
    """A new pipeline with its first version. NameTakenError: also when another creation of the name was quicker."""
    new = insert(Pipeline).values(id=uuid4(), name=spec.name, revision=1, version=1, active=spec.active, created_by=by)
    free = new.on_conflict_do_nothing(index_elements=["name"], index_where=text("deleted_at IS NULL"))
    made = session.scalars(free.returning(Pipeline)).one_or_none()
    if made is None:
        raise NameTakenError(f"there is a pipeline {spec.name!r} already")
    _keep(session, made.id, 1, spec, by)
    if deploy:
        running = update(Pipeline).where(Pipeline.id == made.id).returning(Pipeline).execution_options(**_AS_WRITTEN)
        session.scalars(running.values(deployed_version=1, deployed_at=Pipeline.created_at)).one()
    _tell(session)
    return made


def find(session: Session, name_or_id: str, *, lock: bool = False) -> Pipeline:
    """The pipeline of this id or name. With `lock` nobody else changes it until the transaction ends.

    UnknownPipelineError: there is none, or it is deleted.
    """
    by = Pipeline.name == name_or_id if NAME.fullmatch(name_or_id) else None
    if (known := uuid_of(name_or_id)) is not None:
        by = Pipeline.id == known
    asked = select(Pipeline).where(Pipeline.deleted_at.is_(None)).execution_options(populate_existing=True)
    found = None
    if by is not None:
        found = session.scalar((asked.with_for_update() if lock else asked).where(by))
    if found is None:
        raise UnknownPipelineError(f"there is no pipeline {name_or_id[:SHOWN]!r}")
    return found


def by_id(session: Session, pipeline_id: UUID) -> Pipeline | None:
    """The pipeline of this id, also a deleted one."""
    return session.get(Pipeline, pipeline_id)


def add_version(session: Session, pipeline: Pipeline, spec: PipelineSpec, by: str, *, deploy: bool) -> Pipeline:
    """The pipeline with this spec as its newest version; if the newest is the same already, that one is kept.

    A pause stays, unless the spec's own `active` is another one than before.

    NameTakenError, ChangedError; ConflictError: a new name for a deployed pipeline whose new version isn't deployed.
    """
    _require_revision(session, pipeline)
    newest = _version(session, pipeline.id, pipeline.version)
    sha256 = digest(spec)
    number, changes = pipeline.version, dict[str, Any]()
    if sha256 != newest.digest:
        if spec.name != pipeline.name and pipeline.deployed_version is not None and not deploy:
            raise ConflictError(f"a deployed pipeline is renamed by deploying: {pipeline.name!r} runs under its name")
        number += 1
        changes = {"version": number, "name": spec.name}
        if spec.active != newest.spec["active"]:
            changes["active"] = spec.active
        _keep(session, pipeline.id, number, spec, by)
    if deploy and pipeline.deployed_version != number:
        changes |= {"deployed_version": number, "deployed_at": func.clock_timestamp()}
    if changes:
        _change(session, pipeline, **changes)
    return pipeline


def deploy(session: Session, pipeline: Pipeline, version: int | None = None) -> None:
    """Make runs start with this version, the newest without one.

    UnknownPipelineError: there is no such version. ConflictError: it has another name than the pipeline has now.
    """
    number = pipeline.version if version is None else version
    name = _version(session, pipeline.id, number).spec["name"]
    if name != pipeline.name:
        raise ConflictError(
            f"version {number} has the name {name!r}; put its spec as a new version with the name {pipeline.name!r}"
        )
    if number != pipeline.deployed_version:
        _change(session, pipeline, deployed_version=number, deployed_at=func.clock_timestamp())


def set_active(session: Session, pipeline: Pipeline, active: bool) -> None:
    """Let the schedule run, or not."""
    if pipeline.active != active:
        _change(session, pipeline, active=active)


def delete(session: Session, pipeline: Pipeline) -> None:
    """Take the pipeline away. Its name is free again; versions, runs and what those left stay."""
    _change(session, pipeline, deleted_at=func.clock_timestamp())


def version_of(session: Session, pipeline_id: UUID, version: int) -> PipelineVersion | None:
    """One version, read once in a session."""
    found = session.get(PipelineVersion, (pipeline_id, version))
    if found is not None:
        _hold(session, found)
    return found


def versions(session: Session, pipeline_id: UUID) -> list[PipelineVersion]:
    """Every version, newest first, without their specs."""
    asked = select(PipelineVersion).options(defer(PipelineVersion.spec, raiseload=True))
    found = asked.where(PipelineVersion.pipeline_id == pipeline_id).order_by(PipelineVersion.version.desc())
    return list(session.scalars(found))


def spec_of(row: PipelineVersion) -> PipelineSpec:
    """The spec of a version."""
    return PipelineSpec.model_validate(row.spec)


def _version(session: Session, pipeline_id: UUID, number: int) -> PipelineVersion:
    found = version_of(session, pipeline_id, number)
    if found is None:
        raise UnknownPipelineError(f"the pipeline has no version {number}")
    return found


def _keep(session: Session, pipeline_id: UUID, number: int, spec: PipelineSpec, by: str) -> None:
    made = PipelineVersion(
        pipeline_id=pipeline_id,
        version=number,
        spec=spec.model_dump(mode="json"),
        digest=digest(spec),
        created_by=by,
    )
    session.add(made)
    session.flush()
    _hold(session, made)


def _hold(session: Session, version: PipelineVersion) -> None:
    """Let the session find the version again without reading it: it forgets what nobody holds."""
    session.info.setdefault(_HELD, []).append(version)


def _require_revision(session: Session, pipeline: Pipeline) -> None:
    """Return if nobody changed it since it was read, and let nobody until the transaction ends. ChangedError."""
    present = session.execute(
        select(Pipeline.revision, Pipeline.deleted_at).where(Pipeline.id == pipeline.id).with_for_update()
    ).one_or_none()
    if present is None or present.deleted_at is not None:
        raise UnknownPipelineError(f"pipeline {pipeline.name!r} was deleted")
    if present.revision != pipeline.revision:
        raise ChangedError(pipeline.name, present.revision)


def _change(session: Session, pipeline: Pipeline, **values: Any) -> None:
    name, read_at = values.get("name", pipeline.name), pipeline.revision
    asked = (
        update(Pipeline)
        .where(Pipeline.id == pipeline.id, Pipeline.revision == read_at, Pipeline.deleted_at.is_(None))
        .values(revision=read_at + 1, updated_at=func.clock_timestamp(), **values)
        .returning(Pipeline)
        .execution_options(**_AS_WRITTEN)
    )
    try:
        with session.begin_nested():
            changed = session.scalars(asked).one_or_none()
    except IntegrityError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) != NAME_INDEX:
            raise
        raise NameTakenError(f"there is a pipeline {name!r} already") from None
    if changed is None:
        _require_revision(session, pipeline)
        raise ChangedError(pipeline.name, read_at)
    _tell(session)


def _tell(session: Session) -> None:
    session.execute(select(func.pg_notify(CHANNEL, "")))
