"""When an accident was: two formats are read, in files and in requests alike, and nothing is guessed."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from mlops_assets.products import traffic_anomalies as ta
from tests.unit.products.traffic_records import REQUEST, accept, cleaned_one, raw, refusals

# One Saturday, 1 PM, as each format tells it.
SAME_MOMENT = [
    "07/29/2023 01:00:00 PM",
    "7/29/2023 1:00 pm",
    " 07/29/2023 01:00PM ",
    "2023-07-29T13:00:00",
    "2023-07-29 13:00",
    "2023-07-29T13:00:00.000",
]
UNREADABLE = [
    "yesterday",
    "2023-07-29",
    "07/29/2023",
    "07/29/2023 13:00:00",
    "29.07.2023 13:00",
    "2023/07/29 13:00",
    "29-07-2023 13:00:00",
    "2023-07-29T13:00:00Z",
    "2023-07-29T13:00:00-05:00",
    "20230729130000",
    "1690635600",
    "07/29/23 01:00:00 PM",
]
IMPOSSIBLE = [
    "02/31/2023 01:00:00 PM",
    "02/29/2023 01:00:00 PM",
    "2023-02-31T13:00:00",
    "29/07/2023 01:00:00 PM",
    "07/29/2023 13:00:00 PM",
    "07/29/2023 00:30:00 AM",
    "2023-07-29T24:00:00",
    "2023-07-29T13:60:00",
    "12/31/1989 11:59:59 PM",
    "2101-01-01T00:00:00",
    "0000-01-01T00:00",
]


@pytest.mark.parametrize("text", SAME_MOMENT)
def test_a_date_in_each_format_is_the_same_moment(text: str) -> None:
    row, result = cleaned_one(crash_date=text)
    assert row["crash_date"] == pd.Timestamp("2023-07-29 13:00:00")
    assert accept(crash_date=text).crash_date == datetime(2023, 7, 29, 13)
    assert result.handled == ({"crash_date_iso": 1} if text.startswith("2023") else {})


@pytest.mark.parametrize(("text", "hour"), [("12:05:00 AM", 0), ("12:05:00 PM", 12), ("11:59:59 PM", 23)])
def test_noon_and_midnight_of_a_twelve_hour_clock(text: str, hour: int) -> None:
    assert accept(crash_date=f"07/29/2023 {text}").crash_hour == hour


@pytest.mark.parametrize("text", UNREADABLE)
def test_no_date_is_guessed(text: str) -> None:
    assert ta.clean(raw({"crash_date": text})).dropped == {"crash_date_unreadable": 1}
    message = refusals({**REQUEST, "crash_date": text})["crash_date"]
    assert "07/29/2023 01:00:00 PM" in message
    assert "2023-07-29T13:00:00" in message


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_a_date_that_cannot_be_is_refused(text: str) -> None:
    assert ta.clean(raw({"crash_date": text})).dropped == {"crash_date_impossible": 1}
    assert [*refusals({**REQUEST, "crash_date": text})] == ["crash_date"]


@pytest.mark.parametrize("value", [None, "", " ", 1690635600, 1.5, True, [], {}, datetime(2023, 7, 29, tzinfo=UTC)])
def test_what_is_no_date_at_all_is_refused_with_the_formats(value: object) -> None:
    assert "07/29/2023 01:00:00 PM" in refusals({**REQUEST, "crash_date": value})["crash_date"]


@pytest.mark.parametrize("value", [None, float("nan"), pd.NaT, "", " ", "UNKNOWN"])
def test_a_row_without_a_date_is_dropped(value: object) -> None:
    assert ta.clean(raw({"crash_date": value})).dropped == {"crash_date_missing": 1}


def test_mixed_formats_in_one_file_are_read_and_counted() -> None:
    result = ta.clean(raw(*({"crash_date": text} for text in SAME_MOMENT), {"crash_date": "02/30/2023 01:00:00 PM"}))
    assert result.rows["crash_date"].nunique() == 1
    assert result.rows["crash_date"].dtype == np.dtype("datetime64[ns]")
    assert result.dropped == {"crash_date_impossible": 1}
    assert result.handled == {"crash_date_iso": 3, "duplicate_kept": 5}
