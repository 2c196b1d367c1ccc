"""Writes release folders of the tiny product, whose answers can be computed by hand.

estimate = factor * area + 10 * rooms + extra(town), low = 0.8 * estimate, high = 1.25 * estimate.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

MODULE = "tests.unit.inference.tiny_product"
PRODUCT = "tiny_homes"
EXTRA = {"old town": 100.0, "lake side": 200.0}
VOCABULARY = {"town": ["Lake Side", "Old Town"]}
HOME = {"area": 1000, "town": "Old Town", "rooms": 2}


def expected(request: dict[str, Any], factor: float) -> dict[str, float]:
    """The answer of a release with this factor, before rounding."""
    town = " ".join(request["town"].casefold().split())
    value = factor * request["area"] + 10 * request["rooms"] + EXTRA.get(town, 0.0)
    return {"estimate": value, "low": 0.8 * value, "high": 1.25 * value}


def onnx_bytes(factor: float) -> bytes:
    """The model as ONNX. The floor is an input that adds nothing, present or NaN."""
    import onnx
    from onnx import TensorProto, helper

    def constant(name: str, value: float) -> onnx.TensorProto:
        return helper.make_tensor(name, TensorProto.FLOAT, [1], [value])

    def number(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1])

    town = helper.make_tensor_value_info("town", TensorProto.STRING, [None, 1])
    nodes = [
        helper.make_node("Mul", ["area", "factor"], ["by_area"]),
        helper.make_node("Mul", ["rooms", "ten"], ["by_rooms"]),
        helper.make_node(
            "LabelEncoder", ["town"], ["by_town"], domain="ai.onnx.ml",
            keys_strings=list(EXTRA), values_floats=list(EXTRA.values()), default_float=0.0,
        ),
        helper.make_node("IsNaN", ["floor"], ["absent"]),
        helper.make_node("Where", ["absent", "zero", "floor"], ["storey"]),
        helper.make_node("Mul", ["storey", "zero"], ["by_floor"]),
        helper.make_node("Sum", ["by_area", "by_rooms", "by_town", "by_floor"], ["estimate"]),
        helper.make_node("Mul", ["estimate", "down"], ["low"]),
        helper.make_node("Mul", ["estimate", "up"], ["high"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "tiny",
        [*map(number, ("area", "rooms", "floor")), town],
        [*map(number, ("estimate", "low", "high"))],
        [
            constant("factor", factor),
            constant("ten", 10),
            constant("zero", 0),
            constant("down", 0.8),
            constant("up", 1.25),
        ],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())


def write_release(folder: Path, version: int = 1, factor: float = 0.1, **changes: Any) -> Path:
    """Write a release folder and return it; `changes` replace top-level keys of its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    data = onnx_bytes(factor)
    (folder / "model.onnx").write_bytes(data)
    towns = {"name": "town", "type": "string"}
    requests: list[dict[str, Any]] = [
        HOME,
        {**HOME, "town": "LAKE  side", "floor": 4},
        {**HOME, "town": "Elsewhere"},
    ]
    manifest = {
        "format": 1,
        "product": PRODUCT,
        "version": version,
        "created_at": "2025-01-02T03:04:05+00:00",
        "task": "regression",
        "module": MODULE,
        "dataset": {"version": 4, "sha256": "ab" * 32, "rows": 1234, "sample": True},
        "code_version": "test",
        "runs": {"dagster": "d", "mlflow": "m"},
        "files": {"model.onnx": {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}},
        "inputs": [*({"name": n, "type": "float"} for n in ("area", "rooms", "floor")), towns],
        "outputs": ["estimate", "low", "high"],
        "target": {"column": "price", "unit": "coins", "decimals": 2},
        "vocabulary": VOCABULARY,
        "smoke": [{"request": r, "expected": expected(r, factor)} for r in requests],
        "metrics": {"mae": 1.0},
    } | changes
    (folder / "release.json").write_text(json.dumps(manifest))
    return folder
