"""Stored verdicts as the API shows them. Pure: rows in, schemas out.

Add here how a new fact is shown. Keep out reading (`records`) and words about what follows (`outlook`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta

from mlops_assets.api.drift.records import Glance
from mlops_assets.api.drift.schemas import BlockView, CellView, ColumnView, DayView, VerdictView
from mlops_assets.drift.facts import ColumnDrift
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.store import Stored
from mlops_assets.rollout.state import Event
from mlops_assets.storage.database import LedgerEntry

# Days without a verdict that are shown after the newest one: enough to see that reports have stopped.
MOST_SILENT_DAYS = 7
ROLES = ("feature", "prediction", "error")


@dataclass(frozen=True)
class Span:
    """The days that a map shows, both included, and what to ask for to see those before and after."""

    first: date
    last: date
    earlier: date | None
    later: date | None


def span(days: int, until: date | None, oldest: date, newest: date, yesterday: date) -> Span:
    """`days` days that end with `until`; without it, with yesterday, but at most a week after the newest one."""
    final = max(newest, min(yesterday, newest + timedelta(MOST_SILENT_DAYS)))
    last = final if until is None else max(oldest, min(until, final))
    first = max(oldest, date.fromordinal(max(1, last.toordinal() - days + 1)))
    earlier = first - timedelta(1) if first > oldest else None
    later = min(final, last + timedelta(days)) if last < final else None
    return Span(first, last, earlier, later)


def day_view(glance: Glance) -> DayView:
    """A day without its columns."""
    return DayView(**asdict(glance))


def glance_of(stored: Stored) -> Glance:
    """A stored day without its columns."""
    verdict = stored.verdict
    return Glance(
        day=verdict.day,
        status=verdict.status,
        strength=verdict.strength,
        drifted=list(verdict.drifted),
        release=verdict.release,
        rows=verdict.current_rows,
        has_report=stored.report_uri is not None,
        computed_at=stored.computed_at,
    )


def column_views(days: Sequence[Stored]) -> list[ColumnView]:
    """The rows of the heat map: features, then the prediction, then its error, in the newest verdict's order."""
    found: dict[str, ColumnView] = {}
    for stored in reversed(days):
        for column in stored.verdict.columns:
            view = found.setdefault(column.name, _column_view(column))
            view.cells.insert(0, _cell(stored.verdict.day, column))
    return sorted(found.values(), key=lambda column: ROLES.index(column.role))


def _column_view(column: ColumnDrift) -> ColumnView:
    return ColumnView(
        name=column.name,
        kind=column.kind,
        role=column.role,
        distance=column.distance,
        limit=column.floor,
        cells=[],
    )


def _cell(day: date, column: ColumnDrift) -> CellView:
    return CellView(
        day=day,
        status=column.status,
        strength=column.strength,
        effect=column.effect,
        p_value=column.p_value,
        said=column.reasons[0] if column.reasons else "",
    )


def block_views(entries: Iterable[LedgerEntry]) -> list[BlockView]:
    """Blocks and liftings of the ledger."""
    return [
        BlockView(seq=e.seq, at=e.created_at, blocked=e.event == Event.BLOCKED, reason=e.reason, actor=e.actor)
        for e in entries
    ]


def verdict_view(stored: Stored, title: str, policy: DriftPolicy, dagster_url: str) -> VerdictView:
    """A day with everything."""
    verdict, has_report = stored.verdict, stored.report_uri is not None
    return VerdictView(
        product=verdict.product,
        title=title,
        strength=verdict.strength,
        drifted=list(verdict.drifted),
        verdict=verdict,
        candidate_release=stored.candidate_release,
        candidate_status=stored.candidate_status,
        report=f"drift/{verdict.product}/{verdict.day}/report" if has_report else None,
        report_note="" if has_report else no_report(stored, policy),
        run_id=stored.run_id,
        run_url=f"{dagster_url}/runs/{stored.run_id}" if stored.run_id else None,
        computed_at=stored.computed_at,
    )


def no_report(stored: Stored, policy: DriftPolicy) -> str:
    """Why a day has no full report."""
    if not stored.verdict.reference_rows or not stored.verdict.current_rows:
        return "There is no full report of this day: there was nothing to compare."
    return (
        f"The full report of this day was removed: the reports of the newest {policy.keep_reports} days are kept, "
        "the figures for ever."
    )
