"""House prices of Bengaluru: the request contract, the cleaning of raw listings, the model columns.

Add here what is special to this product and true of one record or one raw file; how a cell is read is in
`house_prices_cells`. `features` is the one definition of the model's inputs: training and serving both call it, row by
row. Keep out models, files, Dagster and anything that learns from data: those belong to `training`. Areas are square
feet, prices lakh INR (100,000 rupees).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mlops_assets.products import house_prices_cells as read
from mlops_assets.products.cleaned import Cleaned
from mlops_assets.products.house_prices_cells import AREA_TYPES, MAX_TEXT, UNKNOWN

if TYPE_CHECKING:
    import pandas as pd

# Row rules: none of them looks at the size of the price, so a hold-out keeps its outliers.
MIN_SQFT_PER_BHK = 300.0
MAX_SQFT = 10_000.0
MAX_EXTRA_BATHS = 2

RAW_COLUMNS = (
    "area_type", "availability", "location", "size", "society", "total_sqft", "bath", "balcony", "price",
)  # fmt: skip
COLUMNS = (
    "total_sqft", "location", "bhk", "bath", "area_type", "availability", "balcony", "society", "price",
)  # fmt: skip

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
        known = read.area_type(value)
        if known is None:
            raise ValueError(f"must be one of: {', '.join(AREA_TYPES)}")
        return known

    @field_validator("availability")
    @classmethod
    def _known_availability(cls, value: str | None) -> str | None:
        if value is not None and read.availability(value) is None:
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
        identity = tuple("\0" if read.is_null(cell) else str(cell) for cell in cells)
        if identity in seen:
            dropped["duplicate"] += 1
            continue
        seen.add(identity)
        try:
            kept.append(_canonical(dict(zip(RAW_COLUMNS, map(read.text_of, cells), strict=True)), handled))
        except read.DropError as reason:
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
    area, place = read.place(str(record["location"]))
    society = read.key_of(record.get("society"))
    ready, possession = read.possession(record.get("availability"))
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
        "area_type": read.key_of(record.get("area_type")),
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


def _canonical(cells: dict[str, str | None], handled: Counter[str]) -> dict[str, Any]:
    """One canonical record; odd formats are counted only for a row that is kept."""
    odd: list[str] = []
    location = read.needed(cells["location"], "location")
    if len(location) > MAX_TEXT:
        raise read.DropError("location_too_long")
    sqft = read.square_feet(read.needed(cells["total_sqft"], "total_sqft"), odd)
    bhk = read.bedrooms(read.needed(cells["size"], "size"), odd)
    bath = read.count(read.needed(cells["bath"], "bath"), "bath")
    price = read.price(read.needed(cells["price"], "price"))
    if sqft / bhk < MIN_SQFT_PER_BHK:
        raise read.DropError("under_300_sqft_per_bhk")
    if bath > bhk + MAX_EXTRA_BATHS:
        raise read.DropError("over_2_more_baths_than_bhk")
    if sqft >= MAX_SQFT:
        raise read.DropError("total_sqft_10000_or_more")
    record = {
        "total_sqft": sqft, "location": location, "bhk": bhk, "bath": bath,
        "area_type": read.optional(cells, "area_type", read.area_type, odd),
        "availability": read.optional(cells, "availability", read.availability, odd),
        "balcony": read.optional(cells, "balcony", read.balcony, odd),
        "society": read.optional(cells, "society", read.society, odd),
        "price": price,
    }  # fmt: skip
    handled.update(odd)
    return record


def _spell_locations(rows: pd.DataFrame, handled: Counter[str]) -> None:
    """Give each location, in place, the spelling that most of its rows use (ties: the first by alphabet)."""
    if rows.empty:
        return
    keys = rows["location"].map(read.key_of)
    pairs = [keys.rename("key"), rows["location"].rename("text")]
    votes = rows.groupby(pairs).size().reset_index(name="rows")
    best = votes.sort_values(["rows", "text"], ascending=[False, True]).drop_duplicates("key")
    spelled = keys.map(dict(zip(best["key"], best["text"], strict=True)))
    changed = int((spelled != rows["location"]).sum())
    if changed:
        handled["location_respelled"] = changed
    rows["location"] = spelled
