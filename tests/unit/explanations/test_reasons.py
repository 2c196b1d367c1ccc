"""Reasons name the value that was made odd, say how rare it is, and cost one call of the detector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.explanations.reasons import NOTHING, Wording, explain
from mlops_assets.explanations.reference import Columns, Reference

NUMERIC = ("vehicles", "crash_hour", "hour_sin")
CATEGORICAL = ("alignment", "light")
GROUPS = (("crash_hour", "hour_sin"),)
WORDING = Wording(
    labels={"vehicles": "{} vehicle|{} vehicles", "crash_hour": "hour {}"},
    values={"light": {"DAYLIGHT": "day"}},
    records="accidents",
    untold=("UNKNOWN",),
)


def training(rows: int = 10_000) -> pd.DataFrame:
    """Mostly 2 vehicles at 17 o'clock on straight roads by day; 3 curves on a crest and 10 times 6 vehicles."""
    hour = np.full(rows, 17.0)
    hour[:100] = 4.0
    vehicles = np.full(rows, 2.0)
    vehicles[:10], vehicles[10:300] = 6.0, 1.0
    alignment = np.full(rows, "STRAIGHT", dtype=object)
    alignment[:3], alignment[3:500] = "CURVE ON HILLCREST", "CURVE, LEVEL"
    light = np.where(np.arange(rows) % 5 == 0, "DARKNESS", "DAYLIGHT").astype(object)
    light[-1] = None
    return pd.DataFrame(
        {"vehicles": vehicles, "crash_hour": hour, "hour_sin": np.sin(hour), "alignment": alignment, "light": light}
    )


REFERENCE = Reference.of(training(), NUMERIC, CATEGORICAL, GROUPS)
TYPICAL = {"vehicles": 2.0, "crash_hour": 17.0, "hour_sin": np.sin(17.0), "alignment": "STRAIGHT", "light": "DAYLIGHT"}


def records(*changes: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([{**TYPICAL, **change} for change in changes])


class Detector:
    """Scores fall with what isn't typical, each column by its weight; remembers what it was asked."""

    def __init__(self, **weights: float) -> None:
        self.weights = weights or {"vehicles": 3.0, "crash_hour": 2.0, "alignment": 4.0, "light": 1.0}
        self.asked: list[Columns] = []

    def __call__(self, columns: Columns) -> np.ndarray:
        self.asked.append(columns)
        return 10 - sum(w * (columns[name] != TYPICAL[name]).astype(float) for name, w in self.weights.items())


def texts(frame: Any, detector: Any = None, **options: Any) -> list[str]:
    return [found.text for found in explain(frame, detector or Detector(), REFERENCE, WORDING, **options)]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"alignment": "CURVE ON HILLCREST"}, "alignment CURVE ON HILLCREST (0.03 % of accidents)"),
        ({"alignment": "CURVE, LEVEL"}, "alignment CURVE, LEVEL (5 % of accidents)"),
        ({"vehicles": 6.0}, "6 vehicles (0.1 % have 6 or more)"),
        ({"vehicles": 4.0}, "4 vehicles (0.1 % have 4 or more)"),
        ({"vehicles": 1.0}, "1 vehicle (2.9 % of accidents)"),
        ({"vehicles": 30.0}, "30 vehicles (never seen in training, where the highest is 6)"),
        ({"vehicles": 0.0}, "0 vehicles (never seen in training, where the lowest is 1)"),
        ({"vehicles": np.nan}, "vehicles not told (never seen in training)"),
        ({"crash_hour": 4.0, "hour_sin": np.sin(4.0)}, "hour 4 (1 % of accidents)"),
        ({"alignment": "UPSIDE  DOWN"}, "alignment UPSIDE DOWN (never seen in training)"),
        ({"alignment": "UPSIDE\n\x00\ud800DOWN"}, "alignment UPSIDE DOWN (never seen in training)"),
        ({"light": "DARKNESS"}, "light DARKNESS (20 % of accidents)"),
        ({"light": None}, "light not told (0.01 % of accidents)"),
        ({"light": ""}, "light not told (0.01 % of accidents)"),
        ({"light": "UNKNOWN"}, "light not told (never seen in training)"),
        ({}, NOTHING),
    ],
)
def test_the_odd_value_is_named_with_how_rare_it_is(change: dict[str, Any], text: str) -> None:
    assert texts(records(change)) == [text]


def test_the_three_strongest_come_first_and_each_record_has_its_own() -> None:
    every = {"vehicles": 6.0, "crash_hour": 4.0, "alignment": "CURVE, LEVEL", "light": "DARKNESS"}
    first, second = explain(records(every, {"light": "DARKNESS"}), Detector(), REFERENCE, WORDING)
    assert [reason.column for reason in first.reasons] == ["alignment", "vehicles", "crash_hour"]
    assert [reason.gain for reason in first.reasons] == [4.0, 3.0, 2.0]
    assert (first.score, second.score) == (0.0, 9.0)
    assert [reason.column for reason in second.reasons] == ["light"]


def test_equal_gains_keep_the_order_of_the_columns() -> None:
    detector = Detector(light=1.0, alignment=1.0, vehicles=1.0)
    frame = records({"light": "DARKNESS", "alignment": "CURVE, LEVEL", "vehicles": 6.0})
    found = explain(frame[list(reversed(frame.columns))], detector, REFERENCE)[0]
    assert [reason.column for reason in found.reasons] == ["vehicles", "alignment", "light"]


def test_a_value_that_hardly_matters_is_no_reason() -> None:
    detector = Detector(alignment=9.0, light=0.1)
    assert texts(records({"alignment": "CURVE, LEVEL", "light": "DARKNESS"}), detector) == [
        "alignment CURVE, LEVEL (5 % of accidents)"
    ]


def test_what_no_single_value_explains_is_a_combination_rarest_first() -> None:
    def both(columns: Columns) -> np.ndarray:
        """Odd as long as at most one of three is typical: no single replacement is enough."""
        odd = sum((columns[name] != TYPICAL[name]).astype(int) for name in ("vehicles", "alignment", "light"))
        return np.where(odd >= 2, -1.0, 1.0)

    frame = records({"vehicles": 6.0, "alignment": "CURVE, LEVEL", "light": "DARKNESS"})
    found = explain(frame, both, REFERENCE, WORDING)[0]
    assert found.combined
    assert len(found.words) == 1
    assert found.text == (
        "a combination of 6 vehicles (0.1 % have 6 or more), alignment CURVE, LEVEL (5 % of accidents) "
        "and light DARKNESS (20 % of accidents)"
    )


def test_one_call_with_a_row_per_replacement_and_nothing_for_what_is_typical() -> None:
    detector = Detector()
    explain(records({"vehicles": 6.0, "light": "DARKNESS"}, {}, {"light": "DARKNESS"}), detector, REFERENCE)
    assert [len(columns["vehicles"]) for columns in detector.asked] == [3 + 3 + 1]


def test_a_group_is_replaced_together() -> None:
    detector = Detector()
    explain(records({"crash_hour": 4.0, "hour_sin": np.sin(4.0)}), detector, REFERENCE)
    asked = detector.asked[0]
    np.testing.assert_allclose(asked["hour_sin"], np.sin(asked["crash_hour"]), rtol=1e-6)
    assert asked["crash_hour"].tolist() == [4.0, 17.0, 17.0]


def test_what_is_not_told_of_a_group_makes_nothing_odd() -> None:
    """Months hold many days: the typical month on another day is the typical month."""
    detector = Detector(hour_sin=5.0)
    assert texts(records({"hour_sin": 0.5}), detector) == [NOTHING]
    assert [len(columns["hour_sin"]) for columns in detector.asked] == [2]


INJURIES = ("severity", "killed", "hurt", "total")


def injured(*rows: tuple[str | None, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(INJURIES)).astype({"severity": object})


def test_other_columns_of_a_group_are_told_beside_the_first_if_they_have_a_label() -> None:
    rows = injured(*[("NONE", 0, 0, 0)] * 95, *[("FATAL", 1, 0, 1)] * 5)
    reference = Reference.of(rows, INJURIES[1:], INJURIES[:1], [INJURIES])
    wording = Wording(labels={"killed": "{} killed", "hurt": "{} hurt"}, untold=("UNKNOWN",))
    asked: list[Columns] = []

    def score(columns: Columns) -> np.ndarray:
        asked.append(columns)
        return -np.sum([columns[name] for name in INJURIES[1:]], axis=0) - (columns["severity"] != "NONE")

    frame = injured(
        ("FATAL", 2, 1, 3), ("NONE", 0, 1, 1), ("UNKNOWN", 1, 0, 1), ("NONE", np.nan, np.nan, np.nan), ("NONE", 0, 0, 9)
    )
    assert [found.text for found in explain(frame, score, reference, wording)] == [
        "severity FATAL (5 % of records; 2 killed, 1 hurt)",
        "1 hurt",
        "severity not told (never seen in training; 1 killed)",
        NOTHING,
        NOTHING,
    ]
    replaced = pd.DataFrame(asked[0])[5:]
    assert replaced.to_numpy().tolist() == [["NONE", 0.0, 0.0, 0.0]] * 4


GAPS = ("weather", "light", "surface", "defect", "control", "alignment")


def words_of(*rows: tuple[str | None, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(GAPS), dtype=object)


USUAL = ("CLEAR", "DAY", "DRY", "NONE", "SIGNAL", "STRAIGHT")
ALL_TOLD = words_of(*[USUAL] * 96, ("UNKNOWN", *USUAL[1:]), *[("CLEAR", "UNKNOWN", "UNKNOWN", *USUAL[3:])] * 3)


def untold_words(columns: Columns) -> np.ndarray:
    """As long as any word isn't told the record is odd: one by one, none would explain it."""
    return -np.logical_or.reduce([np.isin(columns[name], np.array(["UNKNOWN", None])) for name in GAPS]).astype(float)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (("UNKNOWN", *USUAL[1:]), "weather not told (1 % of records)"),
        (("CLEAR", "UNKNOWN", None, *USUAL[3:]), "surface and light not told (never seen in training)"),
        (("UNKNOWN", "UNKNOWN", "UNKNOWN", *USUAL[3:]), "weather, light and surface not told (at most 1 % of records)"),
        (("UNKNOWN",) * 6, "defect, control, alignment, weather, light and 1 more not told (never seen in training)"),
    ],
)
def test_gaps_are_one_reason_rarest_first(row: tuple[str | None, ...], text: str) -> None:
    reference = Reference.of(ALL_TOLD, (), GAPS)
    wording = Wording(untold=("UNKNOWN",))
    assert explain(words_of(row), untold_words, reference, wording)[0].text == text


def test_gaps_stand_beside_what_is_told_and_each_record_has_its_own() -> None:
    reference = Reference.of(ALL_TOLD, (), GAPS)
    frame = words_of(("UNKNOWN", "UNKNOWN", *USUAL[2:5], "CURVE"), USUAL, (*USUAL[:5], "UNKNOWN"))

    def score(columns: Columns) -> np.ndarray:
        return untold_words(columns) - 0.5 * (columns["alignment"] == "CURVE")

    found = explain(frame, score, reference, Wording(untold=("UNKNOWN",)))
    assert [each.words for each in found] == [
        ("alignment CURVE (never seen in training)", "weather and light not told (at most 1 % of records)"),
        (NOTHING,),
        ("alignment not told (never seen in training)",),
    ]
    assert found[0].reasons[-1].value is None
    assert found[0].reasons[-1].count == 1


def test_a_word_that_is_usually_not_told_is_typical() -> None:
    reference = Reference.of({"defect": ["UNKNOWN"] * 9 + ["RUT"], "light": ["DAY"] * 10}, (), ("defect", "light"))
    frame = {"defect": ["UNKNOWN"], "light": ["UNKNOWN"]}

    def score(columns: Columns) -> np.ndarray:
        return (columns["light"] == "DAY").astype(float)

    found = explain(frame, score, reference, Wording(untold=("UNKNOWN",)))
    assert found[0].words == ("light not told (never seen in training)",)


def test_a_number_of_a_request_is_that_of_a_training_row() -> None:
    """Model columns are float32, a request's numbers are not yet."""
    reference = Reference.of({"x": np.array([0.1] * 50 + [0.7] * 3, dtype=np.float32)}, ["x"], [])
    texts = [found.text for found in explain({"x": [0.1, 0.7]}, lambda columns: -columns["x"], reference)]
    assert texts == [NOTHING, "x 0.7 (5.7 % have 0.7 or more)"]


def test_a_handful_of_rows_is_told_as_how_many() -> None:
    reference = Reference.of({"light": ["DAY"] * 49_998 + ["DUSK"] * 2}, (), ["light"])
    found = explain({"light": ["DUSK"]}, lambda columns: columns["light"] == "DAY", reference, WORDING)[0]
    assert found.text == "light DUSK (2 of 50,000 accidents)"


def test_a_label_that_is_all_value_has_a_name_without_it() -> None:
    reference = Reference.of({"day": ["MO"] * 5 + ["TU"]}, (), ["day"])
    found = explain(
        {"day": [None, "TU"]}, lambda columns: columns["day"] == "MO", reference, Wording(labels={"day": "{}"})
    )
    assert [each.words[0].split(" (")[0] for each in found] == ["day not told", "TU"]


def test_rows_are_untouched_and_may_be_plain_lists_with_columns_of_no_concern() -> None:
    row = {name: [value] for name, value in {**TYPICAL, "alignment": "CURVE, LEVEL", "id": "a7"}.items()}
    detector = Detector()
    assert texts(row, detector) == ["alignment CURVE, LEVEL (5 % of accidents)"]
    assert detector.asked[0]["id"].tolist() == ["a7"] * 3
    assert row["alignment"] == ["CURVE, LEVEL"]


def test_without_wording_columns_are_told_by_name() -> None:
    reference = Reference.of({"num_units": [2.0] * 99 + [6.0]}, ["num_units"], [])
    found = explain({"num_units": [6.0]}, lambda columns: -columns["num_units"], reference)[0]
    assert found.text == "num units 6 (1 % have 6 or more)"
    found = explain({"num_units": [2.0]}, lambda columns: -columns["num_units"], reference)[0]
    assert found.text == NOTHING


def test_bad_answers_of_the_detector() -> None:
    frame = records({"vehicles": 6.0})
    with pytest.raises(ValueError, match="asked for 3 scores, got 1"):
        explain(frame, lambda columns: np.zeros(1), REFERENCE)
    assert texts(frame, lambda columns: np.full(len(columns["light"]), np.nan)) == [NOTHING]
    assert explain(frame.head(0), Detector(), REFERENCE) == []


def test_a_very_long_value_is_cut() -> None:
    assert len(texts(records({"alignment": "X" * 5000}))[0]) < 150


def test_a_reference_is_json() -> None:
    assert Reference.model_validate_json(REFERENCE.model_dump_json()) == REFERENCE


def test_a_reference_counts_rows_and_leaves_out_what_is_empty() -> None:
    frame = pd.DataFrame({"a": [1.0, 1.0, np.nan, np.inf], "b": [None, None, None, np.nan], "c": ["x", "y", "y", None]})
    reference = Reference.of(frame, ["a"], ["b", "c"])
    assert [(part.columns, part.typical, part.missing) for part in reference.parts] == [
        (("a",), (1.0,), 2),
        (("c",), ("y",), 1),
    ]
    assert reference.rows == 4
    with pytest.raises(ValueError, match="at least one row"):
        Reference.of(frame.head(0), ["a"], ["b", "c"])
    with pytest.raises(KeyError):
        Reference.of(frame, ["a"], ["d"])


def test_a_number_with_very_many_values_is_kept_small_and_its_tails_close() -> None:
    values = np.random.default_rng(7).lognormal(size=50_000)
    part = Reference.of({"x": values}, ["x"], []).parts[0]
    assert len(part.values) <= 200
    assert sum(part.counts) == 50_000
    for quantile in (0.9, 0.99, 0.999):
        value = float(np.quantile(values, quantile))
        true = int((values >= value).sum())
        assert true <= part.count(value) <= true + 0.011 * 50_000
    assert part.count(float(values.max())) >= 1
    assert part.count(float(values.max()) + 1) == 0
    assert part.count(float(values.min()) / 2) == 0
