"""The search: the best by validation wins, limits hold, both tasks and all families work."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pandas as pd
import pytest

from mlops_assets.training import feature_set
from mlops_assets.training.encoder import Encoder
from mlops_assets.training.search import SearchTimeoutError, Trial, plan, search
from mlops_assets.training.spec import Candidate, Search
from mlops_assets.training.trials import TrainingSet
from tests.unit.training import made_data

SMALL_TREES = {"max_iter": [20], "min_samples_leaf": [5]}
EVERY_FAMILY = [
    {"family": "linear"},
    {"family": "ridge", "grid": {"alpha": [1.0]}},
    {"family": "lasso", "grid": {"alpha": [0.01]}},
    {"family": "tree", "grid": {"max_leaf_nodes": [30]}},
    {"family": "forest", "grid": {"n_estimators": [5], "max_leaf_nodes": [30]}},
    {"family": "boosting", "grid": SMALL_TREES},
    {"family": "ensemble", "grid": {**SMALL_TREES, "seeds": [2]}},
]


def training_set(target: str = "value", count: int = 500) -> TrainingSet:
    return as_training_set(made_data.sample(target, count + 1), target)


def as_training_set(frame: pd.DataFrame, target: str) -> TrainingSet:
    """All rows but the last, which is the hold-out."""
    product = made_data.product(target)
    last = np.arange(len(frame)) == len(frame) - 1
    return feature_set.training_set(product, feature_set.build(product, made_data.features, frame, last))


def spec(*candidates: dict, **changes: object) -> Search:
    return Search.model_validate(made_data.search(*candidates, **changes))


@pytest.mark.parametrize(
    ("target", "score"), [("value", "mae"), ("value", "r2"), ("grade", "log_loss"), ("grade", "f1")]
)
def test_every_family_is_tried_and_the_best_validation_score_wins(target: str, score: str) -> None:
    heard: list[Trial] = []
    found = search(training_set(target), spec(*EVERY_FAMILY, score=score), heard.append)
    assert {trial.family for trial in heard} == {item["family"] for item in EVERY_FAMILY}
    values = [trial.score for trial in found.trials]
    assert values == sorted(values, reverse=score in {"r2", "f1"})
    assert found.best == found.trials[0]
    assert found.unfinished == ()


def test_out_of_fold_predictions_belong_to_the_winner_and_reproduce_its_score() -> None:
    data = training_set()
    found = search(data, spec(*EVERY_FAMILY, score="mae"))
    raw = np.exp(np.concatenate(found.out_of_fold))
    assert np.abs(raw - np.tile(data.target, 2)).mean() == pytest.approx(found.best.score)


def test_worker_processes_give_the_same_result_as_one() -> None:
    data = training_set()
    candidates = [EVERY_FAMILY[1], EVERY_FAMILY[5]]
    alone = search(data, spec(*candidates))
    together = search(data, spec(*candidates, workers=2))
    assert [(t.family, t.params) for t in alone.trials] == [(t.family, t.params) for t in together.trials]
    assert [t.score for t in alone.trials] == pytest.approx([t.score for t in together.trials], rel=1e-6)


def test_a_grid_is_every_combination() -> None:
    candidate = Candidate(family="ridge", grid={"alpha": [1, 2], "fit_intercept": [True, False]})
    assert len(plan((candidate, Candidate(family="linear")))) == 5


def test_equal_scores_go_to_the_first_declared() -> None:
    same = {"family": "ridge", "grid": {"alpha": [1.0], "copy_X": [False, True]}}
    assert search(training_set(), spec(same)).best.params["copy_X"] is False


@pytest.mark.parametrize(
    ("first", "candidate", "message"),
    [
        ([{"family": "linear"}], {"family": "boosting", "grid": {"max_itr": [10]}}, "boosting.*max_itr"),
        ([{"family": "linear"}], {"family": "ridge", "grid": {"alfa": [10]}}, "ridge.*alfa"),
        (
            [{"family": "linear"}],
            {"family": "boosting", "grid": {"categorical_features": ["from_dtype"]}},
            "categorical_features",
        ),
        ([{"family": "linear"}], {"family": "boosting", "grid": {"base": ["cubic"]}}, "cubic"),
        ([], {"family": "ridge", "grid": {"alpha": []}}, "nothing to try"),
    ],
)
def test_a_wrong_parameter_is_refused_before_any_work(first: list, candidate: dict, message: str) -> None:
    heard: list[Trial] = []
    with pytest.raises(ValueError, match=message):
        search(training_set(), spec(*first, candidate), heard.append)
    assert heard == []


def test_a_score_of_the_other_task_is_refused() -> None:
    with pytest.raises(ValueError, match="accuracy"):
        search(training_set(), spec(score="accuracy"))


def test_a_trial_that_fails_is_an_error_and_not_a_bad_score() -> None:
    with pytest.raises(ValueError, match="alpha"):
        search(training_set(), spec({"family": "linear"}, {"family": "ridge", "grid": {"alpha": [-1.0]}}))


def test_a_fault_in_a_worker_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="alpha"):
        search(training_set(), spec({"family": "ridge", "grid": {"alpha": [-1.0]}}, workers=2))


def test_nothing_in_time_is_an_error() -> None:
    with pytest.raises(SearchTimeoutError, match="timeout_seconds"):
        search(training_set(), spec({"family": "linear"}, timeout_seconds=1e-6))


def test_the_time_limit_ends_running_trials_and_keeps_finished_ones() -> None:
    endless = {"family": "forest", "grid": {"n_estimators": [200_000]}}
    found = search(training_set(), spec({"family": "linear"}, endless, workers=2, timeout_seconds=8))
    assert found.best.family == "linear"
    assert [family for family, _ in found.unfinished] == ["forest"]
    assert multiprocessing.active_children() == []


def test_too_few_rows_for_the_folds_is_named() -> None:
    with pytest.raises(ValueError, match="folds"):
        search(training_set(count=3), spec(folds=20))


def test_a_rare_class_absent_from_a_fold_has_probability_zero_there() -> None:
    frame = made_data.sample("grade", 300)
    frame.loc[0, "grade"] = "unique"
    data = as_training_set(frame, "grade")
    found = search(data, spec({"family": "linear"}, score="log_loss"))
    column = list(data.scale.classes).index("unique")
    assert found.out_of_fold[0][0, column] == 0.0


def test_no_row_is_described_by_its_own_target() -> None:
    data = training_set()
    noise = np.random.default_rng(0).normal(size=len(data))
    singles = tuple(view.assign(place=[f"own {i}" for i in range(len(data))]) for view in data.views)
    encoder = Encoder(data.numeric, data.categorical)
    matrix = encoder.fit(singles, noise, data.keys)[0]
    effect = matrix[:, encoder.names.index("place_effect")]
    assert np.ptp(effect) == 0.0


def test_hidden_optional_fields_look_the_same_in_training_and_when_asked() -> None:
    data = training_set()
    encoder = Encoder(data.numeric, data.categorical)
    encoder.fit(data.views, np.log(data.target), data.keys)
    matrix = encoder.transform(data.views[1])
    assert np.isfinite(matrix).all()
    assert (matrix[:, encoder.names.index("extra_missing")] == 1.0).all()
    assert (matrix[:, encoder.names.index("kind=a")] == 0.0).all()
