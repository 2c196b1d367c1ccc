"""House prices of Bengaluru: the request contract, the cleaning of raw listings, the model columns.

Add here what is special to this product and true of one record or one raw file. `features` is the one
definition of the model's inputs: training and serving both call it, row by row.
Keep out models, files, Dagster and anything that learns from data: those belong to `training`.
Areas are square feet, prices lakh INR (100,000 rupees).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mlops_assets.products.cleaned import Cleaned

if TYPE_CHECKING:
    import pandas as pd

# Row rules: none of them looks at the size of the price, so a hold-out keeps its outliers.
MIN_SQFT_PER_BHK = 300.0
MAX_SQFT = 10_000.0
MAX_EXTRA_BATHS = 2

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
RAW_COLUMNS = (
    "area_type", "availability", "location", "size", "society", "total_sqft", "bath", "balcony", "price",
)  # fmt: skip
COLUMNS = (
    "total_sqft", "location", "bhk", "bath", "area_type", "availability", "balcony", "society", "price",
)  # fmt: skip

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

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


class Request(BaseModel):
    """One home to estimate. Four fields are required; the others sharpen the estimate."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)

    total_sqft: float = Field(gt=0, le=20_000, title="Area in square feet", examples=[1200])
    location: Text = Field(description="Neighbourhood; one that is unknown gets an answer too", examples=["Whitefield"])
    bhk: int = Field(ge=1, le=50, title="Bedrooms", description="Bedrooms", examples=[2])
    bath: int = Field(ge=1, le=50, title="Bathrooms", description="Bathrooms", examples=[2])
    area_type: str | None = Field(
        default=None, max_length=40, title="Kind of area",
        description=f"How the area is measured: {', '.join(AREA_TYPES)}", examples=["Super built-up Area"],
        json_schema_extra={"enum": [*AREA_TYPES, None]},
    )  # fmt: skip
    availability: str | None = Field(
        default=None, max_length=40, title="Available from", examples=["Ready To Move", "18-Dec"],
        description="'Ready To Move', 'Immediate Possession' or the month of possession as YY-Mon",
    )  # fmt: skip
    balcony: int | None = Field(default=None, ge=0, le=20, description="Balconies", examples=[1])
    society: str | None = Field(default=None, max_length=MAX_TEXT, description="Housing society", examples=["GrrvaGr"])

    @field_validator("area_type", "availability", "balcony", "society", mode="before")
    @classmethod
    def _blank_is_absent(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("area_type")
    @classmethod
    def _known_area_type(cls, value: str | None) -> str | None:
        if value is None:
            return None
        known = _area_type(value)
        if known is None:
            raise ValueError(f"must be one of: {', '.join(AREA_TYPES)}")
        return known

    @field_validator("availability")
    @classmethod
    def _known_availability(cls, value: str | None) -> str | None:
        if value is not None and _availability(value) is None:
            raise ValueError("must be 'Ready To Move', 'Immediate Possession' or a month such as '18-Dec'")
        return value


def clean(raw: pd.DataFrame) -> Cleaned:
    """Canonical listings of a raw file whose cells are text, and the account of every raw row.

    Columns of the result: `total_sqft`, `bhk`, `bath`, `balcony`, `price` (numbers) and `location`,
    `area_type`, `availability`, `society` (text); only `balcony` and the last three may be null, and every
    row is a valid `Request` plus its price. A location is spelled as most of its rows spell it, whatever
    the case or blanks. Raises ValueError naming the raw columns that are missing.
    """
    import pandas as pd

    missing = [name for name in RAW_COLUMNS if name not in raw.columns]
    if missing:
        raise ValueError(f"raw house prices lack the columns: {', '.join(missing)}")
    dropped: Counter[str] = Counter()
    handled: Counter[str] = Counter()
    kept: list[dict[str, Any]] = []
    seen: set[tuple[str, ...]] = set()
    for cells in raw[list(RAW_COLUMNS)].itertuples(index=False, name=None):
        # "\0" can't come from a file's cell, so a null never equals a text.
        identity = tuple("\0" if _is_null(cell) else str(cell) for cell in cells)
        if identity in seen:
            dropped["duplicate"] += 1
            continue
        seen.add(identity)
        try:
            kept.append(_canonical(dict(zip(RAW_COLUMNS, map(_text, cells), strict=True)), handled))
        except _DropError as reason:
            dropped[str(reason)] += 1
    rows = pd.DataFrame(kept, columns=list(COLUMNS))
    rows = rows.astype({name: "float64" for name in ("total_sqft", "balcony", "price")})
    rows = rows.astype({name: "int64" for name in ("bhk", "bath")})
    _spell_locations(rows, handled)
    return Cleaned(rows=rows, dropped=dict(dropped), handled=dict(handled))


def features(record: Mapping[str, Any]) -> dict[str, float | str]:
    """Model columns of one validated record; never raises on one.

    Only the columns named `location…` depend on the location, and a name that training never saw leaves them
    at values that no table knows. A missing number is NaN, a missing category the empty string.
    """
    sqft, bhk, bath = float(record["total_sqft"]), float(record["bhk"]), float(record["bath"])
    area, place = _place(str(record["location"]))
    society = _key(record.get("society"))
    ready, possession = _possession(record.get("availability"))
    balcony = record.get("balcony")
    return {
        "log_area": math.log(sqft),
        "bhk": bhk,
        "bath": bath,
        "log_area_per_bhk": math.log(sqft / bhk),
        "bath_per_bhk": bath / bhk,
        "balcony": math.nan if balcony is None else float(balcony),
        "ready": ready,
        "possession_year": possession,
        "area_type": _key(record.get("area_type")),
        "location_area": area,
        "location": place,
        "society": society,
        "location_society": f"{area}|{society}" if society else UNKNOWN,
    }


def as_raw(record: Mapping[str, Any], actual: float) -> dict[str, str]:
    """A validated record and the price that was paid (lakh INR) as a row of the raw file; `clean` gives it back."""
    return {
        "area_type": record.get("area_type") or "",
        "availability": record.get("availability") or "",
        "location": str(record["location"]),
        "size": f"{record['bhk']} BHK",
        "society": record.get("society") or "",
        "total_sqft": _digits(record["total_sqft"]),
        "bath": str(record["bath"]),
        "balcony": "" if record.get("balcony") is None else str(record["balcony"]),
        "price": _digits(actual),
    }


def _digits(number: float) -> str:
    """The shortest decimal that reads as the same number, without an exponent: 1056.0 → "1056"."""
    text = f"{Decimal(repr(float(number))):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class _DropError(Exception):
    """A raw row that can't be kept; the message is the reason it is counted under."""


def _is_null(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _text(cell: Any) -> str | None:
    """Cell text without outer or doubled blanks; None when nothing is left."""
    return None if _is_null(cell) else " ".join(str(cell).split()) or None


def _key(text: Any) -> str:
    """Comparison form of a text: no case, no outer or doubled blanks."""
    return " ".join(str(text).split()).casefold() if text else UNKNOWN


def _canonical(cells: dict[str, str | None], handled: Counter[str]) -> dict[str, Any]:
    """One canonical record; odd formats are counted only for a row that is kept."""
    odd: list[str] = []
    location = _need(cells["location"], "location")
    if len(location) > MAX_TEXT:
        raise _DropError("location_too_long")
    sqft = _square_feet(_need(cells["total_sqft"], "total_sqft"), odd)
    bhk = _bedrooms(_need(cells["size"], "size"), odd)
    bath = _count(_need(cells["bath"], "bath"), "bath")
    price = _price(_need(cells["price"], "price"))
    if sqft / bhk < MIN_SQFT_PER_BHK:
        raise _DropError("under_300_sqft_per_bhk")
    if bath > bhk + MAX_EXTRA_BATHS:
        raise _DropError("over_2_more_baths_than_bhk")
    if sqft >= MAX_SQFT:
        raise _DropError("total_sqft_10000_or_more")
    record = {
        "total_sqft": sqft, "location": location, "bhk": bhk, "bath": bath,
        "area_type": _optional(cells, "area_type", _area_type, odd),
        "availability": _optional(cells, "availability", _availability, odd),
        "balcony": _optional(cells, "balcony", _balcony, odd),
        "society": _optional(cells, "society", _society, odd),
        "price": price,
    }  # fmt: skip
    handled.update(odd)
    return record


def _need(text: str | None, field: str) -> str:
    if text is None:
        raise _DropError(f"{field}_missing")
    return text


def _square_feet(text: str, odd: list[str]) -> float:
    """Square feet of a number, of a range (its mean) or of a number with one of seven units."""
    ranged, united = _RANGE.match(text), _WITH_UNIT.match(text)
    if _PLAIN.match(text):
        sqft = float(text)
    elif ranged:
        odd.append("total_sqft_range")
        sqft = (float(ranged[1]) + float(ranged[2])) / 2
    elif united and _key(united[2]) in SQFT_PER_UNIT:
        unit = _key(united[2])
        odd.append("total_sqft_in_" + unit.replace("sq. ", "square_"))
        sqft = float(united[1]) * SQFT_PER_UNIT[unit]
    else:
        raise _DropError("total_sqft_unreadable")
    if sqft <= 0:
        raise _DropError("total_sqft_not_positive")
    return sqft


def _bedrooms(text: str, odd: list[str]) -> int:
    match = _SIZE.match(text)
    if not match or int(match[1]) < 1:
        raise _DropError("size_unreadable")
    if match[2].casefold() != "bhk":
        odd.append(f"size_in_{match[2].casefold()}")
    return int(match[1])


def _count(text: str, field: str) -> int:
    if not _PLAIN.match(text) or float(text) % 1 or float(text) < 1:
        raise _DropError(f"{field}_unreadable")
    return int(float(text))


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        raise _DropError("price_not_a_number") from None
    if not math.isfinite(price):
        raise _DropError("price_not_a_number")
    if price <= 0:
        raise _DropError("price_not_positive")
    return price


def _optional(cells: dict[str, str | None], field: str, read: Callable[[str], Any], odd: list[str]) -> Any:
    """The field's canonical value, or None, counted, when it is absent or can't be read."""
    text = cells[field]
    value = None if text is None else read(text)
    if value is None:
        odd.append(f"{field}_missing" if text is None else f"{field}_unreadable")
    return value


def _area_type(text: str) -> str | None:
    return _AREA_TYPE_BY_KEY.get(_key(text))


def _availability(text: str) -> str | None:
    return text if not all(map(math.isnan, _possession(text))) else None


def _balcony(text: str) -> int | None:
    return int(float(text)) if _PLAIN.match(text) and not float(text) % 1 and float(text) <= 20 else None


def _society(text: str) -> str | None:
    return text if len(text) <= MAX_TEXT else None


def _possession(text: Any) -> tuple[float, float]:
    """(1 when ready, 0 when later; year of possession since 2000). Both NaN when the text says neither."""
    key = _key(text)
    if key in READY:
        return 1.0, math.nan
    match = _POSSESSION.match(key)
    if match and match[2] in MONTHS:
        return 0.0, int(match[1]) + MONTHS.index(match[2]) / 12
    return math.nan, math.nan


@lru_cache(maxsize=8192)
def _place(location: str) -> tuple[str, str]:
    """(neighbourhood, exact place): "Electronic City Phase II" → "electroniccity", "electroniccity 2 phase".

    Neither the order of numbers and generic words counts, nor do blanks and signs.
    """
    text = _JOINED.sub(" ", _NOT_WORD.sub(" ", location.casefold()))
    words = [_ROMAN.get(word, word) for word in text.split() if word not in _FILLERS]
    core = "".join(word for word in words if word not in _GENERIC and not word.isdigit())
    if not core:
        return "".join(words), "".join(words)
    return core, " ".join([core, *sorted(w for w in words if w in _GENERIC or w.isdigit())])


def _spell_locations(rows: pd.DataFrame, handled: Counter[str]) -> None:
    """Give each location, in place, the spelling that most of its rows use (ties: the first by alphabet)."""
    if rows.empty:
        return
    keys = rows["location"].map(_key)
    pairs = [keys.rename("key"), rows["location"].rename("text")]
    votes = rows.groupby(pairs).size().reset_index(name="rows")
    best = votes.sort_values(["rows", "text"], ascending=[False, True]).drop_duplicates("key")
    spelled = keys.map(dict(zip(best["key"], best["text"], strict=True)))
    changed = int((spelled != rows["location"]).sum())
    if changed:
        handled["location_respelled"] = changed
    rows["location"] = spelled
