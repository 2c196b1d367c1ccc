"""A day's verdict: both keys, what counts for which column, too few rows, and the sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.drift.facts import ColumnDrift, Kind, Monitored, Status, Verdict
from mlops_assets.drift.judge import judge
from mlops_assets.drift.policy import DriftPolicy, Effects
from mlops_assets.drift.sample import Sample

DAY = date(2025, 3, 1)
COLUMNS = (
    Monitored("area", "number"),
    Monitored("rooms", "number"),
    Monitored("place", "category"),
    Monitored("society", "category", optional=True),
    Monitored("estimate", "number", "prediction"),
    Monitored("error", "number", "error"),
)


def side(rows: int, seed: int, **changes: Any) -> Sample:
    """Rows of one truth; `changes` replace columns."""
    rng = np.random.default_rng(seed)
    features: dict[str, Any] = {
        "area": rng.lognormal(7, 0.4, rows),
        "rooms": rng.integers(1, 6, rows).astype(float),
        "place": rng.choice(["Whitefield", "Hebbal", "Yelahanka"], rows, p=[0.1, 0.5, 0.4]),
        "society": np.where(rng.random(rows) < 0.6, rng.choice(["A", "B"], rows), None),
    }
    scored: dict[str, Any] = {"estimate": rng.lognormal(4, 0.5, rows), "error": np.abs(rng.normal(0, 0.2, rows))}
    features |= {name: value for name, value in changes.items() if name in features}
    scored |= {name: value for name, value in changes.items() if name in scored}
    return Sample(pd.DataFrame(features), pd.DataFrame(scored), rows * 3)


REFERENCE = side(4000, 0)


def judged(
    current: Sample, reference: Sample = REFERENCE, columns: Sequence[Monitored] = COLUMNS, **policy: Any
) -> Verdict:
    return judge("houses", DAY, 3, reference, current, columns, DriftPolicy(**policy))


def column(verdict: Verdict, name: str) -> ColumnDrift:
    return next(column for column in verdict.columns if column.name == name)


def statuses(verdict: Verdict) -> dict[str, str]:
    return {column.name: column.status.value for column in verdict.columns}


def test_a_day_like_training_is_ok_and_says_what_was_compared() -> None:
    verdict = judged(side(600, 1))
    assert verdict.status is Status.OK
    assert set(statuses(verdict).values()) == {"ok"}
    assert (verdict.reference_rows, verdict.current_rows, verdict.logged_rows) == (4000, 600, 1800)
    assert (verdict.product, verdict.day, verdict.release) == ("houses", DAY, 3)
    assert verdict.reasons == ("No drift in 6 columns.",)
    assert verdict.strength < 1
    assert column(verdict, "area").reasons[0].startswith("Like in training: median 1,")


def test_only_the_column_that_moved_drifts() -> None:
    verdict = judged(side(600, 1, area=np.random.default_rng(5).lognormal(7.3, 0.4, 600)))
    assert verdict.status is Status.DRIFTED
    assert verdict.drifted == ("area",)
    area = column(verdict, "area")
    assert area.strength == pytest.approx(area.effect / area.floor)  # type: ignore[operator]
    assert area.reasons[0].startswith("Larger than in training: median 1,")
    assert area.reasons[0].endswith(" sd, limit 0.1; p < 1e-9).")
    assert verdict.reasons[0] == "1 of 6 columns drifted: area."
    assert verdict.reasons[1].startswith("area, at ")


def test_a_change_that_is_sure_but_small_is_no_drift() -> None:
    rng = np.random.default_rng(1)
    before, now = (side(20_000, n, area=rng.normal(mean, 1, 20_000)) for n, mean in ((0, 0.0), (1, 0.07)))
    area = column(judged(now, before), "area")
    assert area.p_value is not None
    assert area.p_value < area.alpha
    assert area.status is Status.OK
    assert 0 < area.strength < 1
    assert column(judged(now, before, effects=Effects(numbers=0.05)), "area").status is Status.DRIFTED


def test_a_change_that_is_large_but_unsure_is_no_drift() -> None:
    rng = np.random.default_rng(4)
    before, now = (side(200, n, area=rng.normal(mean, 1, 200)) for n, mean in ((0, 0.0), (1, 0.2)))
    area = column(judged(now, before), "area")
    assert area.effect is not None
    assert area.effect >= area.floor
    assert (area.status, area.strength) == (Status.OK, 0.0)


def test_a_category_that_grew_is_named_with_its_shares() -> None:
    places = np.random.default_rng(2).choice(["Whitefield", "Hebbal", "Yelahanka"], 600, p=[0.4, 0.35, 0.25])
    reason = column(judged(side(600, 1, place=places)), "place").reasons[0]
    assert "of values are 'Whitefield', 10 % in training (distance 0." in reason


def test_the_certainty_asked_for_is_shared_among_the_columns_that_can_be_judged() -> None:
    current = side(600, 1)
    six, two = judged(current), judged(current, columns=COLUMNS[:2])
    assert column(six, "area").alpha * 3 == pytest.approx(column(two, "area").alpha)
    unlabelled = judged(side(600, 1, error=np.full(600, np.nan)))
    assert column(unlabelled, "area").alpha * 5 == pytest.approx(column(two, "area").alpha * 2)


def test_a_day_of_few_rows_is_insufficient_however_different_it_is() -> None:
    verdict = judged(side(199, 1, area=np.full(199, 1e6), place=["elsewhere"] * 199))
    assert verdict.status is Status.INSUFFICIENT
    assert set(statuses(verdict).values()) == {"insufficient"}
    assert verdict.reasons == ("There are 199 rows, a verdict needs 200.",)
    assert verdict.strength == 0
    assert column(verdict, "area").current.mean == 1e6
    assert judged(side(200, 1, area=np.full(200, 1e6))).status is Status.DRIFTED


def test_an_empty_day_is_insufficient() -> None:
    verdict = judged(side(0, 1))
    assert (verdict.status, verdict.current_rows) == (Status.INSUFFICIENT, 0)
    assert judged(Sample(pd.DataFrame(), pd.DataFrame(), 0)).status is Status.INSUFFICIENT


def test_a_small_reference_is_insufficient() -> None:
    verdict = judged(side(600, 1), side(50, 0))
    assert verdict.status is Status.INSUFFICIENT
    assert verdict.reasons == ("No column has enough values for a verdict.",)
    assert column(verdict, "area").reasons == ("There are 50 values in training, 200 are needed.",)


def test_errors_that_are_hardly_known_leave_the_day_its_verdict() -> None:
    errors = np.full(600, np.nan)
    errors[:30] = 5.0
    verdict = judged(side(600, 1, error=errors))
    assert verdict.status is Status.OK
    assert column(verdict, "error").status is Status.INSUFFICIENT
    assert verdict.reasons == ("No drift in 5 columns. Too few values to judge error.",)


def test_an_error_drifts_when_it_grew_only() -> None:
    errors = np.abs(np.random.default_rng(3).normal(0, 0.2, 600))
    assert judged(side(600, 1, error=errors / 3)).status is Status.OK
    grown = column(judged(side(600, 1, error=errors * 2)), "error")
    assert grown.status is Status.DRIFTED
    assert grown.reasons[0].startswith("Larger than on hold-out rows: median 0.")


def test_an_optional_column_that_is_left_out_is_no_drift_and_a_required_one_is() -> None:
    nothing = [None] * 600
    left_out = judged(side(600, 1, society=nothing))
    assert left_out.status is Status.OK
    assert column(left_out, "society").status is Status.INSUFFICIENT
    lost = judged(side(600, 1, place=nothing))
    assert lost.drifted == ("place",)
    place = column(lost, "place")
    assert place.strength == pytest.approx(1 / 0.05)
    assert place.effect is None
    assert place.reasons == (
        "100 % of rows have no value, 0 % in training (limit +5 points; p < 1e-9).",
        "There are 0 values to compare, 200 are needed.",
    )


def test_an_optional_column_that_is_given_is_compared() -> None:
    assert judged(side(600, 1, society=["A"] * 600)).drifted == ("society",)


def test_a_share_that_rose_makes_the_column_drift_even_where_the_rest_is_alike() -> None:
    places = side(600, 1).rows["place"].to_numpy(copy=True)
    places[:48] = [f"new {n % 7}" for n in range(48)]
    place = column(judged(side(600, 1, place=places)), "place")
    assert place.status is Status.DRIFTED
    assert place.effect is not None
    assert place.effect < place.floor
    assert place.strength == pytest.approx(0.08 / 0.05)
    assert place.reasons[0].startswith("8 % of values don't occur in training (new ")


def test_numbers_out_of_range_are_told_with_examples() -> None:
    area = side(600, 1).rows["area"].to_numpy(copy=True)
    area[:30] = 90_000
    found = column(judged(side(600, 1, area=area)), "area")
    assert found.status is Status.DRIFTED
    assert any("5 % of values are outside the range in training (90,000)" in reason for reason in found.reasons)


def test_the_strongest_cause_comes_first_and_long_names_are_cut() -> None:
    long = "x" * 200
    place = column(judged(side(600, 1, place=[long] * 400 + ["Hebbal"] * 200)), "place")
    assert place.reasons[0].startswith(f"67 % of values don't occur in training ({'x' * 39}…), 0 % would be usual")
    assert place.reasons[1].startswith("67 % of values are 'xxx")


def test_one_wild_value_changes_no_status() -> None:
    for wild in (1e4, 1e9, -1e9, float("inf")):
        area = side(600, 1).rows["area"].to_numpy(copy=True)
        area[0] = wild
        assert judged(side(600, 1, area=area)).status is Status.OK
        assert judged(side(600, 1), side(4000, 0, area=np.append(REFERENCE.rows["area"][1:], wild))).status is Status.OK


def test_a_wider_or_narrower_column_is_told_as_that() -> None:
    rng = np.random.default_rng(1)
    before = side(4000, 0, area=rng.normal(0, 1, 4000))
    wider = column(judged(side(1000, 1, area=rng.normal(0, 2, 1000)), before), "area")
    assert wider.reasons[0].startswith("More spread out than in training: middle half ")
    narrower = column(judged(side(1000, 1, area=rng.normal(0, 0.4, 1000)), before), "area")
    assert narrower.reasons[0].startswith("Less spread out than in training: middle half ")


def test_a_constant_column_is_told_by_the_values_that_differ() -> None:
    before = side(4000, 0, rooms=np.repeat([2.0, 3.0], [3999, 1]))
    assert column(judged(side(600, 1, rooms=np.full(600, 2.0)), before), "rooms").status is Status.OK
    rooms = column(judged(side(600, 1, rooms=np.repeat([2.0, 3.0], 300)), before), "rooms")
    assert (rooms.status, rooms.distance, rooms.floor) == (Status.DRIFTED, "total_variation", 0.1)
    assert rooms.reasons[0].startswith("50 % of values aren't 2, < 0.1 % in training (distance 0.")


def test_summaries_show_both_sides() -> None:
    verdict = judged(side(600, 1, society=[None] * 450 + ["A"] * 150))
    area, society = column(verdict, "area"), column(verdict, "society")
    assert set(area.current.quantiles) == {"0.05", "0.25", "0.5", "0.75", "0.95"}
    assert area.current.minimum == side(600, 1).rows["area"].min()
    assert society.current.missing == 0.75
    assert society.current.top == {"A": 1.0, "B": 0.0}
    assert society.reference.top["B"] == pytest.approx(0.5, abs=0.05)


def test_a_reference_without_a_column_leaves_that_column_out() -> None:
    old = Sample(REFERENCE.rows.drop(columns="rooms"), REFERENCE.scored, 4000)
    verdict = judged(side(600, 1), old)
    assert verdict.status is Status.OK
    assert column(verdict, "rooms").status is Status.INSUFFICIENT


def test_a_product_with_scores_only_is_judged_by_them() -> None:
    verdict = judged(side(600, 1), columns=COLUMNS[4:])
    assert (verdict.status, verdict.current_rows) == (Status.OK, 600)


def test_the_same_input_gives_the_same_verdict_and_survives_json() -> None:
    current = side(600, 1, area=np.full(600, 5.0), place=["a", "b"] * 300)
    verdict = judged(current)
    assert judged(current) == verdict
    kept = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert Verdict.from_json(kept) == verdict


ODD = st.sampled_from([None, float("nan"), float("inf"), -1, 0, 2.5, 1e308, "", "7", "x", True, (1,), pd.NA, 10**400])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ODD, min_size=1, max_size=8),
    st.lists(ODD, min_size=1, max_size=8),
    st.sampled_from(["number", "category"]),
)
def test_no_value_makes_it_fail(before: list[Any], now: list[Any], kind: Kind) -> None:
    """Whatever the values, there is a verdict, and JSON can hold it."""
    sides = [
        Sample(pd.DataFrame({"x": pd.Series((values * 30)[:30], dtype=object)}), pd.DataFrame(), 30)
        for values in (before, now)
    ]
    verdict = judge("made", DAY, 1, *sides, [Monitored("x", kind)], DriftPolicy(min_rows=20))  # type: ignore[call-arg,arg-type]
    json.dumps(verdict.to_json(), allow_nan=False)
    assert verdict.columns[0].reasons


def test_days_without_a_change_are_hardly_ever_called_drifted() -> None:
    """60 days of each size; the benchmark counts more."""
    for rows in (200, 500):
        drifted = sum(judged(side(rows, 2 * n + 1), side(1000, 2 * n)).status is Status.DRIFTED for n in range(60))
        assert drifted <= 2
