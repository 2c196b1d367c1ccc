"""One cell of a raw listing, read: areas, sizes, prices, places, dates; each as a value, or why the row is dropped.

Add here how a spelling is read. Keep out what a row is made of and which rows stay (`house_prices`). Places and dates
are read the same way when a model is asked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

# International foot; guntha, cent, perch and ground as India's land records define them.
SQFT_PER_UNIT = {
    "sq. meter": 10.763910416709722,
    "sq. yards": 9.0,
    "acres": 43_560.0,
    "cents": 435.6,
    "guntha": 1_089.0,
    "perch": 272.25,
    "grounds": 2_400.0,
}

AREA_TYPES = ("Super built-up Area", "Built-up Area", "Plot Area", "Carpet Area")
READY = ("ready to move", "immediate possession")
_AREA_TYPE_BY_KEY = {name.casefold(): name for name in AREA_TYPES}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

UNKNOWN = ""

_NUMBER = r"\d+(?:\.\d+)?"
_RANGE = re.compile(rf"^({_NUMBER})\s*-\s*({_NUMBER})$")
_WITH_UNIT = re.compile(rf"^({_NUMBER})\s*([A-Za-z][A-Za-z. ]*)$")
_PLAIN = re.compile(rf"^{_NUMBER}$")
_SIZE = re.compile(r"^(\d+)\s*(BHK|Bedroom|RK)$", re.IGNORECASE)
_POSSESSION = re.compile(r"^(\d{1,2})-([A-Za-z]{3})$")
_NOT_WORD = re.compile(r"[^\w]+")
_JOINED = re.compile(r"(?<=\d)(?=[^\W\d])|(?<=[^\W\d])(?=\d)")
_ROMAN = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
_FILLERS = frozenset({"st", "nd", "rd", "th", "the", "of", "and", "near", "opp", "behind"})
# Words that place a listing inside a neighbourhood without naming the neighbourhood.
_GENERIC = frozenset({
    "a", "b", "c", "d", "t", "x", "phase", "stage", "block", "sector", "main", "road", "cross", "layout",
    "extension", "extn", "village", "town", "new", "old", "north", "south", "east", "west",
    "bangalore", "bengaluru",
})  # fmt: skip
MAX_TEXT = 120


class DropError(Exception):
    """A raw row that can't be kept; the message is the reason it is counted under."""


def is_null(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def text_of(cell: Any) -> str | None:
    """Cell text without outer or doubled blanks; None when nothing is left."""
    return None if is_null(cell) else " ".join(str(cell).split()) or None


def key_of(text: Any) -> str:
    """Comparison form of a text: no case, no outer or doubled blanks."""
    return " ".join(str(text).split()).casefold() if text else UNKNOWN


def needed(text: str | None, field: str) -> str:
    if text is None:
        raise DropError(f"{field}_missing")
    return text


def square_feet(text: str, odd: list[str]) -> float:
    """Square feet of a number, of a range (its mean) or of a number with one of seven units."""
    ranged, united = _RANGE.match(text), _WITH_UNIT.match(text)
    if _PLAIN.match(text):
        sqft = float(text)
    elif ranged:
        odd.append("total_sqft_range")
        sqft = (float(ranged[1]) + float(ranged[2])) / 2
    elif united and key_of(united[2]) in SQFT_PER_UNIT:
        unit = key_of(united[2])
        odd.append("total_sqft_in_" + unit.replace("sq. ", "square_"))
        sqft = float(united[1]) * SQFT_PER_UNIT[unit]
    else:
        raise DropError("total_sqft_unreadable")
    if sqft <= 0:
        raise DropError("total_sqft_not_positive")
    return sqft


def bedrooms(text: str, odd: list[str]) -> int:
    match = _SIZE.match(text)
    if not match or int(match[1]) < 1:
        raise DropError("size_unreadable")
    if match[2].casefold() != "bhk":
        odd.append(f"size_in_{match[2].casefold()}")
    return int(match[1])


def count(text: str, field: str) -> int:
    if not _PLAIN.match(text) or float(text) % 1 or float(text) < 1:
        raise DropError(f"{field}_unreadable")
    return int(float(text))


def price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        raise DropError("price_not_a_number") from None
    if not math.isfinite(price):
        raise DropError("price_not_a_number")
    if price <= 0:
        raise DropError("price_not_positive")
    return price


def optional(cells: dict[str, str | None], field: str, read: Callable[[str], Any], odd: list[str]) -> Any:
    """The field's canonical value, or None, counted, when it is absent or can't be read."""
    text = cells[field]
    value = None if text is None else read(text)
    if value is None:
        odd.append(f"{field}_missing" if text is None else f"{field}_unreadable")
    return value


def area_type(text: str) -> str | None:
    return _AREA_TYPE_BY_KEY.get(key_of(text))


def availability(text: str) -> str | None:
    return text if not all(map(math.isnan, possession(text))) else None


def balcony(text: str) -> int | None:
    return int(float(text)) if _PLAIN.match(text) and not float(text) % 1 and float(text) <= 20 else None


def society(text: str) -> str | None:
    return text if len(text) <= MAX_TEXT else None


def possession(text: Any) -> tuple[float, float]:
    """(1 when ready, 0 when later; year of possession since 2000). Both NaN when the text says neither."""
    key = key_of(text)
    if key in READY:
        return 1.0, math.nan
    match = _POSSESSION.match(key)
    if match and match[2] in MONTHS:
        return 0.0, int(match[1]) + MONTHS.index(match[2]) / 12
    return math.nan, math.nan


@lru_cache(maxsize=8192)
def place(location: str) -> tuple[str, str]:
    """(neighbourhood, exact place): "Electronic City Phase II" → "electroniccity", "electroniccity 2 phase".

    Neither the order of numbers and generic words counts, nor do blanks and signs.
    """
    text = _JOINED.sub(" ", _NOT_WORD.sub(" ", location.casefold()))
    words = [_ROMAN.get(word, word) for word in text.split() if word not in _FILLERS]
    core = "".join(word for word in words if word not in _GENERIC and not word.isdigit())
    if not core:
        return "".join(words), "".join(words)
    return core, " ".join([core, *sorted(w for w in words if w in _GENERIC or w.isdigit())])
