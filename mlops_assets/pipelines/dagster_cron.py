"""Whether a schedule is one that Dagster will run.

Add here what is asked of a cron expression. Dagster parses them with a library of its own that isn't public, so it is
asked through its public classes, and what is accepted here is what its daemon accepts. Keep out other Dagster matters.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from zoneinfo import available_timezones

from mlops_assets.pipelines.problem import did_you_mean

FIELDS = (("minute", 60), ("hour", 24), ("day of month", 31), ("month", 12), ("day of week", 7))
NAMED = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")


def timezone_fault(timezone: str) -> str | None:
    """Why this is no time zone, or None."""
    known = _timezones()
    return None if timezone in known else f"there is no time zone {timezone!r}{did_you_mean(timezone, known)}"


def cron_fault(expression: str) -> str | None:
    """Why Dagster would not run this schedule, or None. The first call imports Dagster, which takes a second."""
    fault = _unlike_cron(expression)
    if fault is not None:
        return fault
    import dagster as dg

    try:
        dg.ScheduleDefinition(name="asked", job_name="asked", cron_schedule=expression)
    except dg.DagsterInvalidDefinitionError:
        return f"{expression!r} is no cron expression of five fields"
    try:
        days = dg.TimeWindowPartitionsDefinition(cron_schedule=expression, start=datetime(2000, 1, 1), fmt="%Y-%m-%d")
        days.get_next_partition_window(datetime(2000, 1, 1, tzinfo=UTC))
    except ValueError:  # as its parser says that no date fits
        return f"{expression!r} never comes"
    return None


def _unlike_cron(expression: str) -> str | None:
    """What Dagster takes and should not: random fields, steps past a field's end, digits of other scripts."""
    if expression in NAMED:
        return None
    fields = expression.split(" ")
    if len(fields) != len(FIELDS) or not re.fullmatch(r"[0-9A-Za-z*/,#?\- ]+", expression):
        return f"{expression!r} is no cron expression of five fields with one space between them"
    for (name, size), field in zip(FIELDS, fields, strict=True):
        if re.match(r"[hr](?![a-z])", field, re.IGNORECASE):
            return f"{field!r} stands for a random {name}"
        steps = re.findall(r"/(\d+)", field)
        if any(len(step) > 2 or int(step) >= size for step in steps):
            return f"the step of {field!r} is longer than any {name} counts"
    return None


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())
