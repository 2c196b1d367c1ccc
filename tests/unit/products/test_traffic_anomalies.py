"""Traffic accidents: the request contract, and one truth for the model columns."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import to_json

from mlops_assets.explanations.reasons import Wording
from mlops_assets.products import traffic_anomalies as ta
from mlops_assets.products.traffic_cleaning import COUNTS, INJURY_PARTS, MAX_TEXT
from tests.unit.products.traffic_records import GOOD, REQUEST, accept, cleaned_one, raw, refusals, same


def test_only_when_and_what_are_required() -> None:
    assert [*refusals({})] == ["crash_date", "first_crash_type"]
    request = accept()
    assert {getattr(request, name) for name in ta.CATEGORICAL if name != "first_crash_type"} == {"UNKNOWN"}
    assert {getattr(request, name) for name in COUNTS} == {None}
    assert (request.crash_hour, request.crash_day_of_week, request.crash_month) == (13, 7, 7)


def test_the_fields_are_the_columns_of_the_data_set() -> None:
    assert sorted(ta.Request.model_fields) == sorted(ta.RAW_COLUMNS) == sorted(GOOD)


@pytest.mark.parametrize("name", [name for name in ta.CATEGORICAL if name != "first_crash_type"])
@pytest.mark.parametrize("value", [None, "", "  ", "unknown", " Unknown "])
def test_a_word_that_is_not_told_is_unknown(name: str, value: str | None) -> None:
    assert getattr(accept(**{name: value}), name) == "UNKNOWN"


def test_unknown_everywhere_is_answered() -> None:
    told = dict.fromkeys(GOOD, "unknown") | {"crash_date": GOOD["crash_date"]}
    request = ta.Request.model_validate(told)
    columns = ta.features(vars(request))
    assert {columns[name] for name in ta.CATEGORICAL} == {"UNKNOWN"}
    assert [math.isnan(float(columns[name])) for name in ta.NUMERIC] == [True] * 7 + [False] * 3
    row, result = cleaned_one(**told)
    assert same(ta.features(row), columns)
    assert result.dropped == {}


def test_words_that_the_model_has_never_seen_are_taken_as_the_data_set_writes_words() -> None:
    request = accept(weather_condition=" volcanic   Ash ", first_crash_type="meteorite")
    assert (request.weather_condition, request.first_crash_type) == ("VOLCANIC ASH", "METEORITE")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_crash_type", None),
        ("first_crash_type", ""),
        ("first_crash_type", "   "),
        ("first_crash_type", "\x1c"),
        ("first_crash_type", "x" * (MAX_TEXT + 1)),
        ("first_crash_type", 7),
        ("weather_condition", "x" * (MAX_TEXT + 1)),
        ("weather_condition", 5),
        ("weather_condition", ["CLEAR"]),
        ("num_units", 0),
        ("num_units", -1),
        ("num_units", 101),
        ("num_units", 2.5),
        ("num_units", "two"),
        ("num_units", math.inf),
        ("injuries_fatal", -1),
        ("injuries_total", 1001),
        ("injuries_no_indication", 1001),
        ("crash_hour", 24),
        ("crash_day_of_week", 0),
        ("crash_day_of_week", 8),
        ("crash_month", 13),
        ("severity", "FATAL"),
    ],
)
def test_a_bad_request_names_its_field(field: str, value: object) -> None:
    assert [*refusals({**REQUEST, field: value})] == [field]


@pytest.mark.parametrize(
    ("field", "value", "dated"), [("crash_hour", 1, 13), ("crash_day_of_week", 6, 7), ("crash_month", 8, 7)]
)
def test_a_calendar_field_that_contradicts_the_date_is_refused(field: str, value: int, dated: int) -> None:
    assert refusals({**REQUEST, field: value}) == {
        field: f"Value error, must be {dated}, as crash_date says, or be left out"
    }
    assert getattr(accept(**{field: dated}), field) == dated


def test_a_sunday_is_the_first_day_of_the_week() -> None:
    days = [accept(crash_date=f"2023-07-{day}T10:00").crash_day_of_week for day in range(23, 30)]
    assert days == [1, 2, 3, 4, 5, 6, 7]


def test_the_total_is_the_sum_of_its_parts() -> None:
    parts = dict(zip(INJURY_PARTS, (1, 0, 2, 3), strict=True))
    assert accept(**parts).injuries_total == 6
    assert accept(**parts, injuries_total=6).injuries_total == 6
    assert accept(injuries_fatal=1).injuries_total == 1
    assert accept(injuries_fatal=1, injuries_total=3).injuries_total == 3
    assert accept(injuries_total=3).injuries_total == 3
    for wrong in (5, 7):
        assert "must be 6, the sum" in refusals({**REQUEST, **parts, "injuries_total": wrong})["injuries_total"]
    many = dict.fromkeys(INJURY_PARTS, 300)
    assert "make 1200" in refusals({**REQUEST, **many})["injuries_total"]
    few = {"injuries_fatal": 2, "injuries_total": 1}
    assert "must be at least 2" in refusals({**REQUEST, **few})["injuries_total"]


def test_form_texts_and_blanks_are_understood() -> None:
    form = dict.fromkeys(ta.Request.model_fields, "") | REQUEST | {"num_units": " 3 ", "injuries_fatal": "0"}
    request = ta.Request.model_validate(form)
    assert (request.num_units, request.injuries_fatal, request.injuries_total, request.crash_hour) == (3, 0, 0, 13)
    assert request.weather_condition == "UNKNOWN"


def test_the_examples_of_the_schema_make_a_request_and_every_field_has_a_title() -> None:
    schema = ta.Request.model_json_schema()
    assert schema["required"] == ["crash_date", "first_crash_type"]
    assert schema["properties"]["crash_date"]["type"] == "string"
    examples = {name: declared["examples"][0] for name, declared in schema["properties"].items()}
    assert ta.Request.model_validate(examples).crash_hour == 13
    assert all(declared["title"] and "_" not in declared["title"] for declared in schema["properties"].values())


def test_a_request_as_json_reads_back_as_itself() -> None:
    request = accept(weather_condition="RAIN", injuries_fatal=1)
    assert ta.Request.model_validate_json(to_json(request)) == request


def test_the_model_columns_are_those_of_the_reference_and_the_calendar_in_this_order() -> None:
    assert [*ta.features(vars(accept()))] == [*ta.NUMERIC, *ta.CATEGORICAL, *ta.CALENDAR]
    assert len(ta.NUMERIC) == 10
    assert len(ta.CATEGORICAL) == 13


def test_calendar_columns() -> None:
    columns = ta.features(vars(accept(crash_date="2023-01-01T06:30")))
    told = {name: columns[name] for name in ta.CALENDAR}
    assert told == pytest.approx(
        {
            "hour_sin": 1.0,
            "hour_cos": 0.0,
            "weekday_sin": 0.0,
            "weekday_cos": 1.0,
            "season_sin": 0.0,
            "season_cos": 1.0,
            "weekend": 1.0,
            "year": 2023.0,
        },
        abs=1e-12,
    )


def test_midnight_and_the_turn_of_the_year_are_near_to_their_neighbours() -> None:
    late, early = (ta.features(vars(accept(crash_date=t))) for t in ("2024-12-31T23:30", "2025-01-01T00:30"))
    for name in ("hour", "weekday", "season"):
        apart = math.dist(
            [float(late[f"{name}_{part}"]) for part in ("sin", "cos")],
            [float(early[f"{name}_{part}"]) for part in ("sin", "cos")],
        )
        assert apart < 2 * math.pi / 7


def test_the_weekend_is_saturday_and_sunday() -> None:
    days = [ta.features(vars(accept(crash_date=f"2023-07-{day}T10:00")))["weekend"] for day in range(23, 30)]
    assert days == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


def test_reasons_have_a_name_for_every_column_and_know_what_belongs_together() -> None:
    columns = ta.features(vars(accept()))
    grouped = [name for group in ta.TOLD_TOGETHER for name in group]
    assert sorted(grouped) == sorted(set(grouped) & set(columns))
    told = {*ta.NUMERIC, *ta.CATEGORICAL, *(group[0] for group in ta.TOLD_TOGETHER)}
    assert set(Wording.model_validate(ta.WORDING).labels) == told
    # What follows from the date is derived, so it is told by what it is derived from.
    assert set(ta.CALENDAR) <= set(grouped)


def test_weekdays_and_months_of_reasons_are_those_of_the_date() -> None:
    for day in range(1, 366, 5):
        when = datetime(2023, 1, 1) + timedelta(days=day)
        columns = ta.features(vars(accept(crash_date=when.isoformat())))
        for name, layout in (("crash_day_of_week", "%A"), ("crash_month", "%B")):
            assert ta.WORDING["values"][name][f"{columns[name]:g}"] == f"{when:{layout}}"


def test_severe_is_where_somebody_was_killed_or_incapacitated() -> None:
    told = [("0", "0"), ("1", "0"), ("0", "2"), ("", ""), ("", "1"), ("3", "")]
    rows = ta.clean(raw(*({"injuries_fatal": fatal, "injuries_incapacitating": other} for fatal, other in told))).rows
    assert rows["injuries_fatal"].isna().sum() == 2
    found = ta.severe(rows)
    assert found.dtype == bool
    assert found.tolist() == [False, True, True, False, True, True]
    assert ta.severe(rows.iloc[[5, 0]]).tolist() == [True, False]
    assert ta.severe(rows.head(0)).tolist() == []


words = st.text(min_size=1, max_size=40).filter(lambda text: text.strip() != "")
counts = st.none() | st.integers(0, 50)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 12, 31, 23, 59, 59))


@st.composite
def records(draw: st.DrawFn) -> dict[str, str]:
    """Text as a client or a file writes it, without contradictions."""
    when = draw(moments)
    told = {name: draw(st.none() | words) for name in ta.CATEGORICAL}
    told["first_crash_type"] = draw(words)
    told |= {name: None if (n := draw(counts)) is None else str(n) for name in INJURY_PARTS}
    told["injuries_no_indication"] = draw(st.none() | st.integers(0, 1000).map(str))
    told["num_units"] = draw(st.none() | st.integers(1, 100).map(str))
    layout = draw(st.sampled_from(["%m/%d/%Y %I:%M:%S %p", "%Y-%m-%dT%H:%M:%S"]))
    return {name: text for name, text in told.items() if text is not None} | {"crash_date": when.strftime(layout)}


@given(records())
def test_a_record_has_the_same_columns_as_a_request_and_as_a_row_of_a_file(record: dict[str, str]) -> None:
    from_request = ta.features(vars(ta.Request.model_validate(record)))
    result = ta.clean(pd.DataFrame([dict.fromkeys(GOOD) | record], dtype=object))
    assert result.dropped == {}
    row = {str(name): value for name, value in result.rows.iloc[0].items()}
    assert same(ta.features(row), from_request)
    assert all(isinstance(from_request[name], float) for name in (*ta.NUMERIC, *ta.CALENDAR))
    assert all(isinstance(from_request[name], str) for name in ta.CATEGORICAL)
    # And back: every canonical row is a valid request, which says the same.
    again = ta.Request.model_validate({name: value for name, value in row.items() if not pd.isna(value)})
    assert same(ta.features(vars(again)), from_request)


@given(st.dictionaries(st.sampled_from([*GOOD]), st.text(max_size=30) | st.none() | st.floats() | st.integers()))
def test_whatever_a_client_sends_is_validated_or_refused(change: dict[str, object]) -> None:
    try:
        request = ta.Request.model_validate({**REQUEST, **change})
    except ValidationError:
        return
    assert not any(math.isinf(value) for value in ta.features(vars(request)).values() if isinstance(value, float))
