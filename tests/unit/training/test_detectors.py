"""A product without labels, from rows to a release: divided in time, fitted, measured, exported, explained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from mlops_assets.explanations.explainer import Explainer
from mlops_assets.training import detecting, drift_reference, export, feature_set, isolation_graph, released
from mlops_assets.training.evaluate_detector import evaluate_detector
from mlops_assets.training.isolation import IsolationModel
from mlops_assets.training.measured_scores import Scores
from mlops_assets.training.months import months_of
from tests.unit.training import made_detector as made


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return feature_set.build(made.product(), made.features, made.rows())


@pytest.fixture(scope="module")
def detected(table: pd.DataFrame) -> detecting.Detected:
    product = made.product()
    assert product.detector is not None
    frame = feature_set.model_columns(table, holdout=False)
    return detecting.detect(frame, product.features, product.detector)[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"detector": None}, "detector: task anomaly needs it"),
        ({"target": {"column": "size"}}, "target: task anomaly has none"),
        ({"search": {"candidates": [{"family": "linear"}]}}, "search: task anomaly has none"),
        ({"task": "regression"}, "task regression"),
        ({"interval": {}}, "interval"),
        ({"detector": {"time": "sent_at", "groups": {"colour": "colour"}}}, "no column of the contract: colour"),
        ({"detector": {"time": "kind"}}, "detector.time: kind is no time column"),
        ({"serving": {"route": "score", "slot": 1}}, "serving.answer: a detector answers anomaly_score"),
        ({"features": {"numeric": ["size"], "optional": ["size"]}}, "features.optional"),
        ({"gates": [{"metric": "anomaly_rate", "maximum": 1, "segment": "kind"}]}, "no metrics by segment"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        made.product(**changes)


def test_training_ends_before_the_rows_that_judge_it(table: pd.DataFrame) -> None:
    train, holdout = feature_set.side(table, holdout=False), feature_set.side(table, holdout=True)
    assert len(train) + len(holdout) == len(table)
    assert max(months_of(train, "sent_at")) < min(months_of(holdout, "sent_at"))
    assert list(train.columns) == ["sent_at", "size", "kind", "hour"]


def test_the_forest_and_its_twins_agree_on_what_is_odd(table: pd.DataFrame, detected: detecting.Detected) -> None:
    product = made.product()
    holdout = feature_set.side(table, holdout=True)
    frame = feature_set.model_columns(table, holdout=True)
    found = evaluate_detector(detected.model, product, made, holdout, frame, twins=detected.twins)
    assert found.metrics["severe_auc"] > 0.99
    assert found.metrics["seed_spearman"] > 0.7
    assert found.metrics["rows"] == len(holdout)
    assert ((found.answers["anomaly_score"] < 0) == (found.answers["anomaly_pred"] == -1)).all()
    assert found.metrics["anomaly_rate"] == pytest.approx((found.answers["anomaly_pred"] == -1).mean())


def test_what_there_are_no_rows_for_is_not_measured(table: pd.DataFrame, detected: detecting.Detected) -> None:
    product = made.product()
    usual = table[(table["kind"] != "PIANO") & table[feature_set.HOLDOUT]].head(40).reset_index(drop=True)
    found = evaluate_detector(
        detected.model, product, made, feature_set.side(usual, holdout=True), feature_set.model_columns(usual)
    )
    assert not found.metrics.keys() & {"severe_auc", "month_ratio", "seed_spearman"}
    with pytest.raises(ValueError, match="no rows"):
        evaluate_detector(detected.model, product, made, usual.head(0), usual.head(0))


def test_the_graph_scores_as_the_forest_does(table: pd.DataFrame, detected: detecting.Detected) -> None:
    graph = isolation_graph.to_onnx(detected.model)
    measured = Scores(made.product(), made, table, detected, graph)
    assert measured.parity() < 1e-5
    other = IsolationModel.fit(
        feature_set.model_columns(table, holdout=True), ("size", "hour", "night"), ("kind",), trees=20, seed=9
    )
    wrong = Scores(made.product(), made, table, detected, isolation_graph.to_onnx(other))
    assert wrong.parity() > 1e-3


def test_the_charts_tell_the_reasons_of_the_oddest_rows(table: pd.DataFrame, detected: detecting.Detected) -> None:
    measured = Scores(made.product(), made, table, detected, isolation_graph.to_onnx(detected.model))
    drawn = measured.draw(measured.evaluation())
    assert {"score_histogram", "share_by_month", "lowest_scores", "by_kind"} <= drawn.keys()
    assert set(measured.inline) >= drawn.keys()
    assert all(image.startswith(b"\x89PNG") for image in drawn.values())


def release(folder: Path, table: pd.DataFrame, detected: detecting.Detected) -> Path:
    product = made.product()
    graph = isolation_graph.to_onnx(detected.model)
    holdout = feature_set.side(table, holdout=True)
    record = export.describe(
        product,
        detected,
        graph,
        version=1,
        dataset={"version": 1, "sha256": "0" * 64, "rows": len(table), "sample": True},
        code_version="",
        runs={},
        metrics={"anomaly_rate": 0.01},
        smoke=export.smoke_records(product, made.features, graph, holdout),
        vocabulary={},
        trained_until="2024-08",
    )
    explainer = detecting.explainer(product, made, feature_set.model_columns(table, holdout=False))
    return export.write_release(folder, record, graph, {"reasons.json": explainer.model_dump_json().encode()})


def test_a_release_holds_what_answers_and_what_explains(
    table: pd.DataFrame, detected: detecting.Detected, tmp_path: Path
) -> None:
    folder = release(tmp_path / "1", table, detected)
    record = released.read_release(folder)
    assert record["outputs"] == ["anomaly_score", "anomaly_pred"]
    assert record["trained_until"] == "2024-08"
    assert set(record["files"]) == {"model.onnx", "reasons.json"}
    assert {case["expected"]["anomaly_pred"] for case in record["smoke"]} == {-1, 1}
    assert all(isinstance(case["request"]["sent_at"], str) for case in record["smoke"])
    explainer = Explainer.model_validate_json((folder / "reasons.json").read_bytes())
    model = isolation_graph.from_onnx((folder / "model.onnx").read_bytes())
    odd = pd.DataFrame({"size": [95.0], "hour": [3.0], "night": [1.0], "kind": ["PIANO"]})
    (told,) = explainer.explain(odd, lambda columns: model.score(pd.DataFrame(columns)))
    assert told.score < 0
    assert "PIANO" in told.text


def test_a_changed_reasons_file_is_no_release(
    table: pd.DataFrame, detected: detecting.Detected, tmp_path: Path
) -> None:
    folder = release(tmp_path / "1", table, detected)
    (folder / "reasons.json").write_text("{}")
    with pytest.raises(released.ReleaseError, match=r"reasons\.json"):
        released.read_release(folder)


def test_live_scores_are_compared_with_those_of_rows_that_were_held_out(
    table: pd.DataFrame, detected: detecting.Detected
) -> None:
    from pydantic import create_model

    request = create_model("Request", sent_at=(str, ...), size=(float, ...), kind=(str, ...), hour=(int, ...))
    product = made.product(drift={"ignore": ["hour"]})
    watched = drift_reference.monitored(product, request)
    assert [column.name for column in watched] == ["size", "kind", "estimate"]
    graph = isolation_graph.to_onnx(detected.model)
    sample = drift_reference.reference_of(product, request, made.features, table, graph, product.drift)
    holdout = feature_set.model_columns(table, holdout=True)
    np.testing.assert_allclose(
        np.sort(sample.scored["estimate"]), np.sort(detected.model.score(holdout)), rtol=0, atol=1e-5
    )
    assert json.loads(sample.rows.to_json())["kind"]
