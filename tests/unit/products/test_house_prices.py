"""House prices: the request contract, the cleaning of messy listings, and one truth for the model columns."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlops_assets.products import house_prices as hp

GOOD = {
    "area_type": "Super built-up  Area",
    "availability": "19-Dec",
    "location": "Electronic City Phase II",
    "size": "2 BHK",
    "society": "Coomee ",
    "total_sqft": "1056",
    "bath": "2",
    "balcony": "1",
    "price": "39.07",
}


def raw(*changes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{**GOOD, **change} for change in changes], dtype=object)


def cleaned_one(**change: object) -> dict[str, object]:
    result = hp.clean(raw(change))
    assert len(result.rows) == 1, result.dropped
    return result.rows.iloc[0].to_dict()


@pytest.mark.parametrize(
    ("text", "sqft"),
    [
        ("1056", 1056.0),
        (" 1056.5 ", 1056.5),
        ("2100 - 2850", 2475.0),
        ("1200-1300", 1250.0),
        ("100Sq. Meter", 1076.391),
        ("100 sq. meter", 1076.391),
        ("100Sq. Yards", 900.0),
        ("0.1Acres", 4356.0),
        ("3Cents", 1306.8),
        ("2Guntha", 2178.0),
        ("10Perch", 2722.5),
        ("1Grounds", 2400.0),
    ],
)
def test_area_in_every_notation(text: str, sqft: float) -> None:
    assert cleaned_one(total_sqft=text)["total_sqft"] == pytest.approx(sqft, rel=1e-6)


@pytest.mark.parametrize("text", ["-1200", "1200 sq ft", "1e3", "nan", "inf", "1200 - ", "12,00", "Acres", "1 - 2 - 3"])
def test_unreadable_area_drops_the_row_under_that_reason(text: str) -> None:
    assert hp.clean(raw({"total_sqft": text})).dropped == {"total_sqft_unreadable": 1}


@pytest.mark.parametrize(("size", "bhk"), [("2 BHK", 2), ("3 Bedroom", 3), ("1 RK", 1), ("2BHK", 2)])
def test_size_words(size: str, bhk: int) -> None:
    assert cleaned_one(size=size, bath="2")["bhk"] == bhk


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"location": None}, "location_missing"),
        ({"location": "   "}, "location_missing"),
        ({"location": "x" * 121}, "location_too_long"),
        ({"total_sqft": float("nan")}, "total_sqft_missing"),
        ({"total_sqft": "0"}, "total_sqft_not_positive"),
        ({"total_sqft": "599"}, "under_300_sqft_per_bhk"),
        ({"total_sqft": "10000"}, "total_sqft_10000_or_more"),
        ({"size": None}, "size_missing"),
        ({"size": "two BHK"}, "size_unreadable"),
        ({"size": "0 BHK"}, "size_unreadable"),
        ({"size": "43 Bedroom"}, "under_300_sqft_per_bhk"),
        ({"bath": None}, "bath_missing"),
        ({"bath": "2.5"}, "bath_unreadable"),
        ({"bath": "0"}, "bath_unreadable"),
        ({"bath": "5"}, "over_2_more_baths_than_bhk"),
        ({"price": None}, "price_missing"),
        ({"price": "on request"}, "price_not_a_number"),
        ({"price": "nan"}, "price_not_a_number"),
        ({"price": "inf"}, "price_not_a_number"),
        ({"price": "0"}, "price_not_positive"),
        ({"price": "-39"}, "price_not_positive"),
    ],
)
def test_dropped_by_reason(change: dict[str, object], reason: str) -> None:
    result = hp.clean(raw(change))
    assert result.dropped == {reason: 1}
    assert result.rows.empty
    assert result.handled == {}


def test_price_size_never_decides() -> None:
    assert len(hp.clean(raw({"price": "0.01"}, {"price": "99999999"})).rows) == 2


def test_exact_duplicates_go_once_and_nulls_compare_equal() -> None:
    result = hp.clean(raw({"society": None}, {"society": float("nan")}, {"society": ""}, {}))
    # A null and an empty cell are different texts in the file, so only the first two are the same row.
    assert result.dropped == {"duplicate": 1}
    assert len(result.rows) == 3


def test_every_row_is_accounted_for() -> None:
    frame = raw({}, {}, {"bath": None}, {"price": "x"}, {"total_sqft": "1 - 2"}, {"location": "Hebbal"})
    result = hp.clean(frame)
    assert len(result.rows) + sum(result.dropped.values()) == len(frame)


def test_locations_take_their_most_frequent_spelling() -> None:
    names = ["Indira Nagar", "INDIRA NAGAR", " indira  nagar ", "Indira Nagar", "Hebbal"]
    result = hp.clean(raw(*({"location": name, "price": str(40 + i)} for i, name in enumerate(names))))
    assert set(result.rows["location"]) == {"Indira Nagar", "Hebbal"}
    assert result.handled["location_respelled"] == 2


def test_unreadable_optional_fields_become_null_and_are_counted() -> None:
    odd = {"area_type": "Balcony", "availability": "soon", "balcony": "many", "society": "s" * 121}
    result = hp.clean(raw(odd))
    row = result.rows.iloc[0]
    for field in odd:
        assert pd.isna(row[field])
        assert result.handled[f"{field}_unreadable"] == 1


def test_missing_raw_columns_are_named() -> None:
    with pytest.raises(ValueError, match="bath, price"):
        hp.clean(raw({}).drop(columns=["price", "bath"]))


def test_an_empty_file_gives_no_rows_and_all_columns() -> None:
    result = hp.clean(pd.DataFrame(columns=list(hp.RAW_COLUMNS)))
    assert list(result.rows.columns) == list(hp.COLUMNS)
    assert result.dropped == {}


REQUEST = {"total_sqft": 1200, "location": "Whitefield", "bhk": 2, "bath": 2}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total_sqft", 0),
        ("total_sqft", -5),
        ("total_sqft", 20_001),
        ("total_sqft", math.nan),
        ("total_sqft", math.inf),
        ("location", ""),
        ("location", "   "),
        ("location", "x" * 121),
        ("bhk", 0),
        ("bhk", 51),
        ("bhk", 2.5),
        ("bath", 0),
        ("balcony", -1),
        ("area_type", "Balcony"),
        ("availability", "soon"),
        ("availability", "18-Foo"),
        ("society", "s" * 121),
        ("bedrooms", 2),
    ],
)
def test_a_bad_request_names_its_field(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as error:
        hp.Request.model_validate({**REQUEST, field: value})
    assert [item["loc"][0] for item in error.value.errors()] == [field]


@pytest.mark.parametrize("field", ["total_sqft", "location", "bhk", "bath"])
def test_four_fields_are_required(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        hp.Request.model_validate({name: value for name, value in REQUEST.items() if name != field})


def test_form_texts_and_blanks_are_understood() -> None:
    form = {
        "total_sqft": "1200",
        "location": " Whitefield ",
        "bhk": "2",
        "bath": "2",
        "balcony": "",
        "society": " ",
    }
    request = hp.Request.model_validate({**form, "area_type": "plot  AREA", "availability": "Ready to move"})
    assert (request.total_sqft, request.bhk, request.location) == (1200.0, 2, "Whitefield")
    assert (request.balcony, request.society, request.area_type) == (None, None, "Plot Area")


def test_every_canonical_row_is_a_valid_request() -> None:
    frame = raw({}, {"society": None, "balcony": None}, {"availability": "Immediate Possession", "balcony": "21"})
    for row in hp.clean(frame).rows.astype(object).to_dict("records"):
        row.pop("price")
        hp.Request.model_validate({k: v for k, v in row.items() if not pd.isna(v)})


texts = st.text(min_size=1, max_size=120).filter(lambda text: text.strip() != "")
requests = st.builds(
    hp.Request,
    total_sqft=st.floats(min_value=1e-6, max_value=20_000),
    location=texts,
    bhk=st.integers(1, 50),
    bath=st.integers(1, 50),
    area_type=st.none() | st.sampled_from(hp.AREA_TYPES),
    availability=st.none() | st.sampled_from(["Ready To Move", "18-Dec", "22-jan"]),
    balcony=st.none() | st.integers(0, 20),
    society=st.none() | texts,
)


@given(requests)
def test_features_are_total_and_keep_their_types(request: hp.Request) -> None:
    columns = hp.features(request.model_dump())
    numbers = {name: value for name, value in columns.items() if isinstance(value, float)}
    assert all(isinstance(value, float | str) for value in columns.values())
    assert not any(math.isinf(value) for value in numbers.values())
    assert set(columns) == set(hp.features(REQUEST))


@given(requests, texts)
def test_a_location_changes_location_columns_only(request: hp.Request, name: str) -> None:
    before = hp.features(request.model_dump())
    after = hp.features({**request.model_dump(), "location": name})
    for column, value in before.items():
        if not column.startswith("location"):
            assert repr(value) == repr(after[column])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("JP Nagar 7th Phase,", "7th Phase JP Nagar"),
        ("Electronic City Phase II", "electronic  city phase 2"),
        ("Rajaji Nagar", "RajajiNagar"),
        ("ECC Road, Whitefield, ", "ecc road whitefield"),
    ],
)
def test_spellings_of_one_place_meet(one: str, other: str) -> None:
    assert hp.features({**REQUEST, "location": one}) == pytest.approx(
        hp.features({**REQUEST, "location": other}), nan_ok=True
    )


def test_phases_of_a_neighbourhood_share_only_the_neighbourhood() -> None:
    first, second = (hp.features({**REQUEST, "location": f"{n} Phase JP Nagar"}) for n in ("1st", "8th"))
    assert first["location_area"] == second["location_area"]
    assert first["location"] != second["location"]


def test_availability_becomes_ready_and_year() -> None:
    def columns(text: str | None) -> tuple[object, object]:
        found = hp.features({**REQUEST, "availability": text})
        return found["ready"], found["possession_year"]

    assert columns("18-Jul") == (0.0, 18.5)
    assert columns("Immediate Possession")[0] == 1.0
    assert math.isnan(columns("Ready To Move")[1])  # type: ignore[arg-type]
    assert all(math.isnan(value) for value in columns(None))  # type: ignore[arg-type]


@pytest.mark.real_data
def test_the_real_file_keeps_11_926_of_13_320_rows() -> None:
    path = Path(os.environ["MLOPS_REAL_DATA"]) / "bengaluru_house_prices.csv"
    result = hp.clean(pd.read_csv(path, dtype=str))
    assert len(result.rows) == 11_926
    assert len(result.rows) + sum(result.dropped.values()) == 13_320
    assert result.dropped["duplicate"] == 529
    assert result.rows.drop(columns=["balcony", "society"]).notna().all().all()
