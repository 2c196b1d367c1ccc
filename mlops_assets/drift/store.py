"""The kept verdicts on days, table `mlops.drift_verdict`: one row a product and day.

Add here how a verdict is kept or asked for. Keep out what follows from verdicts (`effects`, `retraining`), how they
come about (`judge`) and the files of full reports.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from mlops_assets.drift.facts import Status, Verdict
from mlops_assets.storage.database import NOW, Database, DriftVerdict

# What says something of a day; the other statuses neither block nor lift anything.
JUDGED = (Status.OK, Status.DRIFTED)


@dataclass(frozen=True)
class Stored:
    """A kept verdict. `candidate_*` tell of the same day beside the reference of the candidate of that time.

    `report_uri` is None if no full report was made, or it was removed since.
    """

    verdict: Verdict
    candidate_release: int | None
    candidate_status: Status | None
    report_uri: str | None
    run_id: str | None
    computed_at: datetime


@dataclass(frozen=True)
class Judged:
    """What a decision needs of a kept verdict: `drifted` are columns, the strongest first."""

    day: date
    release: int
    status: Status
    strength: float
    drifted: tuple[str, ...]
    candidate_release: int | None = None
    candidate_status: Status | None = None


def save(
    database: Database,
    verdict: Verdict,
    *,
    candidate: Verdict | None = None,
    report_uri: str | None = None,
    run_id: str | None = None,
) -> None:
    """Keep a day's verdict in place of an earlier one; `candidate` is that beside the candidate's reference.

    Raises:
        ValueError: `candidate` is of another product or day, or a figure isn't a finite number.
    """
    if candidate is not None and (candidate.product, candidate.day) != (verdict.product, verdict.day):
        told = f"{candidate.product} {candidate.day}"
        raise ValueError(f"candidate: its verdict is of {told}, the other of {verdict.product} {verdict.day}")
    key = {"product": verdict.product, "day": verdict.day}
    row: dict[str, Any] = {
        "release": verdict.release,
        "status": str(verdict.status),
        "strength": float(verdict.strength),
        "drifted": list(verdict.drifted),
        "verdict": _plain(verdict.to_json(), f"{verdict.product} {verdict.day}"),
        "candidate_release": candidate.release if candidate is not None else None,
        "candidate_status": str(candidate.status) if candidate is not None else None,
        "report_uri": report_uri,
        "run_id": run_id,
    }
    statement = insert(DriftVerdict).values(**key, **row)
    with database.session() as session, session.begin():
        session.execute(statement.on_conflict_do_update(index_elements=list(key), set_={**row, "computed_at": NOW}))


def one(database: Database, product: str, day: date) -> Stored | None:
    """The verdict on one day."""
    with database.session() as session:
        row = session.get(DriftVerdict, (product, day))
    return None if row is None else _stored(row)


def days(database: Database, product: str, first: date, last: date) -> list[Stored]:
    """The verdicts on the days from `first` to `last`, both included, oldest first."""
    between = DriftVerdict.day.between(first, last)
    found = select(DriftVerdict).where(DriftVerdict.product == product, between).order_by(DriftVerdict.day)
    with database.session() as session:
        return [_stored(row) for row in session.scalars(found)]


def judged(database: Database, product: str, count: int) -> list[Judged]:
    """The newest `count` days that are ok or drifted, newest first."""
    table = DriftVerdict
    columns = (table.day, table.release, table.status, table.strength, table.drifted)
    found = (
        select(*columns, table.candidate_release, table.candidate_status)
        .where(table.product == product, table.status.in_([str(status) for status in JUDGED]))
        .order_by(table.day.desc())
        .limit(count)
    )
    with database.session() as session:
        return [
            Judged(day, release, Status(status), strength, tuple(drifted), candidate, _status(beside))
            for day, release, status, strength, drifted, candidate, beside in session.execute(found)
        ]


def forget_reports(database: Database, product: str, keep: int) -> Iterator[date]:
    """The days whose full report goes, oldest first: those with one beyond the newest `keep` that have one.

    Remove the report of each day as it comes: the row forgets it when the next one is asked for, so that a kill in
    between leaves a row that this finds again. Figures stay.
    """
    with_report = (DriftVerdict.product == product) & DriftVerdict.report_uri.is_not(None)
    with database.session() as session:
        newest_first = select(DriftVerdict.day, DriftVerdict.report_uri).where(with_report)
        beyond = session.execute(newest_first.order_by(DriftVerdict.day.desc()).offset(keep)).all()
    for day, uri in reversed(beyond):
        yield day
        same = with_report & (DriftVerdict.day == day) & (DriftVerdict.report_uri == uri)
        with database.session() as session, session.begin():
            session.execute(update(DriftVerdict).where(same).values(report_uri=None))


def _stored(row: DriftVerdict) -> Stored:
    return Stored(
        verdict=Verdict.from_json(row.verdict),
        candidate_release=row.candidate_release,
        candidate_status=_status(row.candidate_status),
        report_uri=row.report_uri,
        run_id=row.run_id,
        computed_at=row.computed_at,
    )


def _status(kept: str | None) -> Status | None:
    return None if kept is None else Status(kept)


def _plain(value: Any, where: str) -> Any:
    """The value as PostgreSQL's JSON takes it: no NUL in a text; ValueError, with the place, for NaN and infinity."""
    if isinstance(value, dict):
        return {_plain(name, where): _plain(inner, f"{where}, {name}") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{where}, {number}") for number, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"the verdict holds {value} where a number belongs: {where}")
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
