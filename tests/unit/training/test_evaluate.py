"""Evaluation: hand-checked metrics, segments, unseen categories, production's release on the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.training import evaluate, export, fit, released, scores
from tests.unit.training import made_data


class Fixed:
    """Answers as given, for the full view and then for the required-only view."""

    def __init__(self, *answers: dict[str, np.ndarray]) -> None:
        self._answers = list(answers)

    def predict(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        return self._answers.pop(0)


def holdout(values: list[float]) -> pd.DataFrame:
    frame = made_data.sample(count=len(values))
    return frame.assign(value=values, kind=["a", "b"] * (len(values) // 2))


def fixed(estimate: list[float], width: float = 1.0) -> dict[str, np.ndarray]:
    values = np.array(estimate, dtype=np.float32)
    return {"estimate": values, "low": values - width, "high": values + width}


def run(model: Fixed, frame: pd.DataFrame, **options: object) -> evaluate.Evaluation:
    return evaluate.evaluate(model, made_data.product(), made_data.features, frame, **options)  # type: ignore[arg-type]


def test_metrics_of_four_rows_by_hand() -> None:
    model = Fixed(fixed([11, 20, 24, 40], width=2), fixed([10, 20, 30, 80]))
    found = run(model, holdout([10, 20, 30, 50])).metrics
    assert found["mae"] == pytest.approx((1 + 0 + 6 + 10) / 4)
    assert found["rmse"] == pytest.approx(np.sqrt((1 + 36 + 100) / 4))
    assert found["bias"] == pytest.approx((1 - 6 - 10) / 4)
    assert found["median_ape"] == pytest.approx((0.1 + 0.2) / 2)
    assert found["mape"] == pytest.approx((0.1 + 0 + 0.2 + 0.2) / 4)
    assert found["r2"] == pytest.approx(1 - 137 / 875)
    assert found["coverage"] == 0.5
    assert found["interval_width"] == 4.0
    assert found["mae_required_only"] == pytest.approx(30 / 4)
    assert found["coverage_required_only"] == 0.75


def test_the_required_only_view_hides_every_optional_field() -> None:
    seen: list[pd.DataFrame] = []

    class Watcher(Fixed):
        def predict(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
            seen.append(frame)
            return super().predict(frame)

    run(Watcher(fixed([1, 2]), fixed([1, 2])), holdout([1, 2]))
    full, narrow = seen
    assert set(full["kind"]) == {"a", "b"}
    assert set(narrow["kind"]) == {""}
    assert narrow["extra"].isna().all()
    assert full["place"].equals(narrow["place"])


def test_segments_divide_every_row_once_and_score_their_own_rows() -> None:
    frame = holdout([10, 20, 30, 50])
    frame.loc[3, "kind"] = None
    found = run(Fixed(fixed([11, 20, 24, 40]), fixed([1, 1, 1, 1])), frame, segments=["kind"])
    table = found.segments["kind"].set_index("kind")
    assert table["rows"].to_dict() == {"a": 2, "b": 1, evaluate.MISSING: 1}
    assert table.loc["a", "mae"] == pytest.approx(3.5)
    assert table.loc["b", "coverage"] == 1.0


def test_a_number_with_many_values_is_cut_into_quarters() -> None:
    values = list(np.linspace(10, 50, 40))
    found = run(Fixed(fixed(values), fixed(values)), holdout(values), segments=["size"])
    assert len(found.segments["size"]) == 4
    assert found.segments["size"]["rows"].sum() == 40


def test_gate_segments_are_always_there_and_unknown_ones_are_named() -> None:
    gate = {"metric": "mae", "maximum": 5, "segment": "kind"}
    product = made_data.product(gates=[gate])
    model = Fixed(fixed([1, 2]), fixed([1, 2]))
    assert "kind" in evaluate.evaluate(model, product, made_data.features, holdout([1, 2])).segments
    with pytest.raises(ValueError, match="colour"):
        run(Fixed(fixed([1, 2]), fixed([1, 2])), holdout([1, 2]), segments=["colour"])


def test_share_of_unseen_categories() -> None:
    frame = holdout([1, 2, 3, 4]).assign(place=["Place 1", "Place 2", "Moon", "Mars"])
    train = made_data.sample(count=300).query("place != 'Place 2'")
    model = Fixed(fixed([1, 2, 3, 4]), fixed([1, 2, 3, 4]))
    found = run(model, frame, train_rows=train).metrics
    assert found["unseen_place"] == 0.75
    assert found["unseen_kind"] == 0.0


def test_answers_that_are_not_finite_are_a_fault_and_not_a_score() -> None:
    with pytest.raises(ValueError, match="1 estimates are not finite"):
        run(Fixed(fixed([1, np.nan]), fixed([1, 2])), holdout([1, 2]))


def test_an_empty_hold_out_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        run(Fixed(), holdout([]))


def test_a_target_of_zero_has_no_percentage_errors() -> None:
    found = run(Fixed(fixed([1, 2]), fixed([1, 2])), holdout([0, 2])).metrics
    assert "mae" in found
    assert "median_ape" not in found
    with pytest.raises(ValueError, match="actual value is 0"):
        scores.REGRESSION["mape"](np.array([0.0]), np.array([1.0]))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("mae", False),
        ("r2", True),
        ("r2_required_only", True),
        ("median_ape_required_only", False),
        ("f1", True),
    ],
)
def test_which_way_is_better(metric: str, expected: bool) -> None:
    assert scores.better(metric, 2.0, 1.0) is expected
    assert not scores.better(metric, 1.0, 1.0)


def test_a_released_model_is_evaluated_on_the_same_rows_as_the_new_one(tmp_path: Path) -> None:
    product, frame = made_data.product(), made_data.sample()
    trained = fit.train(product, made_data.features, frame)
    graph = export.to_onnx(trained.model)
    none = {"dataset": {}, "runs": {}, "metrics": {}, "smoke": [], "vocabulary": {}}
    record = export.describe(product, trained.model, graph, version=1, code_version="x", **none)  # type: ignore[arg-type]
    directory = export.write_release(tmp_path / "1", record, graph)
    new = evaluate.evaluate(trained.model, product, made_data.features, trained.holdout_rows)
    old = evaluate.evaluate_release(directory, product, made_data.features, trained.holdout_rows)
    assert old.metrics == pytest.approx(new.metrics, rel=1e-4)


def test_a_release_whose_columns_are_gone_is_named(tmp_path: Path) -> None:
    product, frame = made_data.product(), made_data.sample()
    trained = fit.train(product, made_data.features, frame)
    model = released.OnnxModel(export.to_onnx(trained.model))
    fewer = made_data.product(features={"numeric": ["log_size"], "categorical": ["kind"]})
    with pytest.raises(released.ReleaseError, match=r"extra, place"):
        evaluate.evaluate(model, fewer, made_data.features, trained.holdout_rows)


def test_classification_metrics_and_segments() -> None:
    product, frame = made_data.product("grade"), made_data.sample("grade")
    trained = fit.train(product, made_data.features, frame)
    classes = list(trained.model.scale.classes)
    found = evaluate.evaluate(
        trained.model, product, made_data.features, trained.holdout_rows, segments=["kind"], classes=classes
    )
    right = (found.answers["label"] == found.answers["grade"]).mean()
    assert found.metrics["accuracy"] == pytest.approx(right)
    assert found.metrics["accuracy"] > trained.holdout_rows["grade"].value_counts(normalize=True).max()
    assert found.metrics["log_loss"] > 0
    assert found.segments["kind"]["rows"].sum() == len(trained.holdout_rows)
    assert found.answers[[f"p_{name}" for name in classes]].sum(axis=1).to_numpy() == pytest.approx(1.0)
