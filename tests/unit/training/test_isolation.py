"""The isolation forest: scikit-learn's scores to the last bit, from text columns and bit sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest

from mlops_assets.training import isolation
from mlops_assets.training.isolation import LEAF, IsolationModel, Trees, average_path_length
from mlops_assets.training.isolation_encoder import IsolationEncoder

NUMERIC = ("speed", "hour", "units")
CATEGORICAL = ("weather", "cause")
ODD = {"speed": 250.0, "hour": 0.0, "units": 18.0, "weather": "SNOW", "cause": "CAUSE 20"}


def accidents(count: int = 700, seed: int = 0) -> pd.DataFrame:
    """Continuous and whole numbers with gaps, a common and a long-tailed category with gaps."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "speed": random.normal(50, 15, count),
            "hour": random.integers(0, 24, count).astype(float),
            "units": random.geometric(0.6, count).astype(float),
            "weather": random.choice(["CLEAR", "RAIN", "SNOW", ""], count, p=[0.7, 0.2, 0.07, 0.03]),
            "cause": [f"CAUSE {number}" for number in random.geometric(0.15, count)],
        }
    )
    frame.loc[random.random(count) < 0.05, "units"] = np.nan
    return frame


def fitted(frame: pd.DataFrame, **options: Any) -> IsolationModel:
    return IsolationModel.fit(frame, NUMERIC, CATEGORICAL, **{"trees": 30, "seed": 7, **options})


def reference(frame: pd.DataFrame, model: IsolationModel, **options: Any) -> Any:
    """scikit-learn's forest on the same matrix."""
    forest = IsolationForest(**{"n_estimators": 30, "random_state": 7, **options})
    return forest.fit(np.ascontiguousarray(model.encoder.transform(frame)))


@pytest.mark.parametrize("count", [2, 63, 64, 65, 700])
def test_scores_are_scikit_learns_to_the_last_bit(count: int) -> None:
    frame = accidents(count)
    model = fitted(frame)
    forest = reference(frame, model)
    later = accidents(200, seed=1)
    for rows in (frame, later):
        matrix = model.encoder.transform(rows)
        np.testing.assert_array_equal(model.score(rows), forest.decision_function(matrix))
        np.testing.assert_array_equal(model.predict(rows), forest.predict(matrix))


@pytest.mark.parametrize(
    "options", [{"max_samples": 2}, {"max_samples": 1000}, {"contamination": 0.05}, {"contamination": 0.5}]
)
def test_samples_and_contamination_mean_what_they_mean_to_scikit_learn(options: dict[str, Any]) -> None:
    frame = accidents(1200)
    ours = {"samples" if name == "max_samples" else name: value for name, value in options.items()}
    model = fitted(frame, **ours)
    forest = reference(frame, model, **options)
    assert model.offset == forest.offset_
    np.testing.assert_array_equal(model.score(frame), forest.decision_function(model.encoder.transform(frame)))


def test_samples_are_at_most_the_rows_there_are() -> None:
    assert fitted(accidents(40), samples=500).samples == 40
    assert fitted(accidents(40)).samples == 40
    assert fitted(accidents(400)).samples == 256


def test_contamination_is_the_share_of_training_rows_below_zero() -> None:
    frame = accidents(1000)
    assert (fitted(frame, contamination=0.05).predict(frame) == -1).mean() == pytest.approx(0.05, abs=0.002)


def test_a_tree_made_by_hand_with_more_leaf_lengths_than_a_byte_has_numbers() -> None:
    # A chain: at depth n, rows of at most n + 0.5 leave to the left, and the last leaf holds three training rows.
    splits = 400
    node = np.arange(2 * splits + 1)
    inner = (node % 2 == 0) & (node < 2 * splits)
    trees = Trees(
        roots=np.array([0]),
        feature=np.where(inner, 0, LEAF),
        threshold=np.where(inner, node // 2 + 0.5, 0).astype(np.float32),
        left=np.where(inner, node + 1, LEAF),
        right=np.where(inner, node + 2, LEAF),
        rows=np.where(inner, 9, np.where(node < 2 * splits, 1, 3)),
    )
    model = IsolationModel(IsolationEncoder(("x",), (), np.array([3], dtype=np.float32), ()), trees, 256, -0.5)
    x = np.array([*range(splits + 5), np.nan])
    lengths = np.minimum(np.where(np.isnan(x), 3, x) + 1, splits) + np.where(x >= splits, average_path_length(3), 0)
    expected = 0.5 - 2 ** (-lengths / average_path_length(256))
    np.testing.assert_allclose(model.score(pd.DataFrame({"x": x})), expected, rtol=0, atol=1e-12)


def test_rows_on_a_threshold_and_beside_it_take_the_branch_of_the_double() -> None:
    frame = accidents()
    model = fitted(frame)
    forest = reference(frame, model)
    thresholds = np.concatenate(
        [e.tree_.threshold[e.tree_.feature == 0].astype(np.float32) for e in forest.estimators_]
    )
    beside = [thresholds, np.nextafter(thresholds, np.float32(-np.inf)), np.nextafter(thresholds, np.float32(np.inf))]
    rows = pd.DataFrame({"speed": np.concatenate(beside), "hour": 3.0, "units": 1.0, "weather": "RAIN", "cause": "?"})
    np.testing.assert_array_equal(model.score(rows), forest.decision_function(model.encoder.transform(rows)))


def test_blocks_of_rows_and_single_rows_have_the_scores_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = accidents()
    model = fitted(frame)
    whole = model.score(frame)
    monkeypatch.setattr(isolation, "BLOCK", 100)
    np.testing.assert_array_equal(model.score(frame), whole)
    np.testing.assert_array_equal([model.score(frame[n : n + 1])[0] for n in range(20)], whole[:20])
    shuffled = frame.sample(frac=1, random_state=1)
    np.testing.assert_array_equal(model.score(shuffled), whole[shuffled.index])


def test_no_row_has_no_score() -> None:
    model = fitted(accidents(50))
    assert model.score(accidents(50)[:0]).shape == (0,)
    assert model.predict(accidents(50)[:0]).dtype == np.int64


def test_an_odd_row_has_a_lower_score_than_a_common_one() -> None:
    frame = accidents()
    common = {"speed": 50.0, "hour": 12.0, "units": 1.0, "weather": "CLEAR", "cause": "CAUSE 1"}
    low, high = fitted(frame, trees=200).score(pd.DataFrame([ODD, common]))
    assert low < 0 < high


def test_rows_without_a_difference_are_neither_odd_nor_common() -> None:
    same = pd.DataFrame({"a": [1.0] * 20, "b": ["x"] * 20})
    model = IsolationModel.fit(same, ["a"], ["b"], trees=5)
    assert model.score(same).tolist() == [0.0] * 20
    assert model.predict(same).tolist() == [1] * 20


def test_the_seed_decides_the_forest() -> None:
    frame = accidents()
    np.testing.assert_array_equal(fitted(frame).score(frame), fitted(frame).score(frame))
    assert not np.array_equal(fitted(frame).score(frame), fitted(frame, seed=8).score(frame))


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (1, {}, "two rows"),
        (50, {"samples": 1}, "two samples"),
        (50, {"contamination": 0.0}, "contamination"),
        (50, {"contamination": 0.6}, "contamination"),
    ],
)
def test_what_cannot_be_fitted_is_refused(count: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(accidents(count), **options)


def test_average_path_length_of_few_rows_is_counted_by_hand() -> None:
    # Of three rows one is isolated by the first split and two by the second: (1 + 2 + 2) / 3, which the paper's
    # estimate of the harmonic number by a logarithm puts at 1.2.
    assert average_path_length(np.array([0, 1, 2])).tolist() == [0.0, 0.0, 1.0]
    assert average_path_length(np.array([3]))[0] == pytest.approx(2 * (np.log(2) + 0.5772156649) - 4 / 3)
    assert average_path_length(np.array(256)) == pytest.approx(10.2448, abs=1e-4)


@pytest.mark.real_data
def test_the_reference_columns_on_all_rows_reproduce_the_reference(real_data: Path) -> None:
    from mlops_assets.products.traffic_anomalies import CATEGORICAL, NUMERIC

    rows = pd.read_csv(real_data / "traffic_accidents.csv.gz")
    model = IsolationModel.fit(rows, NUMERIC, CATEGORICAL)
    score = model.score(rows)
    assert model.encoder.width == 157
    assert len(score) == 209_306
    assert (model.predict(rows) == -1).sum() == 203
    assert [round(float(value), 4) for value in (score.min(), score.max(), score.mean())] == [-0.0568, 0.1639, 0.1105]
