"""Reads of the database behind a trace, each by a key: the answer, its feedback, its release, who served then.

Add a read here when `facts` has a fact more. Keep out files (`files`), and what is made of rows that aren't there
(`tracer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text

from mlops_assets.drift import store
from mlops_assets.observability.trace.facts import (
    Answer,
    DataFacts,
    Decided,
    DriftOfDay,
    FeedbackGiven,
    KeptIn,
    ReleaseFacts,
    Role,
    Standing,
)
from mlops_assets.rollout.ledger import Ledger, State
from mlops_assets.rollout.ledger_rows import newest_state, state_of
from mlops_assets.rollout.phases import MEANING
from mlops_assets.storage.database import Database, DatasetVersion, LedgerEntry, Release

MOST_FEEDBACK = 100

# The id begins with its time and the log is cut into days by it: one day is looked at, by its primary key.
_ANSWER = text(
    "SELECT id, product, at, variant, version, assigned, rollout, step, latency_ms, request_id, trace_id, sample, "
    "user_hash, features, output FROM mlops.prediction WHERE id = :id"
)
_FEEDBACK = text(
    "SELECT type, value, text, at FROM mlops.feedback WHERE prediction_id = :id ORDER BY at DESC, id DESC LIMIT :most"
)
_EXPORTED = text("SELECT 1 FROM mlops.log_export WHERE product = :product AND hour = :hour")


def products(database: Database) -> list[str]:
    """Every product that ever had a release."""
    with database.session() as session:
        return list(session.scalars(select(Release.product).distinct().order_by(Release.product)))


def answer(database: Database, identifier: UUID) -> Answer | None:
    """The logged answer."""
    with database.session() as session:
        row = session.execute(_ANSWER, {"id": identifier}).mappings().one_or_none()
    return None if row is None else answer_of({str(name): value for name, value in row.items()}, KeptIn.DATABASE)


def answer_of(row: Mapping[str, Any], kept_in: KeptIn) -> Answer:
    """A row of the log, from wherever it is kept."""
    return Answer(**{**row, "id": str(row["id"]), "at": row["at"].astimezone(UTC), "kept_in": kept_in})


def feedback(database: Database, identifier: UUID) -> tuple[FeedbackGiven, ...]:
    """The newest feedback on an answer, oldest first."""
    with database.session() as session:
        rows = session.execute(_FEEDBACK, {"id": identifier, "most": MOST_FEEDBACK}).all()
    return tuple(FeedbackGiven(kind, value, told, at.astimezone(UTC)) for kind, value, told, at in reversed(rows))


def exported(database: Database, product: str, hour: datetime) -> bool:
    """Whether an hour of the log was written to files."""
    with database.session() as session:
        return session.execute(_EXPORTED, {"product": product, "hour": hour}).first() is not None


def release(database: Database, product: str, version: int) -> tuple[ReleaseFacts | None, DataFacts | None]:
    """A published release, and the data version it was trained on; None for what isn't there."""
    with database.session() as session:
        found = session.get(Release, (product, version))
        if found is None or found.manifest is None:
            return None, None
        dataset = session.get(DatasetVersion, (product, found.dataset_version))
    labels = Ledger(database).labels(product).get(version, [])
    return _release_of(found, found.manifest, labels), _data_of(found.manifest, found.dataset_version, dataset)


def _release_of(found: Release, manifest: Mapping[str, Any], labels: list[str]) -> ReleaseFacts:
    runs, files = manifest.get("runs") or {}, manifest.get("files") or {}
    return ReleaseFacts(
        version=found.version,
        labels=tuple(labels),
        published_at=found.created_at.astimezone(UTC),
        model_version=_text(manifest.get("mlflow_version")),
        model_sha256=_text((files.get("model.onnx") or {}).get("sha256")),
        bento=_text(manifest.get("bento")),
        mlflow_run_id=_text(runs.get("mlflow")),
        dagster_run_id=_text(runs.get("dagster")),
        code_version=_text(manifest.get("code_version")),
        trained_until=_text(manifest.get("trained_until")),
        metrics={str(name): float(value) for name, value in (manifest.get("metrics") or {}).items()},
        archived_at=found.archived_at and found.archived_at.astimezone(UTC),
    )


def _data_of(manifest: Mapping[str, Any], version: int, kept: DatasetVersion | None) -> DataFacts | None:
    """What the release says of its data: that was written with the model. Where it came from, the table knows."""
    told = manifest.get("dataset") or {}
    if kept is None and not told.get("sha256"):
        return None
    return DataFacts(
        version=int(told.get("version", version)),
        sha256=str(told.get("sha256") or (kept.sha256 if kept is not None else "")),
        rows=int(told.get("rows", kept.rows if kept is not None else 0)),
        source=kept.source if kept is not None else None,
        sample=bool(told.get("sample", kept.sample if kept is not None else False)),
        stored_at=kept.created_at.astimezone(UTC) if kept is not None else None,
    )


def standing(database: Database, product: str, version: int, at: datetime) -> Standing | None:
    """Who served when an answer of release `version` was given; None before the first decision."""
    with database.session() as session:
        mine = select(LedgerEntry).where(LedgerEntry.product == product)
        newest = mine.where(LedgerEntry.created_at <= at).order_by(LedgerEntry.seq.desc()).limit(1)
        entry = session.scalar(newest)
        if entry is None:
            return None
        state = state_of(entry)
        role = role_of(state, version)
        column = {Role.PRODUCTION: LedgerEntry.production, Role.CANDIDATE: LedgerEntry.candidate}.get(role)
        came_by = None
        if column is not None:
            until = (LedgerEntry.product == product) & (LedgerEntry.seq <= entry.seq)
            other = select(func.max(LedgerEntry.seq)).where(until, column.is_distinct_from(version))
            since = until & (LedgerEntry.seq > func.coalesce(other.scalar_subquery(), 0))
            came_by = session.scalar(select(LedgerEntry).where(since).order_by(LedgerEntry.seq).limit(1))
        now = role_of(newest_state(session, product), version)
    return Standing(
        phase=str(state.phase),
        meaning=MEANING[state.phase],
        production=state.production,
        candidate=state.candidate,
        candidate_share=state.candidate_share,
        rollout=state.rollout,
        step=state.step,
        paused=state.paused,
        drift_block=state.drift_block,
        decision=_decided(entry),
        role=role,
        came_by=_decided(came_by) if came_by is not None else None,
        role_now=now,
    )


def role_of(state: State, version: int) -> Role:
    """What a release is for its product in a state."""
    if version == state.production:
        return Role.PRODUCTION
    if version == state.candidate:
        return Role.CANDIDATE
    return Role.PREVIOUS if version == state.previous else Role.NONE


def drift(database: Database, product: str, day: date) -> DriftOfDay | None:
    """The verdict on a day."""
    found = store.one(database, product, day)
    if found is None:
        return None
    verdict = found.verdict
    return DriftOfDay(
        day=verdict.day,
        status=str(verdict.status),
        strength=verdict.strength,
        drifted=verdict.drifted,
        release=verdict.release,
        candidate_release=found.candidate_release,
        candidate_status=None if found.candidate_status is None else str(found.candidate_status),
        reasons=verdict.reasons,
        has_report=found.report_uri is not None,
    )


def _decided(entry: LedgerEntry) -> Decided:
    return Decided(entry.seq, entry.event, entry.actor, entry.reason, entry.created_at.astimezone(UTC))


def _text(value: Any) -> str | None:
    return str(value) if value else None
