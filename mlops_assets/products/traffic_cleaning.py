"""Cleaning of raw traffic accidents: what a cell may say, and which row can't be kept.

Add here what is true of one cell or one raw row of the accident file. Keep out the request contract and the model
columns (`traffic_anomalies`), and limits on shares, duplicates or ranges of a whole file: the data contract's.
Exact duplicates are kept and counted: two accidents can read the same, and the contract limits their share.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_assets.products.cleaned import Cleaned

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = (
    "crash_date", "traffic_control_device", "weather_condition", "lighting_condition", "first_crash_type",
    "trafficway_type", "alignment", "roadway_surface_cond", "road_defect", "crash_type", "intersection_related_i",
    "damage", "prim_contributory_cause", "num_units", "most_severe_injury", "injuries_total", "injuries_fatal",
    "injuries_incapacitating", "injuries_non_incapacitating", "injuries_reported_not_evident",
    "injuries_no_indication", "crash_hour", "crash_day_of_week", "crash_month",
)  # fmt: skip
# injuries_total is the sum of these in every row of the real file.
INJURY_PARTS = (
    "injuries_fatal", "injuries_incapacitating", "injuries_non_incapacitating", "injuries_reported_not_evident",
)  # fmt: skip
CALENDAR_PARTS = ("crash_hour", "crash_day_of_week", "crash_month")
UNKNOWN = "UNKNOWN"
# The longest word of the real file, a cause, has 80 characters.
MAX_TEXT = 80
FIRST_YEAR, LAST_YEAR = 1990, 2100
MAX_UNITS, MAX_PEOPLE = 100, 1_000
# Lowest and highest possible count, both included. An accident has at least one vehicle or person.
COUNTS = {
    "num_units": (1, MAX_UNITS),
    **dict.fromkeys(("injuries_total", *INJURY_PARTS, "injuries_no_indication"), (0, MAX_PEOPLE)),
}
CATEGORIES = tuple(name for name in COLUMNS if name not in {"crash_date", *COUNTS, *CALENDAR_PARTS})
DATE_FORMATS = "07/29/2023 01:00:00 PM (month first) or 2023-07-29T13:00:00, local time without a zone"

_MONTH_FIRST = re.compile(
    r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}) ([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))? ?([AP])M", re.IGNORECASE
)
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]{1,9})?)?")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?")
_MISSING, _UNREADABLE, _IMPOSSIBLE = "missing", "not_a_number", "impossible"


class DateError(ValueError):
    """A text that is no date and time of an accident; `reason` is what a dropped row is counted under."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_date(told: str | datetime) -> tuple[datetime, bool]:
    """The local time of an accident to the second, and whether it was told as in ISO 8601.

    The other format is the data set's own, month first and with AM or PM; nothing is guessed, so a date without
    a time, with a zone or with the day first raises DateError, and so does a day that doesn't exist.
    """
    if isinstance(told, datetime):
        if told.tzinfo is not None:
            raise DateError("crash_date_unreadable", f"must be like {DATE_FORMATS}")
        when, iso = datetime(told.year, told.month, told.day, told.hour, told.minute, told.second), True
    elif match := _MONTH_FIRST.fullmatch(told.strip()):
        month, day, year, hour, minute, second, half = match.groups()
        if not 1 <= int(hour) <= 12:
            raise DateError("crash_date_impossible", f"there is no {hour} o'clock {half}M")
        when, iso = _moment(year, month, day, int(hour) % 12 + 12 * (half in "pP"), minute, second), False
    elif match := _ISO.fullmatch(told.strip()):
        when, iso = _moment(*match.groups()), True
    else:
        raise DateError("crash_date_unreadable", f"must be like {DATE_FORMATS}")
    if not FIRST_YEAR <= when.year <= LAST_YEAR:
        raise DateError("crash_date_impossible", f"the year must be from {FIRST_YEAR} to {LAST_YEAR}")
    return when, iso


def _moment(year: str, month: str, day: str, hour: str | int, minute: str, second: str | None) -> datetime:
    try:
        return datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0))
    except ValueError as error:
        raise DateError("crash_date_impossible", f"there is no such date or time: {error}") from None


def canonical_word(told: str) -> str:
    """Upper case with single blanks, as the data set writes its words; UNKNOWN when nothing is left."""
    return " ".join(told.split()).upper() or UNKNOWN


def untold(cell: Any) -> bool:
    """Whether a cell says nothing: null, blank or the word UNKNOWN."""
    if isinstance(cell, str):
        return canonical_word(cell) == UNKNOWN
    # NaN and NaT are the only values that differ from themselves.
    return cell is None or bool(cell != cell)


def clean(raw: pd.DataFrame) -> Cleaned:
    """Canonical accidents of a raw file, and the account of every raw row. Columns may come in any order.

    The result has `COLUMNS`: `crash_date` datetime64[ns] in local time, words as upper-case text (UNKNOWN for a
    blank), numbers float64 with NaN for a count that isn't told. Hour, weekday and month are always those of the
    date, `injuries_total` the sum of its parts where they are told. Every row is a valid `Request`. Raises
    ValueError naming the raw columns that are missing.
    """
    import pandas as pd

    missing = [name for name in COLUMNS if name not in raw.columns]
    if missing:
        raise ValueError(f"raw traffic accidents lack the columns: {', '.join(missing)}")
    account = _Account(alive=_true(len(raw)))
    columns: dict[str, Any] = {"crash_date": _dates(raw["crash_date"], account)}
    for name in CATEGORIES:
        columns[name] = _words(raw[name], account)
    for name, (lowest, highest) in COUNTS.items():
        columns[name] = _counts(raw[name], lowest, highest, account)
    columns["injuries_total"] = _total(columns, account)
    for name, told in _calendar(columns["crash_date"]).items():
        columns[name] = _as_dated(raw[name], told, account)
    rows = pd.DataFrame({name: columns[name] for name in COLUMNS}, copy=False)
    rows = rows[account.alive].reset_index(drop=True)
    return Cleaned(rows=rows, dropped=account.dropped, handled=account.handled(repeated=int(rows.duplicated().sum())))


@dataclass
class _Account:
    """Which rows are still kept, why the others aren't, and what was odd."""

    alive: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)
    _odd: dict[str, np.ndarray] = field(default_factory=dict)

    def drop(self, rows: np.ndarray, reason: str) -> None:
        """A row counts under the first reason only."""
        count = int((rows & self.alive).sum())
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count
            self.alive = self.alive & ~rows

    def note(self, rows: np.ndarray, what: str) -> None:
        if rows.any():
            self._odd[what] = rows

    def handled(self, *, repeated: int) -> dict[str, int]:
        """What was odd in the rows that are kept."""
        counts = {what: int((rows & self.alive).sum()) for what, rows in self._odd.items()}
        counts["duplicate_kept"] = repeated
        return {what: count for what, count in counts.items() if count}


def _true(rows: int) -> np.ndarray:
    import numpy as np

    return np.ones(rows, dtype=bool)


def _by_value(cells: pd.Series, read: Callable[[Any], tuple[Any, str]], kind: str) -> tuple[Any, dict[str, Any]]:
    """Each cell read, as an array of dtype `kind`, and the rows of every remark but "".

    A value that repeats is read once. Nulls are read as None.
    """
    import numpy as np
    import pandas as pd

    codes, distinct = pd.factorize(cells.to_numpy(dtype=object))
    # The code of a null is -1: the last entry.
    told = [read(value) for value in distinct] + [read(None)]
    values = np.empty(len(told), dtype=kind)
    values[:] = [value for value, _ in told]
    remarks = sorted({remark for _, remark in told if remark})
    numbers = np.array([remarks.index(remark) if remark else -1 for _, remark in told])[codes]
    return values[codes], {remark: numbers == i for i, remark in enumerate(remarks)}


def _dates(cells: pd.Series, account: _Account) -> np.ndarray:
    values, remarks = _by_value(cells, _read_date, "datetime64[us]")
    for remark, rows in remarks.items():
        if remark == "crash_date_iso":
            account.note(rows, remark)
        else:
            account.drop(rows, remark)
    dates: np.ndarray = values.astype("datetime64[ns]")
    return dates


def _read_date(cell: Any) -> tuple[datetime | None, str]:
    if untold(cell):
        return None, "crash_date_missing"
    try:
        when, iso = read_date(cell if isinstance(cell, datetime) else str(cell))
    except DateError as error:
        return None, error.reason
    return when, "crash_date_iso" if iso else ""


def _words(cells: pd.Series, account: _Account) -> np.ndarray:
    values, remarks = _by_value(cells, _read_word, "object")
    for remark, rows in remarks.items():
        account.note(rows, f"{cells.name}_{remark}")
    words: np.ndarray = values
    return words


def _read_word(cell: Any) -> tuple[str, str]:
    text = "" if cell is None else str(cell)
    word = canonical_word(text)
    if not text.strip():
        return UNKNOWN, _MISSING
    if len(word) > MAX_TEXT:
        return UNKNOWN, "too_long"
    return word, "" if word == text else "respelled"


def _counts(cells: pd.Series, lowest: int, highest: int, account: _Account) -> np.ndarray:
    def read(cell: Any) -> tuple[float, str]:
        number, remark = _read_number(cell)
        possible = remark != "" or (number.is_integer() and lowest <= number <= highest)
        return (number, remark) if possible else (math.nan, _IMPOSSIBLE)

    values, remarks = _by_value(cells, read, "float64")
    for remark, rows in remarks.items():
        (account.note if remark == _MISSING else account.drop)(rows, f"{cells.name}_{remark}")
    counts: np.ndarray = values
    return counts


def _read_number(cell: Any) -> tuple[float, str]:
    if untold(cell):
        return math.nan, _MISSING
    text = str(cell).strip()
    # Plus zero makes −0 a 0.
    return (float(text) + 0.0, "") if _NUMBER.fullmatch(text) else (math.nan, _UNREADABLE)


def _total(columns: dict[str, Any], account: _Account) -> np.ndarray:
    """`injuries_total` as the parts say it: their sum where all are told, at least the sum of those that are."""
    import numpy as np

    parts = np.stack([columns[name] for name in INJURY_PARTS])
    told: np.ndarray = columns["injuries_total"]
    known = ~np.isnan(parts)
    least = np.where(known.any(axis=0), np.nansum(parts, axis=0), np.nan)
    wrong = (told < least) | (known.all(axis=0) & (told > least))
    account.note(wrong, "injuries_total_corrected")
    account.drop(least > MAX_PEOPLE, "injuries_total_impossible")
    return np.where(wrong | np.isnan(told), least, told)


def _calendar(dates: np.ndarray) -> dict[str, np.ndarray]:
    """Hour, weekday (1 Sunday … 7 Saturday) and month of each date; NaN where there is none."""
    import pandas as pd

    when = pd.Series(dates).dt
    parts = (when.hour, (when.dayofweek + 1) % 7 + 1, when.month)
    return {name: part.to_numpy(dtype="float64") for name, part in zip(CALENDAR_PARTS, parts, strict=True)}


def _as_dated(cells: pd.Series, dated: np.ndarray, account: _Account) -> np.ndarray:
    """The part as the date says it: the date is told to the second, so it is the one that is believed."""
    told, remarks = _by_value(cells, _read_number, "float64")
    missing = remarks.get(_MISSING, ~_true(len(told)))
    account.note(missing, f"{cells.name}_missing")
    account.note((told != dated) & ~missing, f"{cells.name}_corrected")
    return dated
