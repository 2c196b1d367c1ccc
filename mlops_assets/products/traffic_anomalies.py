"""Traffic anomalies: the contract of one accident and the model columns that a detector scores.

Add here what is special to this product and true of one record. `features` is the one definition of the model's
inputs: training, batch scoring and serving all call it. Keep out how raw files are cleaned (`traffic_cleaning`),
models, files, Dagster and anything that learns from data.
Field names and words are those of the data set; times are local; weekdays count from 1, Sunday, to 7, Saturday.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from mlops_assets.products.traffic_cleaning import (
    CATEGORIES,
    COLUMNS,
    DATE_FORMATS,
    INJURY_PARTS,
    MAX_PEOPLE,
    MAX_TEXT,
    MAX_UNITS,
    UNKNOWN,
    canonical_word,
    clean,
    read_date,
    untold,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = [
    "CALENDAR", "CATEGORICAL", "NUMERIC", "RAW_COLUMNS", "TOLD_TOGETHER", "WORDING", "Request", "clean", "features",
    "severe",
]  # fmt: skip

RAW_COLUMNS = COLUMNS
# In the order that reproduces the reference's matrix: numbers first, then the words.
NUMERIC = (
    "num_units", "injuries_total", "injuries_fatal", "injuries_incapacitating", "injuries_non_incapacitating",
    "injuries_reported_not_evident", "injuries_no_indication", "crash_hour", "crash_day_of_week", "crash_month",
)  # fmt: skip
CATEGORICAL = CATEGORIES
CALENDAR = (
    "hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "season_sin", "season_cos", "weekend", "year",
)  # fmt: skip
# Columns that say one thing about an accident: reasons tell the first of them, and others that have a label.
TOLD_TOGETHER = (
    ("crash_hour", "hour_sin", "hour_cos"),
    ("crash_day_of_week", "weekday_sin", "weekday_cos", "weekend"),
    ("crash_month", "season_sin", "season_cos"),
    ("year",),
    ("most_severe_injury", *INJURY_PARTS),
)
_WEEKDAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
# How reasons name columns and values (`explanations.wording`); words stay those of the data set.
WORDING: dict[str, Any] = {
    "records": "accidents",
    "untold": (UNKNOWN,),
    "labels": {
        "num_units": "{} vehicle or person on foot|{} vehicles and people on foot",
        "injuries_total": "{} person injured or killed|{} people injured or killed",
        "injuries_fatal": "{} killed",
        "injuries_incapacitating": "{} severely injured",
        "injuries_non_incapacitating": "{} visibly injured",
        "injuries_reported_not_evident": "{} with an injury that isn't visible",
        "injuries_no_indication": "{} person without an injury|{} people without an injury",
        "crash_hour": "hour {}",
        "crash_day_of_week": "{}",
        "crash_month": "{}",
        "year": "year {}",
        "traffic_control_device": "traffic control",
        "weather_condition": "weather",
        "lighting_condition": "light",
        "first_crash_type": "first collision",
        "trafficway_type": "kind of road",
        "alignment": "course of the road",
        "roadway_surface_cond": "road surface",
        "road_defect": "road defect",
        "crash_type": "consequence",
        "intersection_related_i": "{} relation to an intersection",
        "damage": "damage",
        "prim_contributory_cause": "main cause",
        "most_severe_injury": "most severe injury",
    },
    "values": {
        "crash_day_of_week": {str(number): name for number, name in enumerate(_WEEKDAY_NAMES, start=1)},
        "crash_month": {str(number): name for number, name in enumerate(_MONTH_NAMES, start=1)},
        "injuries_no_indication": {"0": "no"},
        "intersection_related_i": {"Y": "a", "N": "no"},
    },
}
DAYS_PER_YEAR = 365.25
WEEKEND = (1, 7)


def _circle(steps: int, around: float) -> tuple[tuple[float, float], ...]:
    """(sine, cosine) of each step on a circle that closes after `around` of them."""
    angles = [2 * math.pi * step / around for step in range(steps)]
    return tuple((math.sin(angle), math.cos(angle)) for angle in angles)


_HOURS = _circle(24, 24)
_WEEKDAYS = _circle(7, 7)
_DAYS = _circle(366, DAYS_PER_YEAR)


def _date(told: Any) -> datetime:
    # NaT is a datetime to Python, and untold.
    if untold(told) or not isinstance(told, str | datetime):
        raise ValueError(f"must be like {DATE_FORMATS}")
    return read_date(told)[0]


When = Annotated[datetime, BeforeValidator(_date), WithJsonSchema({"type": "string", "minLength": 15, "maxLength": 40})]


def _word(title: str, example: str) -> Any:
    return Field(
        default=UNKNOWN, max_length=MAX_TEXT, title=title, examples=[example],
        description="A word of the data set, in any case; one that the model has never seen gets an answer too",
    )  # fmt: skip


def _people(title: str, example: int) -> Any:
    return Field(default=None, ge=0, le=MAX_PEOPLE, title=title, examples=[example])


class Request(BaseModel):
    """One accident to score. Only when it was and what kind it was are required.

    Both are known the moment an accident is reported; the rest often isn't yet. A word that isn't told is UNKNOWN,
    as in the data set, and a count that isn't told is left to the model, which takes the usual one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)

    crash_date: When = Field(
        title="Date and time", description=f"For example {DATE_FORMATS}", examples=["07/29/2023 01:00:00 PM"]
    )
    first_crash_type: str = Field(
        min_length=1, max_length=MAX_TEXT, title="Kind of the first collision", examples=["REAR END"],
        description="A word of the data set, in any case; UNKNOWN if it isn't known",
    )  # fmt: skip
    crash_type: str | None = _word("Consequence", "NO INJURY / DRIVE AWAY")
    damage: str | None = _word("Damage", "OVER $1,500")
    prim_contributory_cause: str | None = _word("Main cause", "FOLLOWING TOO CLOSELY")
    traffic_control_device: str | None = _word("Traffic control", "TRAFFIC SIGNAL")
    weather_condition: str | None = _word("Weather", "CLEAR")
    lighting_condition: str | None = _word("Light", "DAYLIGHT")
    roadway_surface_cond: str | None = _word("Road surface", "DRY")
    road_defect: str | None = _word("Road defect", "NO DEFECTS")
    trafficway_type: str | None = _word("Kind of road", "NOT DIVIDED")
    alignment: str | None = _word("Course of the road", "STRAIGHT AND LEVEL")
    intersection_related_i: str | None = _word("At an intersection (Y or N)", "Y")
    num_units: int | None = Field(
        default=None, ge=1, le=MAX_UNITS, title="Vehicles and people on foot", examples=[2]
    )  # fmt: skip
    most_severe_injury: str | None = _word("Most severe injury", "NO INDICATION OF INJURY")
    injuries_fatal: int | None = _people("People killed", 0)
    injuries_incapacitating: int | None = _people("People severely injured", 0)
    injuries_non_incapacitating: int | None = _people("People visibly injured", 0)
    injuries_reported_not_evident: int | None = _people("People who report an injury that isn't visible", 0)
    injuries_total: int | None = Field(
        default=None, ge=0, le=MAX_PEOPLE, validate_default=True, title="People injured or killed", examples=[0],
        description="The four counts before it together; taken from them when it is left out",
    )  # fmt: skip
    injuries_no_indication: int | None = _people("People without an injury", 2)
    crash_hour: int | None = Field(
        default=None, ge=0, le=23, validate_default=True, title="Hour", examples=[13],
        description="Taken from the date when it is left out",
    )  # fmt: skip
    crash_day_of_week: int | None = Field(
        default=None, ge=1, le=7, validate_default=True, title="Weekday", examples=[7],
        description="1 Sunday … 7 Saturday; taken from the date when it is left out",
    )  # fmt: skip
    crash_month: int | None = Field(
        default=None, ge=1, le=12, validate_default=True, title="Month", examples=[7],
        description="Taken from the date when it is left out",
    )  # fmt: skip

    @field_validator(*CATEGORIES, mode="before")
    @classmethod
    def _canonical_word(cls, value: Any, info: ValidationInfo) -> Any:
        # Blank isn't an answer to a required field.
        if value is None:
            return None if info.field_name == "first_crash_type" else UNKNOWN
        if not isinstance(value, str):
            return value
        return canonical_word(value) if value.strip() or info.field_name != "first_crash_type" else ""

    @field_validator(*NUMERIC, mode="before")
    @classmethod
    def _untold_is_absent(cls, value: Any) -> Any:
        return None if untold(value) else value

    @field_validator("injuries_total")
    @classmethod
    def _as_the_parts_say(cls, value: int | None, info: ValidationInfo) -> int | None:
        told = [info.data.get(name) for name in INJURY_PARTS]
        parts = [part for part in told if part is not None]
        if not parts:
            return value
        least, rule = sum(parts), "" if len(parts) == len(told) else "at least "
        if value is not None and (value < least or (value > least and not rule)):
            raise ValueError(f"must be {rule}{least}, the sum of the injuries that are told, or be left out")
        if least > MAX_PEOPLE:
            raise ValueError(f"the injuries that are told make {least}; {MAX_PEOPLE} at most")
        return least if value is None else value

    @field_validator("crash_hour", "crash_day_of_week", "crash_month")
    @classmethod
    def _as_the_date_says(cls, value: int | None, info: ValidationInfo) -> int | None:
        when = info.data.get("crash_date")
        if when is None:
            return value
        parts = {
            "crash_hour": when.hour,
            "crash_day_of_week": when.isoweekday() % 7 + 1,
            "crash_month": when.month,
        }
        dated: int = parts[str(info.field_name)]
        if value is not None and value != dated:
            raise ValueError(f"must be {dated}, as crash_date says, or be left out")
        return dated


def features(record: Mapping[str, Any]) -> dict[str, float | str]:
    """Model columns of one canonical row or of a Request's fields; the same for both, and never raises on one.

    `NUMERIC` as floats (NaN for a count that isn't told), `CATEGORICAL` as text, and the calendar: hour, weekday
    and day of the year as sine and cosine, weekend 0 or 1, year. `crash_date` is a datetime (pandas' too).
    """
    columns: dict[str, float | str] = {}
    for name in NUMERIC:
        value = record[name]
        columns[name] = math.nan if value is None else float(value)
    for name in CATEGORICAL:
        columns[name] = record[name]
    when, weekday = record["crash_date"], int(record["crash_day_of_week"])
    columns["hour_sin"], columns["hour_cos"] = _HOURS[int(record["crash_hour"])]
    columns["weekday_sin"], columns["weekday_cos"] = _WEEKDAYS[weekday - 1]
    year = when.year
    columns["season_sin"], columns["season_cos"] = _DAYS[when.toordinal() - date(year, 1, 1).toordinal()]
    columns["weekend"] = 1.0 if weekday in WEEKEND else 0.0
    columns["year"] = float(year)
    return columns


def severe(rows: pd.DataFrame) -> np.ndarray:
    """Which canonical rows are accidents that killed or incapacitated somebody: bool [n].

    A count that isn't told counts as 0.
    """
    counts = rows[["injuries_fatal", "injuries_incapacitating"]].fillna(0)
    found: np.ndarray = (counts > 0).any(axis=1).to_numpy(dtype=bool)
    return found
