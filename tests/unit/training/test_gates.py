"""Gates: every kind of limit, at its edge, against production, by segment, and for what wasn't measured."""

from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from mlops_assets.training.gates import judge
from mlops_assets.training.spec import Gate


@pytest.mark.parametrize(("value", "passed"), [(0.76, False), (0.77, True), (0.80, True), (0.83, True), (0.84, False)])
def test_a_band_includes_its_ends(value: float, passed: bool) -> None:
    verdict = judge(Gate(metric="coverage", minimum=0.77, maximum=0.83), {"coverage": value}, {}, None)
    assert verdict.passed is passed
    assert verdict.limit == "≥ 0.77 and ≤ 0.83"


@pytest.mark.parametrize(
    ("metric", "value", "production", "passed"),
    [
        ("mae", 109.0, 100.0, True),
        ("mae", 110.0, 100.0, True),
        ("mae", 111.0, 100.0, False),
        ("accuracy", 0.91, 1.0, True),
        ("accuracy", 0.90, 1.0, True),
        ("accuracy", 0.89, 1.0, False),
        ("r2", -0.12, -0.10, False),
        ("r2", -0.105, -0.10, True),
    ],
)
def test_not_worse_than_production_knows_which_way_is_better(
    metric: str, value: float, production: float, passed: bool
) -> None:
    gate = Gate(metric=metric, worse_than_production=0.1)
    verdict = judge(gate, {metric: value}, {}, {metric: production})
    assert verdict.passed is passed
    assert verdict.production == production


def test_the_first_model_has_no_production_to_be_worse_than() -> None:
    assert judge(Gate(metric="mae", worse_than_production=0), {"mae": 9.0}, {}, None).passed


def test_a_metric_that_was_not_measured_fails_its_gate() -> None:
    verdict = judge(Gate(metric="median_apee", maximum=1), {"median_ape": 0.1}, {}, None)
    assert not verdict.passed
    assert "median_ape" in verdict.message


def test_one_bad_segment_fails_and_a_small_one_does_not() -> None:
    gate = Gate(metric="mae", maximum=10, segment="area", segment_min_rows=30)
    rows = pd.DataFrame({"area": ["plot", "flat", "tiny"], "rows": [40, 400, 3], "mae": [12.0, 5.0, 99.0]})
    verdict = judge(gate, {"mae": 5.0}, {"area": rows}, None)
    assert not verdict.passed
    assert verdict.value == 12.0
    assert "plot" in verdict.message
    assert judge(gate, {"mae": 5.0}, {"area": rows[1:]}, None).passed
    assert not judge(gate, {"mae": 5.0}, {}, None).passed, "a segment that wasn't measured isn't a pass"


@pytest.mark.parametrize(
    "wrong",
    [{}, {"maximum": 1, "worse_than_production": 0.1}, {"segment": "x", "worse_than_production": 0.1}],
)
def test_a_gate_without_one_clear_limit_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Gate(metric="mae", **wrong)  # type: ignore[arg-type]


def test_gates_of_one_metric_have_different_names() -> None:
    names = {
        Gate(metric="mae", maximum=1).name,
        Gate(metric="mae", worse_than_production=0.1).name,
        Gate(metric="mae", maximum=1, segment="area").name,
    }
    assert names == {"mae_gate", "mae_vs_production_gate", "mae_by_area_gate"}
