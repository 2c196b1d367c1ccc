"""GET /api/drift_report: the newest stored verdict on live data, for everybody, with aggregates alone.

Add a figure here when who uses the service should see it. Keep out how a day is judged and every write: a verdict is
a row that the platform wrote. Nothing that one person sent may come out: sentences are made here from figures, a
value is named only if the training data is full of it, and figures of a handful of rows are left out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from inference.drift_sentences import column_reasons, day_reasons
from inference.openapi import Problem
from inference.postgres import DatabaseError, Reader
from inference.settings import ServingSettings

# Less than the time that a request may take, so that a slow database is told and not timed out.
LIMIT_SECONDS = 1.5
# A verdict is made once a day: however many ask, the database is asked once a second at most.
FRESH_SECONDS = 1.0
MOST_DAYS = 30
# A mean or a share of fewer values tells of single people.
LEAST_VALUES = 10

NO_REPORT = "No day was compared yet. The first verdict comes after the first full UTC day with requests."

Found = TypeVar("Found")
Day = Annotated[date | None, Query(description="A UTC day; without it, the newest one that was compared")]

_VERDICT = """
SELECT day, release, status, drifted, verdict, computed_at FROM mlops.drift_verdict
WHERE product = %(product)s AND (%(day)s::date IS NULL OR day = %(day)s::date) ORDER BY day DESC LIMIT 1
"""
_DAYS = """
SELECT day, count(*) OVER () FROM mlops.drift_verdict WHERE product = %(product)s ORDER BY day DESC LIMIT %(limit)s
"""
_COLUMNS = ("day", "release", "status", "drifted", "verdict", "computed_at")

log = logging.getLogger(__name__)


class DataPoints(BaseModel):
    """Rows that were compared: of the data that the release was trained on, and of the day."""

    reference: int = 0
    current: int = 0


class Missing(BaseModel):
    """Shares of the rows, 0 to 1; null where there are too few rows to tell without telling of people."""

    reference: float | None
    current: float | None


class Indicator(BaseModel):
    """One column. Means are null for a category.

    `drift_percentage` is the change of the mean in percent of the reference's; for a category 100 times the total
    variation distance. `effect` is the `distance`, `limit` the least effect that counts. `missing`, `unseen`
    (categories that the reference lacks) and `out_of_range` are shares of the rows.
    """

    reference_mean: float | None
    current_mean: float | None
    drift_percentage: float | None
    significant_drift: bool
    kind: Literal["number", "category"]
    role: Literal["feature", "prediction", "error"]
    status: str
    p_value: float | None
    effect: float | None
    limit: float
    distance: str
    missing: Missing
    unseen: float | None
    out_of_range: float | None
    reasons: list[str]


class DriftReport(BaseModel):
    """One UTC day of live data beside what the production model was trained on.

    `drifted` names columns, the strongest change first. `age_seconds`: how long ago this was read; it grows while
    the database doesn't answer, and then this is the last that was known.
    """

    status: Literal["ok", "drifted", "insufficient", "no_reference", "no_report"]
    day: date | None = None
    release: int | None = None
    computed_at: datetime | None = None
    overall_drift_detected: bool = False
    drifted: list[str] = []
    reasons: list[str]
    data_points: DataPoints = DataPoints()
    drift_indicators: dict[str, Indicator] = {}
    report_url: Annotated[str | None, Field(description="The page of that day, for operators")] = None
    age_seconds: float = 0.0


@dataclass(frozen=True)
class Told:
    """What the database said, and when (monotonic seconds); `row` None: there is no verdict."""

    row: Mapping[str, Any] | None
    at: float

    @property
    def age(self) -> float:
        """Seconds since it was read."""
        return time.monotonic() - self.at


class VerdictStore:
    """One product's verdicts. For one thread: whoever waits for it finds the answer to the question before."""

    def __init__(self, url: str | None, product: str, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._url = url
        self._product = product
        self._limit = limit_seconds
        self._last: Told | None = None
        self._failed_at: float | None = None

    def newest(self) -> Told:
        """The newest verdict; the last one that was read while the database is down. Raises DatabaseError."""
        if self._last is not None and self._last.age < FRESH_SECONDS:
            return self._last
        try:
            self._last = self._read(None)
        except DatabaseError as error:
            if self._last is None:
                raise
            log.warning("drift verdicts can't be read, the last known one is answered: %s", error)
        return self._last

    def of(self, day: date) -> Told:
        """The verdict of a day. Raises DatabaseError."""
        last = self._last
        known = last is not None and last.row is not None and last.row["day"] == day
        return self.newest() if known else self._read(day)

    def days(self) -> tuple[list[date], int]:
        """The newest days that have a verdict, newest first, and how many there are. Raises DatabaseError."""
        rows = self._ask(_DAYS, {"limit": MOST_DAYS})
        return [day for day, _ in rows], rows[0][1] if rows else 0

    def _read(self, day: date | None) -> Told:
        rows = self._ask(_VERDICT, {"day": day})
        return Told(dict(zip(_COLUMNS, rows[0], strict=True)) if rows else None, time.monotonic())

    def _ask(self, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        if self._url is None:
            raise DatabaseError("this service was given no database")
        # Those who queued up behind a question that timed out aren't made to wait as long, one after the other.
        if self._failed_at is not None and time.monotonic() - self._failed_at < FRESH_SECONDS:
            raise DatabaseError("the database didn't answer a moment ago")
        reader = Reader(self._url, f"inference drift {self._product}", limit_seconds=self._limit)
        try:
            found = reader.ask(query, parameters | {"product": self._product})
        except DatabaseError:
            self._failed_at = time.monotonic()
            raise
        finally:
            reader.close()
        self._failed_at = None
        return found


def drift_routes(settings: ServingSettings, store: VerdictStore | None = None) -> APIRouter:
    """The one route."""
    url = settings.database_url.get_secret_value() if settings.database_url else None
    verdicts = store or VerdictStore(url, settings.product)
    pool = ThreadPoolExecutor(1, thread_name_prefix="drift")
    router = APIRouter(responses={status: {"model": Problem} for status in (404, 503)})

    async def asked(question: Callable[[], Found]) -> Found:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, question)
        except DatabaseError as error:
            log.warning("drift verdicts can't be read: %s", error)
            detail = "the drift verdicts can't be read now; GET /api/health says more"
            raise HTTPException(503, detail, {"Retry-After": "5"}) from error

    @router.get("/api/drift_report", summary="Live data of the newest day beside the training data")
    async def drift_report(day: Day = None) -> DriftReport:
        if day is None:
            return report_of(await asked(verdicts.newest), settings)
        told = await asked(lambda: verdicts.of(day))
        if told.row is None:
            raise HTTPException(404, _no_such_day(day, *await asked(verdicts.days)))
        return report_of(told, settings)

    return router


def _no_such_day(day: date, days: list[date], count: int) -> str:
    if not days:
        return f"there is no verdict of {day}. {NO_REPORT}"
    older = f" and {count - len(days)} older ones" if count > len(days) else ""
    return f"there is no verdict of {day}; there are: {', '.join(map(str, days))}{older}"


def report_of(told: Told, settings: ServingSettings) -> DriftReport:
    """What is answered of a stored verdict."""
    row, age = told.row, round(told.age, 3)
    if row is None:
        return DriftReport(status="no_report", reasons=[NO_REPORT], age_seconds=age)
    verdict = row["verdict"]
    page = settings.report_url and f"{settings.report_url.rstrip('/')}/drift/{settings.product}/{row['day']}"
    return DriftReport(
        status=row["status"],
        day=row["day"],
        release=row["release"],
        computed_at=row["computed_at"],
        overall_drift_detected=row["status"] == "drifted",
        drifted=list(row["drifted"]),
        reasons=day_reasons(verdict, row["drifted"]),
        data_points=DataPoints(reference=verdict["reference_rows"], current=verdict["current_rows"]),
        drift_indicators={column["name"]: _indicator(column) for column in verdict["columns"]},
        report_url=page,
        age_seconds=age,
    )


def _indicator(column: Mapping[str, Any]) -> Indicator:
    reference, current = column["reference"], column["current"]
    few = {side: _values(column[side]) < LEAST_VALUES for side in ("reference", "current")}
    means = {side: None if few[side] else column[side]["mean"] for side in few}
    shares = {share["name"]: share["seen"] for share in column["shares"] if current["rows"] >= LEAST_VALUES}
    return Indicator(
        reference_mean=means["reference"],
        current_mean=means["current"],
        drift_percentage=_percentage(column, means["reference"], means["current"]),
        significant_drift=column["status"] == "drifted",
        missing=Missing(
            reference=reference["missing"] if reference["rows"] >= LEAST_VALUES else None,
            current=current["missing"] if current["rows"] >= LEAST_VALUES else None,
        ),
        unseen=shares.get("unseen"),
        out_of_range=shares.get("out_of_range"),
        limit=column["floor"],
        reasons=column_reasons(column),
        **{name: column[name] for name in ("kind", "role", "status", "p_value", "effect", "distance")},
    )


def _values(side: Mapping[str, Any]) -> int:
    """How many values there are on a side."""
    return round(side["rows"] * (1 - side["missing"]))


def _percentage(column: Mapping[str, Any], reference: float | None, current: float | None) -> float | None:
    if column["kind"] == "category":
        return None if column["effect"] is None else round(100 * column["effect"], 2)
    if not reference or current is None:
        return None
    return round(100 * (current - reference) / abs(reference), 2)
