"""Export: ONNX answers as scikit-learn does, for every family, and a release is whole or absent."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest

from mlops_assets.training import columns, export, fit, released
from mlops_assets.training.graph import float32_below
from mlops_assets.training.spec import Product
from tests.unit.training import made_data

TREES = {"max_iter": [25], "min_samples_leaf": [5]}
FAMILIES = {
    "linear": {},
    "ridge": {"alpha": [1.0]},
    "lasso": {"alpha": [0.001]},
    "tree": {"max_leaf_nodes": [60]},
    "forest": {"n_estimators": [8]},
    "boosting": TREES,
    "ensemble": {**TREES, "seeds": [2]},
}


def declared(target: str, family: str, **changes: object) -> Product:
    candidate = {"family": family, "grid": FAMILIES[family]}
    score = "mae" if target == "value" else "log_loss"
    return made_data.product(target, search=made_data.search(candidate, score=score), **changes)


def trained(target: str = "value", family: str = "boosting", **changes: object) -> tuple[Product, fit.Trained, bytes]:
    product = declared(target, family, **changes)
    result = fit.train(product, made_data.features, made_data.sample(target))
    return product, result, export.to_onnx(result.model)


def frames(product: Product, rows: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    return columns.views(made_data.features, rows, product.features)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("target", ["value", "grade"])
def test_every_family_answers_alike_in_onnx_on_every_row(family: str, target: str) -> None:
    product, result, graph = trained(target, family)
    rows = pd.concat([result.holdout_rows, result.train_rows])
    assert export.parity(result.model, graph, frames(product, rows)) < 1e-4


def test_unknown_categories_and_missing_numbers_answer_alike_too() -> None:
    product, result, graph = trained()
    strange = result.holdout_rows.assign(place="nowhere 🏠", kind="", extra=np.nan)
    assert export.parity(result.model, graph, frames(product, strange)) < 1e-4


def test_an_untransformed_target_and_one_without_optional_fields() -> None:
    features = {"numeric": ["log_size"], "categorical": ["place"]}
    target = {"column": "value", "transform": "none"}
    product = Product.model_validate({**made_data.product().model_dump(), "features": features, "target": target})
    result = fit.train(product, made_data.features, made_data.sample())
    graph = export.to_onnx(result.model)
    assert export.parity(result.model, graph, frames(product, result.holdout_rows)) < 1e-4
    assert set(released.OnnxModel(graph).inputs) == {"log_size", "place"}


@pytest.mark.parametrize("kind", [int, bool])
def test_whole_number_and_two_class_targets(kind: type) -> None:
    frame = made_data.sample("grade")
    frame["grade"] = (frame["grade"] == "dear").astype(kind)
    product = declared("grade", "boosting")
    result = fit.train(product, made_data.features, frame)
    graph = export.to_onnx(result.model)
    assert export.parity(result.model, graph, frames(product, result.holdout_rows)) < 1e-4
    assert released.OnnxModel(graph).outputs == ["label", "probabilities"]


def test_the_interval_holds_the_estimate_in_the_graph() -> None:
    product, result, graph = trained()
    for frame in frames(product, result.holdout_rows):
        answer = released.OnnxModel(graph).predict(frame)
        assert (answer["low"] <= answer["estimate"]).all()
        assert (answer["estimate"] <= answer["high"]).all()
        assert (answer["low"] < answer["high"]).any()


def test_parity_sees_a_wrong_graph() -> None:
    product, result, graph = trained()
    proto = onnx.load_from_string(graph)
    for item in proto.graph.initializer:
        if item.name.startswith("low_shift"):
            item.CopyFrom(onnx.numpy_helper.from_array(np.full((1, 1), -0.5, dtype=np.float32), item.name))
    assert export.parity(result.model, proto.SerializeToString(), frames(product, result.holdout_rows)) > 0.01


def test_parity_sees_an_answer_that_is_not_a_number() -> None:
    product, result, graph = trained("value", "linear")
    proto = onnx.load_from_string(graph)
    for item in proto.graph.initializer:
        if item.name.startswith("medians"):
            item.CopyFrom(onnx.numpy_helper.from_array(np.full((1, 2), np.nan, dtype=np.float32), item.name))
    assert export.parity(result.model, proto.SerializeToString(), frames(product, result.holdout_rows)) == np.inf


def test_a_threshold_between_neighbouring_floats_decides_as_the_double_did() -> None:
    left = np.float32(1.0)
    right = np.nextafter(left, np.float32(2.0))
    threshold = (float(left) + float(right)) / 2 + 1e-9
    assert np.float32(threshold) == right  # rounding to nearest would send `right` left
    rounded = float32_below(np.array([threshold, np.inf]))
    assert float(left) <= rounded[0] < float(right)
    assert rounded[1] == np.inf


def record_of(product: Product, result: fit.Trained, graph: bytes) -> dict:
    return export.describe(
        product,
        result.model,
        graph,
        version=7,
        dataset={"version": 1, "sha256": "ab", "rows": 600, "sample": True},
        code_version="c0de",
        runs={"dagster": "d", "mlflow": "m"},
        metrics={"mae": np.float64(1.5)},
        smoke=export.smoke_records(product, made_data.features, graph, result.holdout_rows),
        vocabulary=export.vocabulary(product, result.train_rows),
    )


def test_a_release_is_read_back_whole_and_reproduces_its_smoke_records(tmp_path: Path) -> None:
    product, result, graph = trained()
    directory = export.write_release(tmp_path / "made" / "7", record_of(product, result, graph), graph)
    record = released.read_release(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["model.onnx", "release.json"]
    assert [path.name for path in directory.parent.iterdir()] == ["7"]
    assert record["inputs"] == [
        {"name": "log_size", "type": "float"},
        {"name": "extra", "type": "float"},
        {"name": "kind", "type": "string"},
        {"name": "place", "type": "string"},
    ]
    assert record["outputs"] == ["estimate", "low", "high"]
    assert record["vocabulary"]["place"] == sorted(set(result.train_rows["place"]))
    model = released.load(directory)
    assert len(record["smoke"]) == 3
    for item in record["smoke"]:
        computed = made_data.features(item["request"])
        feed = pd.DataFrame({entry["name"]: [computed[entry["name"]]] for entry in record["inputs"]})
        for name, expected in item["expected"].items():
            assert model.predict(feed)[name][0] == pytest.approx(expected, rel=1e-5)


def test_smoke_records_hold_no_target_and_no_nulls() -> None:
    product, result, graph = trained()
    for item in export.smoke_records(product, made_data.features, graph, result.holdout_rows):
        assert "value" not in item["request"]
        assert None not in item["request"].values()
        json.dumps(item, allow_nan=False)


def test_a_classification_record_names_its_classes(tmp_path: Path) -> None:
    product, result, graph = trained("grade")
    directory = export.write_release(tmp_path / "1", record_of(product, result, graph), graph)
    record = released.read_release(directory)
    assert record["classes"] == ["cheap", "dear", "fair"]
    assert record["smoke"][0]["expected"]["label"] in record["classes"]
    assert len(record["smoke"][0]["expected"]["probabilities"]) == 3


def test_a_release_is_never_overwritten(tmp_path: Path) -> None:
    directory = export.write_release(tmp_path / "1", {"format": 1}, b"first")
    with pytest.raises(FileExistsError):
        export.write_release(tmp_path / "1", {"format": 1}, b"second")
    assert (directory / "model.onnx").read_bytes() == b"first"


def test_a_fault_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = os.fsync
    calls = 0

    def full_disk(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device")
        synced(handle)

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        export.write_release(tmp_path / "1", {"format": 1}, b"graph")
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_json_can_not_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        export.write_release(tmp_path / "1", {"format": 1, "metrics": {"mae": float("nan")}}, b"graph")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: (d / "release.json").unlink(), "half-written"),
        (lambda d: (d / "release.json").write_text("{"), "isn't JSON"),
        (lambda d: (d / "release.json").write_text('{"format": 2}'), "format"),
        (lambda d: (d / "model.onnx").write_bytes(b"other"), "sha256 differs"),
        (lambda d: (d / "model.onnx").unlink(), "doesn't exist"),
        (
            lambda d: (d / "release.json").write_text('{"format": 1, "files": {"../x": {"sha256": ""}}}'),
            "plain file name",
        ),
    ],
)
def test_a_spoilt_release_is_refused_by_name(tmp_path: Path, spoil: object, message: str) -> None:
    directory = export.write_release(tmp_path / "1", {"format": 1}, b"graph")
    spoil(directory)  # type: ignore[operator]
    with pytest.raises(released.ReleaseError, match=message):
        released.read_release(directory)
