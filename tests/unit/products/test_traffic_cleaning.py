"""Raw traffic accidents become canonical rows: every row is kept or dropped with a reason, and the real file whole."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.products import traffic_anomalies as ta
from mlops_assets.products.traffic_cleaning import COUNTS, INJURY_PARTS, MAX_TEXT
from tests.unit.products.traffic_records import GOOD, cleaned_one, raw, same


@pytest.mark.parametrize("name", [*COUNTS])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-1", "impossible"),
        ("-1.0", "impossible"),
        ("1.5", "impossible"),
        ("1001", "impossible"),
        ("two", "not_a_number"),
        ("1e3", "not_a_number"),
        ("inf", "not_a_number"),
        ("1_0", "not_a_number"),
        ("١", "not_a_number"),
    ],
)
def test_a_count_that_cannot_be_drops_the_row_under_that_reason(name: str, text: str, reason: str) -> None:
    result = ta.clean(raw({name: text}))
    assert result.dropped == {f"{name}_{reason}": 1}
    assert result.rows.empty
    assert result.handled == {}


@pytest.mark.parametrize("value", [None, float("nan"), "", " ", "UNKNOWN", "unknown"])
def test_a_count_that_is_not_told_is_kept_as_not_told(value: object) -> None:
    row, result = cleaned_one(num_units=value)
    assert math.isnan(row["num_units"])
    assert result.handled == {"num_units_missing": 1}


def test_the_first_reason_counts_and_every_row_is_accounted_for() -> None:
    frame = raw(
        {}, {"crash_date": "x", "num_units": "-1"}, {"num_units": "-1", "injuries_fatal": "x"}, {"damage": None}
    )
    result = ta.clean(frame)
    assert result.dropped == {"crash_date_unreadable": 1, "num_units_impossible": 1}
    assert result.handled == {"damage_missing": 1}
    assert len(result.rows) + sum(result.dropped.values()) == len(frame)


def test_words_are_written_alike_and_what_changed_is_counted() -> None:
    words = ["Clear", " CLEAR ", "CLEAR", None, "", "x" * (MAX_TEXT + 1), "volcanic  ash"]
    result = ta.clean(raw(*({"weather_condition": word, "num_units": str(i + 1)} for i, word in enumerate(words))))
    expected = ["CLEAR"] * 3 + ["UNKNOWN"] * 3 + ["VOLCANIC ASH"]
    assert result.rows["weather_condition"].tolist() == expected
    assert result.handled == {
        "weather_condition_respelled": 3,
        "weather_condition_missing": 2,
        "weather_condition_too_long": 1,
    }


def test_the_date_is_believed_when_the_hour_weekday_or_month_contradict_it() -> None:
    result = ta.clean(
        raw({"crash_hour": "1"}, {"crash_hour": "99"}, {"crash_day_of_week": "x"}, {"crash_month": None}, {})
    )
    assert result.rows[["crash_hour", "crash_day_of_week", "crash_month"]].drop_duplicates().to_numpy().tolist() == [
        [13, 7, 7]
    ]
    assert result.handled == {
        "crash_hour_corrected": 2,
        "crash_day_of_week_corrected": 1,
        "crash_month_missing": 1,
        "duplicate_kept": 4,
    }


@pytest.mark.parametrize(
    ("change", "total", "handled"),
    [
        ({"injuries_fatal": "1", "injuries_total": "1"}, 1, {}),
        ({"injuries_fatal": "1"}, 1, {"injuries_total_corrected": 1}),
        ({"injuries_total": "4"}, 0, {"injuries_total_corrected": 1}),
        ({"injuries_total": None, "injuries_fatal": "2"}, 2, {"injuries_total_missing": 1}),
        ({"injuries_fatal": None, "injuries_total": "4"}, 4, {"injuries_fatal_missing": 1}),
        (
            {"injuries_fatal": None, "injuries_incapacitating": "3", "injuries_total": "1"},
            3,
            {"injuries_fatal_missing": 1, "injuries_total_corrected": 1},
        ),
        (
            dict.fromkeys((*INJURY_PARTS, "injuries_total")),
            math.nan,
            {f"{name}_missing": 1 for name in ("injuries_total", *INJURY_PARTS)},
        ),
    ],
)
def test_the_total_follows_its_parts(change: dict[str, object], total: float, handled: dict[str, int]) -> None:
    row, result = cleaned_one(**change)
    assert repr(float(row["injuries_total"])) == repr(float(total))
    assert result.handled == handled


def test_parts_that_add_up_to_more_people_than_can_be_drop_the_row() -> None:
    result = ta.clean(raw(dict.fromkeys(INJURY_PARTS, "300")))
    assert result.dropped == {"injuries_total_impossible": 1}
    assert result.handled == {}


def test_columns_may_come_in_any_order_and_more_than_needed() -> None:
    frame = raw({}, {"first_crash_type": "ANGLE", "crash_hour": "2"})
    turned = frame[frame.columns[::-1]].assign(note="x")
    pd.testing.assert_frame_equal(ta.clean(turned).rows, ta.clean(frame).rows)
    assert ta.clean(turned).rows.columns.tolist() == list(ta.RAW_COLUMNS)
    assert ta.clean(turned).handled == ta.clean(frame).handled


def test_a_file_twice_is_kept_and_every_repeat_counted() -> None:
    frame = raw({}, {"damage": "OVER $1,500"}, {"num_units": "3"})
    result = ta.clean(pd.concat([frame, frame], ignore_index=True))
    assert len(result.rows) == 6
    assert result.dropped == {}
    assert result.handled == {"duplicate_kept": 3}


def test_the_index_and_the_types_of_the_raw_rows_do_not_matter() -> None:
    texts = raw({}, {"num_units": "3"})
    numbers = texts.assign(
        num_units=[2, 3], injuries_no_indication=[3.0, 3.0], crash_hour=13, crash_date=pd.Timestamp("2023-07-29 13:00")
    ).set_index(pd.Index([7, 7]))
    pd.testing.assert_frame_equal(ta.clean(numbers).rows, ta.clean(texts).rows)


def test_missing_raw_columns_are_named() -> None:
    with pytest.raises(ValueError, match="crash_date, damage"):
        ta.clean(raw({}).drop(columns=["damage", "crash_date"]))


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_month_with_hardly_a_row_has_all_columns_and_types(rows: int) -> None:
    # 2013 has two rows in the real file.
    dates = [{"crash_date": "03/29/2013 04:05:00 PM"}, {"crash_date": "06/09/2013 03:25:00 AM"}][:rows]
    frame = raw(*dates) if rows else pd.DataFrame(columns=list(GOOD), dtype=object)
    result = ta.clean(frame)
    assert len(result.rows) == rows
    kinds = {name: str(kind) for name, kind in result.rows.dtypes.items()}
    assert kinds.pop("crash_date") == "datetime64[ns]"
    assert {kinds[name] for name in ta.NUMERIC} == {"float64"}
    assert {kinds[name] for name in ta.CATEGORICAL} == {"object"}
    assert result.dropped == {}


def test_the_raw_rows_are_left_as_they_were() -> None:
    frame = raw({"weather_condition": "clear"}, {"crash_hour": "1"})
    before = frame.copy(deep=True)
    ta.clean(frame)
    pd.testing.assert_frame_equal(frame, before)


@given(st.dictionaries(st.sampled_from([*GOOD]), st.text(max_size=30) | st.none() | st.floats() | st.integers()))
def test_whatever_a_file_holds_is_kept_or_dropped_with_a_reason(change: dict[str, object]) -> None:
    result = ta.clean(raw(change))
    assert len(result.rows) + sum(result.dropped.values()) == 1
    for row in result.rows.to_dict("records"):
        ta.Request.model_validate({name: value for name, value in row.items() if not pd.isna(value)})


@pytest.mark.real_data
def test_the_real_file_is_kept_as_it_is(real_data: Path) -> None:
    frame = pd.read_csv(real_data / "traffic_accidents.csv.gz", dtype=str, keep_default_na=False)
    result = ta.clean(frame)
    assert len(frame) == len(result.rows) == 209_306
    # No hour, weekday, month or total contradicts another cell, and no word has another spelling.
    assert result.dropped == {}
    assert result.handled == {"duplicate_kept": 31}
    assert not result.rows.isna().any().any()
    assert (result.rows["crash_date"].dt.year == 2013).sum() == 2
    assert sum(result.rows[name].nunique() for name in ta.CATEGORICAL) + len(ta.NUMERIC) == 157
    # What a plain script reads of the file, value by value: the reference's matrix can be made of these rows.
    for name in ta.CATEGORICAL:
        assert (result.rows[name] == frame[name]).all()
    for name in ta.NUMERIC:
        assert (result.rows[name] == frame[name].astype(float)).all()
    for position in range(0, len(frame), 997):
        request = ta.Request.model_validate(frame.iloc[position].to_dict())
        row = {str(name): value for name, value in result.rows.iloc[position].items()}
        assert same(ta.features(vars(request)), ta.features(row))
