"""The forest as one ONNX graph: the served answers, and the way back to the model that scores files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest

from mlops_assets.training.isolation import IsolationModel
from mlops_assets.training.isolation_graph import from_onnx, to_onnx
from mlops_assets.training.released import OnnxModel
from tests.unit.training.test_isolation import CATEGORICAL, NUMERIC, ODD, accidents, fitted


def served(frame: pd.DataFrame) -> pd.DataFrame:
    """What a request carries: a text that is missing is empty."""
    return frame.fillna(dict.fromkeys(CATEGORICAL, ""))


def test_inputs_are_the_model_columns_and_outputs_the_declared_words() -> None:
    model = OnnxModel(to_onnx(fitted(accidents())))
    kinds = {**dict.fromkeys(NUMERIC, "tensor(float)"), **dict.fromkeys(CATEGORICAL, "tensor(string)")}
    assert model.inputs == kinds
    answers = model.run(model.feed(accidents(5)))
    assert {name: (value.shape, value.dtype.name) for name, value in answers.items()} == {
        "anomaly_score": ((5, 1), "float32"),
        "anomaly_pred": ((5, 1), "int64"),
    }


@pytest.mark.parametrize("contamination", ["auto", 0.1])
def test_answers_are_the_models_within_float32s_rounding(contamination: float) -> None:
    frame = accidents()
    model = fitted(frame, trees=200, contamination=contamination)
    later = accidents(500, seed=1).assign(weather="FOG")
    graph = OnnxModel(to_onnx(model))
    for rows in (served(pd.concat([frame, pd.DataFrame([ODD])])), served(later)):
        answers, score = graph.predict(rows), model.score(rows)
        assert np.abs(answers["anomaly_score"] - score).max() < 5e-7
        sure = np.abs(score) > 5e-7
        np.testing.assert_array_equal(answers["anomaly_pred"][sure], model.predict(rows)[sure])
        np.testing.assert_array_equal(answers["anomaly_pred"], np.where(answers["anomaly_score"] < 0, -1, 1))
    assert graph.predict(pd.DataFrame([ODD]))["anomaly_pred"].tolist() == [-1]


def test_values_on_a_threshold_and_beside_it_take_the_models_branch() -> None:
    model = fitted(accidents(), trees=3)
    edge = model.trees.threshold[model.trees.feature == 0]
    speeds = np.concatenate([np.nextafter(edge, np.float32(way)) for way in (-np.inf, np.inf)] + [edge])
    rows = pd.DataFrame({"speed": speeds, "hour": 3.0, "units": 1.0, "weather": "RAIN", "cause": "CAUSE 1"})
    answered = OnnxModel(to_onnx(model)).predict(rows)["anomaly_score"]
    assert np.abs(answered - model.score(rows)).max() < 1e-6


def test_a_missing_number_is_the_median_and_a_missing_text_no_level() -> None:
    model = fitted(accidents())
    rows = pd.DataFrame({"speed": [np.nan], "hour": [np.nan], "units": [np.nan], "weather": [""], "cause": [""]})
    answered = OnnxModel(to_onnx(model)).predict(rows)["anomaly_score"]
    assert answered[0] == pytest.approx(model.score(rows)[0], abs=5e-7)


@pytest.mark.parametrize(
    ("numeric", "categorical"),
    [(NUMERIC, ()), ((), CATEGORICAL), (("speed",), ("weather", "blank")), (NUMERIC, CATEGORICAL)],
)
def test_the_model_that_is_read_back_scores_the_same_to_the_last_bit(
    numeric: tuple[str, ...], categorical: tuple[str, ...]
) -> None:
    frame = accidents().assign(blank="")
    model = IsolationModel.fit(frame, numeric, categorical, trees=20, samples=100, contamination=0.03)
    graph = to_onnx(model)
    again = from_onnx(graph)
    assert (again.encoder.numeric, again.encoder.categorical, again.encoder.levels) == (
        numeric, categorical, model.encoder.levels,
    )  # fmt: skip
    later = accidents(300, seed=5).assign(blank="x")
    np.testing.assert_array_equal(again.score(later), model.score(later))
    assert to_onnx(again) == graph
    answered = OnnxModel(graph).predict(later)["anomaly_score"]
    assert np.abs(answered - model.score(later)).max() < 1e-6


def test_trees_without_a_split_answer_zero() -> None:
    same = pd.DataFrame({"a": [1.0] * 20, "b": ["x"] * 20})
    answers = OnnxModel(to_onnx(IsolationModel.fit(same, ["a"], ["b"], trees=5))).predict(same)
    assert answers["anomaly_score"].tolist() == [0.0] * 20
    assert answers["anomaly_pred"].tolist() == [1] * 20


def test_a_graph_of_something_else_is_refused() -> None:
    from onnx import TensorProto, helper

    place = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    other = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", place[:1], place[1:])
    with pytest.raises(ValueError, match="isn't an isolation forest"):
        from_onnx(helper.make_model(other).SerializeToString())
    proto = onnx.load_from_string(to_onnx(fitted(accidents(50))))
    del proto.metadata_props[:]
    with pytest.raises(ValueError, match="isn't an isolation forest"):
        from_onnx(proto.SerializeToString())


@pytest.mark.real_data
def test_the_graph_answers_every_real_row_as_the_model_does(real_data: Path) -> None:
    from mlops_assets.products.traffic_anomalies import CATEGORICAL, NUMERIC

    rows = pd.read_csv(real_data / "traffic_accidents.csv.gz")
    model = IsolationModel.fit(rows, NUMERIC, CATEGORICAL)
    graph = to_onnx(model)
    answers, score = OnnxModel(graph).predict(rows), model.score(rows)
    assert np.abs(answers["anomaly_score"] - score).max() < 1e-6
    np.testing.assert_array_equal(answers["anomaly_pred"], model.predict(rows))
    np.testing.assert_array_equal(from_onnx(graph).score(rows), score)
