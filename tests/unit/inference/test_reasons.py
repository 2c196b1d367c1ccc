"""Loading a detector's release: what its manifest and `reasons.json` must hold."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from inference.functions import ProductFunctions, load_functions
from inference.model import Model
from inference.release import ReleaseError, read_manifest
from tests.unit.inference.tiny_release import write_release
from tests.unit.inference.traffic_release import MODULE, ODD, USUAL, expected, fitted, write_traffic_release


@pytest.fixture(scope="module")
def functions() -> ProductFunctions:
    return load_functions(MODULE)


def with_reasons(folder: Path, data: bytes) -> Path:
    """A release whose manifest vouches for these bytes."""
    write_traffic_release(folder)
    (folder / "reasons.json").write_bytes(data)
    manifest = json.loads((folder / "release.json").read_text())
    manifest["files"]["reasons.json"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "release.json").write_text(json.dumps(manifest))
    return folder


def test_scores_are_the_fitted_models(tmp_path: Path, functions: ProductFunctions) -> None:
    model = Model.load(write_traffic_release(tmp_path / "r"), functions)
    found = model.estimate([functions.request.model_validate(request) for request in (USUAL, ODD)])
    for estimate, request in zip(found, (USUAL, ODD), strict=True):
        wanted = expected(request)
        assert estimate.value == pytest.approx(wanted["anomaly_score"], abs=1e-6)
        assert estimate.pred == wanted["anomaly_pred"]
    assert model.manifest.trained_until == "2022-12"


def smoke(**changes: Any) -> dict[str, Any]:
    return {"smoke": [{"request": USUAL, "expected": expected(USUAL) | changes}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda: smoke(anomaly_score=expected(USUAL)["anomaly_score"] + 2e-4), "smoke anomaly_score"),
        (lambda: smoke(anomaly_pred=-1), "smoke anomaly_pred"),
        (lambda: {"smoke": [{"request": {**USUAL, "crash_date": "02/30/2023"}, "expected": {}}]}, "crash_date"),
        (lambda: {"outputs": ["anomaly_score"]}, "anomaly_pred"),
        (lambda: {"outputs": ["anomaly_pred", "anomaly_score"]}, "first output"),
        (lambda: {"task": "regression"}, "task regression"),
        (lambda: {"trained_until": "2022-13"}, "trained_until"),
    ],
)  # fmt: skip
def test_manifest_that_is_wrong_is_refused(
    tmp_path: Path, functions: ProductFunctions, changes: Any, message: str
) -> None:
    folder = write_traffic_release(tmp_path / "r", **changes())
    with pytest.raises(ReleaseError, match=message):
        Model.load(folder, functions)


def test_a_score_near_the_exporters_is_accepted(tmp_path: Path, functions: ProductFunctions) -> None:
    near = smoke(anomaly_score=expected(USUAL)["anomaly_score"] + 5e-5)
    Model.load(write_traffic_release(tmp_path / "r", **near), functions)


def test_estimates_are_no_anomalies(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="task anomaly doesn't go with the output estimate"):
        read_manifest(write_release(tmp_path / "r", task="anomaly"))


def test_release_without_reasons_is_refused(tmp_path: Path, functions: ProductFunctions) -> None:
    folder = write_traffic_release(tmp_path / "r")
    manifest = json.loads((folder / "release.json").read_text())
    del manifest["files"]["reasons.json"]
    (folder / "release.json").write_text(json.dumps(manifest))
    with pytest.raises(ReleaseError, match=r"reasons\.json is not listed"):
        Model.load(folder, functions)


def test_lost_or_changed_reasons_are_refused(tmp_path: Path, functions: ProductFunctions) -> None:
    folder = write_traffic_release(tmp_path / "r")
    data = bytearray((folder / "reasons.json").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "reasons.json").write_bytes(data)
    with pytest.raises(ReleaseError, match=r"reasons\.json: its SHA-256"):
        Model.load(folder, functions)
    (folder / "reasons.json").unlink()
    with pytest.raises(ReleaseError, match=r"reasons\.json"):
        Model.load(folder, functions)


def told() -> dict[str, Any]:
    reasons: dict[str, Any] = json.loads(fitted()[1])
    return reasons


def of_another_model() -> dict[str, Any]:
    reasons = told()
    reasons["reference"]["parts"][0]["columns"] = ["price"]
    return reasons


def text_as_number() -> dict[str, Any]:
    reasons = told()
    reasons["reference"]["numeric"].append("weather_condition")
    return reasons


def half_a_part() -> dict[str, Any]:
    reasons = told()
    reasons["reference"]["parts"][0]["typical"] = []
    return reasons


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: b"", "reasons.json: the file"),
        (lambda: b"[1, 2", "reasons.json: the file"),
        (lambda: b'{"reference": {"rows": 3}}', "reference.numeric"),
        (lambda: json.dumps(told() | {"more": 1}).encode(), "more"),
        (lambda: json.dumps(of_another_model()).encode(), "it tells of price"),
        (lambda: json.dumps(text_as_number()).encode(), "it tells of weather_condition"),
        (lambda: json.dumps(half_a_part()).encode(), "smoke request can't be answered"),
    ],
)
def test_reasons_that_fit_no_model_are_refused(
    tmp_path: Path, functions: ProductFunctions, data: Any, message: str
) -> None:
    folder = with_reasons(tmp_path / "r", data())
    with pytest.raises(ReleaseError, match=message):
        Model.load(folder, functions)
