"""When a schedule comes next, as Dagster's daemon counts it.

Add here what is shown of a schedule. Keep out whether an expression is one (`pipelines.dagster_cron`). Dagster's
parser isn't public; its time windows begin when a schedule would. The first call imports Dagster.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MOST_KNOWN = 10_000


class NextRuns:
    """Answers when schedules come next. What was found holds until it is past, so a page of pipelines costs little."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[datetime, datetime | None]] = {}

    def after(self, schedule: str, timezone: str, now: datetime) -> datetime | None:
        """The first moment after `now`, in UTC; None for what is no schedule, and for one that never comes again."""
        asked_at, found = self._known.get((schedule, timezone), (None, None))
        if asked_at is None or now < asked_at or (found is not None and found <= now):
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = _first_after(schedule, timezone, now)
            self._known[schedule, timezone] = now, found
        return found


def _first_after(schedule: str, timezone: str, now: datetime) -> datetime | None:
    import dagster as dg

    try:
        windows = dg.TimeWindowPartitionsDefinition(
            cron_schedule=schedule, timezone=timezone, start=datetime(2000, 1, 1), fmt="%Y-%m-%d"
        )
        # Windows that begin at the moment itself count to Dagster.
        found = windows.get_next_partition_window(now + timedelta(microseconds=1), respect_bounds=False)
    except (KeyError, ValueError, dg.DagsterInvalidDefinitionError):
        return None  # of a version that was stored when other expressions were taken
    return None if found is None else found.start.astimezone(UTC)
