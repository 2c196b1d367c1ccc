"""Loading a release: what is refused and why, and that answers are the exporter's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inference.functions import ProductFunctions, load_functions
from inference.model import Model, NotFiniteError
from inference.release import ReleaseError
from tests.unit.inference.tiny_release import HOME, MODULE, expected, onnx_bytes, write_release


def edit(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "release.json").read_text())
    (folder / "release.json").write_text(json.dumps(manifest | changes))


def test_answers_are_the_exporters(model: Model, functions: ProductFunctions) -> None:
    homes = [HOME, {**HOME, "town": "lake side", "floor": 3}, {**HOME, "town": "Ō\0x", "area": 19_999.5}]
    found = model.estimate([functions.request.model_validate(home) for home in homes])
    for home, estimate in zip(homes, found, strict=True):
        wanted = expected(home, 0.1)
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(tuple(wanted.values()), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format"),
        ({"module": "os"}, "made for os"),
        ({"module": "os; import sys"}, "module"),
        ({"smoke": []}, "smoke"),
        (
            {"smoke": [{"request": HOME, "expected": expected(HOME, 0.1) | {"estimate": 220.05}}]},
            "smoke estimate",
        ),
        ({"smoke": [{"request": HOME, "expected": expected(HOME, 0.1) | {"high": 275.1}}]}, "smoke high"),
        ({"smoke": [{"request": HOME, "expected": {}}]}, "nothing that can be compared"),
        ({"smoke": [{"request": {**HOME, "area": -1}, "expected": {}}]}, "contract"),
        ({"inputs": [{"name": "area", "type": "float"}]}, "inputs"),
        ({"inputs": [{"name": "area", "type": "image"}]}, "inputs"),
        ({"outputs": ["estimate", "middle"]}, "no output middle"),
        ({"outputs": ["price"]}, "outputs"),
        ({"files": {}}, "model.onnx is not listed"),
        ({"files": {"../model.onnx": {"sha256": "0" * 64, "bytes": 1}}}, "files"),
        ({"files": {"model.onnx": {"sha256": "0" * 64, "bytes": 1}}}, "more than the expected 1 bytes"),
        ({"files": {"model.onnx": {"sha256": "0" * 64, "bytes": 10**9}}}, "bytes, the manifest says"),
        ({"files": {"model.onnx": {"sha256": "short", "bytes": 1}}}, "files"),
        ({"version": -1}, "version"),
    ],
)
def test_manifest_that_is_wrong_is_refused(
    tmp_path: Path, functions: ProductFunctions, changes: dict[str, Any], message: str
) -> None:
    folder = write_release(tmp_path / "r")
    edit(folder, **changes)
    with pytest.raises(ReleaseError, match=message):
        Model.load(folder, functions)


def test_changed_byte_is_refused(tmp_path: Path, functions: ProductFunctions) -> None:
    folder = write_release(tmp_path / "r")
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(ReleaseError, match="SHA-256"):
        Model.load(folder, functions)


@pytest.mark.parametrize("name", ["release.json", "model.onnx"])
def test_missing_file_is_named(tmp_path: Path, functions: ProductFunctions, name: str) -> None:
    folder = write_release(tmp_path / "r")
    (folder / name).unlink()
    with pytest.raises(ReleaseError, match=name):
        Model.load(folder, functions)


def test_manifest_that_is_no_json_is_refused(tmp_path: Path, functions: ProductFunctions) -> None:
    folder = write_release(tmp_path / "r")
    (folder / "release.json").write_text('{"format": 1, ')
    with pytest.raises(ReleaseError, match=r"release\.json"):
        Model.load(folder, functions)


def test_file_that_is_no_model_is_refused(tmp_path: Path, functions: ProductFunctions) -> None:
    import hashlib

    folder = write_release(tmp_path / "r")
    junk = b"not a model" * 10
    (folder / "model.onnx").write_bytes(junk)
    edit(folder, files={"model.onnx": {"sha256": hashlib.sha256(junk).hexdigest(), "bytes": len(junk)}})
    with pytest.raises(ReleaseError, match="ONNX Runtime refuses"):
        Model.load(folder, functions)


def test_features_that_miss_an_input_are_refused(tmp_path: Path, functions: ProductFunctions) -> None:
    folder = write_release(tmp_path / "r")
    less = ProductFunctions(functions.module, functions.request, lambda record: {"area": 1.0})
    with pytest.raises(ReleaseError, match="no column for its inputs floor, rooms, town"):
        Model.load(folder, less)


def test_answer_that_is_no_number_is_a_fault(tmp_path: Path, functions: ProductFunctions) -> None:
    cold = write_release(tmp_path / "r", factor=3e38)
    case = {"request": {**HOME, "area": 1, "rooms": 1, "town": "x"}, "expected": {"low": 0.8 * 3e38}}
    edit(cold, smoke=[case], outputs=["estimate", "low"])
    model = Model.load(cold, functions)
    with pytest.raises(NotFiniteError, match="estimate"):
        model.estimate([functions.request.model_validate(HOME)])


@pytest.mark.parametrize("module", ["json", "tests.unit.inference.nothing", "mlops_assets.products.nothing"])
def test_module_outside_the_products_is_refused(module: str) -> None:
    with pytest.raises(ReleaseError, match=module):
        load_functions(module)


def test_module_without_request_is_refused() -> None:
    with pytest.raises(ReleaseError, match="Request"):
        load_functions("mlops_assets.products.cleaned")
    with pytest.raises(ReleaseError, match="nor named"):
        load_functions(MODULE)


def test_two_factors_are_two_models() -> None:
    assert onnx_bytes(0.1) != onnx_bytes(0.2)
