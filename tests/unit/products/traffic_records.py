"""One traffic accident as a file and as a client tell it, and the short ways in which the tests ask about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from mlops_assets.products import traffic_anomalies as ta
from mlops_assets.products.cleaned import Cleaned

GOOD = {
    "crash_date": "07/29/2023 01:00:00 PM",
    "traffic_control_device": "TRAFFIC SIGNAL",
    "weather_condition": "CLEAR",
    "lighting_condition": "DAYLIGHT",
    "first_crash_type": "TURNING",
    "trafficway_type": "NOT DIVIDED",
    "alignment": "STRAIGHT AND LEVEL",
    "roadway_surface_cond": "UNKNOWN",
    "road_defect": "UNKNOWN",
    "crash_type": "NO INJURY / DRIVE AWAY",
    "intersection_related_i": "Y",
    "damage": "$501 - $1,500",
    "prim_contributory_cause": "UNABLE TO DETERMINE",
    "num_units": "2",
    "most_severe_injury": "NO INDICATION OF INJURY",
    "injuries_total": "0.0",
    "injuries_fatal": "0.0",
    "injuries_incapacitating": "0.0",
    "injuries_non_incapacitating": "0.0",
    "injuries_reported_not_evident": "0.0",
    "injuries_no_indication": "3.0",
    "crash_hour": "13",
    "crash_day_of_week": "7",
    "crash_month": "7",
}
REQUEST: dict[str, Any] = {"crash_date": "07/29/2023 01:00:00 PM", "first_crash_type": "REAR END"}


def raw(*changes: Mapping[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{**GOOD, **change} for change in changes], dtype=object)


def cleaned_one(**change: object) -> tuple[dict[str, Any], Cleaned]:
    result = ta.clean(raw(change))
    assert len(result.rows) == 1, result.dropped
    return {str(name): value for name, value in result.rows.iloc[0].items()}, result


def accept(**change: Any) -> ta.Request:
    return ta.Request.model_validate({**REQUEST, **change})


def refusals(record: dict[str, Any]) -> dict[str, str]:
    """Field → message of each error."""
    with pytest.raises(ValidationError) as error:
        ta.Request.model_validate(record)
    return {str(item["loc"][0]): item["msg"] for item in error.value.errors()}


def same(one: dict[str, float | str], other: dict[str, float | str]) -> bool:
    """Equal names in equal order, and equal values; NaN equals NaN."""
    return [*one] == [*other] and [repr(v) for v in one.values()] == [repr(v) for v in other.values()]
