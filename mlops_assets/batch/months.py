"""Months of records: which ones must be scored, and in which stretches.

Add here a rule on when a month is due. Keep out how it is scored (`scoring`) and what asks for it (`automation`).
A month is a text such as "2023-07"; its records are told apart by their hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

# The hash of a month without records.
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Due:
    """Months to score, as stretches of months that follow each other, and those with records that can't be.

    `early` are before the first month that the product scores, `late` after the present one.
    """

    stretches: tuple[tuple[str, ...], ...]
    early: tuple[str, ...] = ()
    late: tuple[str, ...] = ()

    @property
    def months(self) -> tuple[str, ...]:
        """All months to score, oldest first."""
        return tuple(month for stretch in self.stretches for month in stretch)


def due(present: Mapping[str, str], scored: Mapping[str, str], first: str, last: str) -> Due:
    """What to score so that every month from the first to the newest with records is scored as it is now.

    `present` and `scored` give the hash of each month's records, now and when it was scored. `first` and `last` limit
    what can be scored. A month without records between others is scored too: so it is told that there were none.
    """
    possible = {month for month in present if first <= month <= last}
    wanted = {month: present.get(month, EMPTY) for month in (between(min(possible), max(possible)) if possible else ())}
    # Records that were taken back leave a month that was scored and has none.
    wanted |= {month: EMPTY for month in scored if month not in wanted and first <= month <= last}
    return Due(
        stretches=_stretches(month for month, sha256 in wanted.items() if scored.get(month) != sha256),
        early=tuple(sorted(month for month in present if month < first)),
        late=tuple(sorted(month for month in present if month > last)),
    )


def between(first: str, last: str) -> tuple[str, ...]:
    """Every month from the first to the last, both included."""
    start, end = day_of(first), day_of(last)
    count = 12 * (end.year - start.year) + end.month - start.month + 1
    numbers = (12 * start.year + start.month - 1 + step for step in range(count))
    return tuple(f"{number // 12:04d}-{number % 12 + 1:02d}" for number in numbers)


def day_of(month: str) -> date:
    """The first day of a month. Raises ValueError for what isn't one."""
    return date.fromisoformat(f"{month}-01")


def of_day(day: date) -> str:
    """The month of a day."""
    return f"{day:%Y-%m}"


def _stretches(months: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    found: list[list[str]] = []
    for month in sorted(months):
        if found and between(found[-1][-1], month) == (found[-1][-1], month):
            found[-1].append(month)
        else:
            found.append([month])
    return tuple(map(tuple, found))
