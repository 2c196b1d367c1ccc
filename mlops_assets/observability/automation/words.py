"""Times in words: a cron line, an interval, a time limit, a row of retries.

Add here a wording that the page on automation needs twice. Keep out Markdown and Mermaid.
"""

from __future__ import annotations

import re

DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def cron_words(cron: str) -> str:
    """A cron line as a person would say it; a line with anything unusual stays as it is."""
    fields = cron.split()
    if len(fields) != 5:
        return cron
    minute, hour, day, month, weekday = fields
    if (day, month) != ("*", "*"):
        return _monthly(cron, minute, hour, day, month, weekday)
    if re.fullmatch(r"\*/\d+", minute) and (hour, weekday) == ("*", "*"):
        return f"every {minute[2:]} minutes"
    if minute.isdecimal() and (hour, weekday) == ("*", "*"):
        return "every hour" if minute == "0" else f"every hour at minute {minute}"
    if minute.isdecimal() and hour.isdecimal():
        at = f"at {int(hour):02}:{int(minute):02}"
        if weekday == "*":
            return f"every day {at}"
        if weekday.isdecimal() and int(weekday) < len(DAYS):
            return f"every {DAYS[int(weekday)]} {at}"
    return cron


def _monthly(cron: str, minute: str, hour: str, day: str, month: str, weekday: str) -> str:
    if minute.isdecimal() and hour.isdecimal() and day.isdecimal() and (month, weekday) == ("*", "*"):
        return f"on day {day} of every month at {int(hour):02}:{int(minute):02}"
    return cron


def interval_words(seconds: float) -> str:
    """How often something is looked at."""
    return f"every {duration_words(seconds)}"


def duration_words(seconds: float) -> str:
    """Seconds in the largest unit that divides them: 45 s, 10 min, 2 h."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:g} {unit}"
    return f"{seconds:g} s"
