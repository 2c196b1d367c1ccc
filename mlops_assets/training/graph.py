"""A fitted model → one ONNX graph: shared inputs, encoder tables, model, interval, target units.

Each model column is an input [N, 1] (float32 or string). Add here what another part of a model becomes in
ONNX. Keep out files and release records (`export`). scikit-learn's own models are converted by skl2onnx;
what lies around them is written node by node, so nothing depends on a converter for our own classes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.training.families import Boosted

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, ValueInfoProto

    from mlops_assets.training.encoder import Encoder, Table
    from mlops_assets.training.fit import Model

OPSET, ML_OPSET = 18, 3


def to_onnx(model: Model) -> bytes:
    """The serialised graph. Outputs: `estimate`, `low`, `high` [N, 1] float32 in target units; or `label` [N]
    and `probabilities` [N, K]. Without an interval there is only `estimate`."""
    import onnx
    from onnx import TensorProto, helper

    graph = Graph()
    inputs = [*graph.inputs(model.encoder.numeric, TensorProto.FLOAT)]
    inputs += graph.inputs(model.encoder.categorical, TensorProto.STRING)
    matrix = _encode(graph, model.encoder)
    outputs = _classify(graph, model, matrix) if model.task == "classification" else _regress(graph, model, matrix)
    built = helper.make_graph(graph.nodes, "model", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    proto = helper.make_model(built, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(proto, full_check=False)
    return proto.SerializeToString()


@dataclass
class Graph:
    """Nodes and constants under construction; every name is given once."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    names: int = 0

    def inputs(self, names: tuple[str, ...], kind: int) -> list[ValueInfoProto]:
        from onnx import helper

        return [helper.make_tensor_value_info(name, kind, ["N", 1]) for name in names]

    def fresh(self, stem: str) -> str:
        self.names += 1
        # A model column can't hold this name: declared names have no colon.
        return f"{stem}:{self.names}"

    def constant(self, stem: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        name = self.fresh(stem)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str = "", domain: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or self.fresh(kind.lower())
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output


def _encode(graph: Graph, encoder: Encoder) -> str:
    parts = []
    if encoder.numeric:
        numbers = graph.add("Concat", list(encoder.numeric), axis=1)
        gaps = graph.add("IsNaN", [numbers])
        parts.append(graph.add("Where", [gaps, graph.constant("medians", encoder.medians[None, :]), numbers]))
        if encoder.flagged:
            columns = graph.constant("flagged", np.array(encoder.flagged, dtype=np.int64))
            parts.append(graph.add("Cast", [graph.add("Gather", [gaps, columns], axis=1)], to=1))
    parts += [look_up(graph, table) for table in encoder.tables if table.values.shape[1]]
    matrix = graph.add("Concat", parts, axis=1)
    if np.array_equal(encoder.mix, np.eye(len(encoder.mix))):
        return matrix
    return graph.add("MatMul", [matrix, graph.constant("mix", encoder.mix)])


def look_up(graph: Graph, table: Table) -> str:
    """The rows of a table, [N, width], for the words of its input column; an unknown word has the last row."""
    rest = len(table.levels)
    code = graph.add(
        "LabelEncoder", [table.name], domain="ai.onnx.ml", default_int64=rest,
        # The operator refuses an empty list of keys.
        keys_strings=table.levels or [""], values_int64s=list(range(rest)) or [0],
    )  # fmt: skip
    rows = graph.add("Gather", [graph.constant(table.name, table.values.astype(np.float32)), code], axis=0)
    return graph.add("Squeeze", [rows, graph.constant("axis", np.array([1], dtype=np.int64))])


def _regress(graph: Graph, model: Model, matrix: str) -> list[ValueInfoProto]:
    from onnx import TensorProto

    raw = _prediction(graph, model.predictor, matrix)
    answers = {"estimate": raw}
    if model.interval is not None:
        zero = graph.constant("zero", np.zeros((1, 1), dtype=np.float32))
        for name, clamp, trees, shift in (
            ("low", "Min", model.interval.low, model.interval.low_shift),
            ("high", "Max", model.interval.high, model.interval.high_shift),
        ):
            margin = graph.constant(f"{name}_shift", np.full((1, 1), shift, dtype=np.float32))
            reach = graph.add("Add", [_prediction(graph, trees, matrix), margin])
            answers[name] = graph.add("Add", [raw, graph.add(clamp, [reach, zero])])
    undo = "Exp" if model.scale.transform == "log" else "Identity"
    for name, value in answers.items():
        graph.add(undo, [value], output=name)
    return graph.inputs(tuple(answers), TensorProto.FLOAT)


def _classify(graph: Graph, model: Model, matrix: str) -> list[ValueInfoProto]:
    from onnx import TensorProto, helper

    classes = model.scale.classes
    members = model.predictor.members if isinstance(model.predictor, Boosted) else [model.predictor]
    graph.add("Mean", [_converted(graph, member, matrix) for member in members], output="probabilities")
    whole = np.issubdtype(classes.dtype, np.integer)
    names = classes.astype(np.int64) if whole else np.array([str(name) for name in classes], dtype=object)
    best = graph.add("ArgMax", ["probabilities"], axis=1, keepdims=0)
    graph.add("Gather", [graph.constant("classes", names), best], output="label", axis=0)
    kind = TensorProto.INT64 if whole else TensorProto.STRING
    return [
        helper.make_tensor_value_info("label", kind, ["N"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(classes)]),
    ]


def _prediction(graph: Graph, model: Any, matrix: str) -> str:
    """A regression model's answer [N, 1] on its own scale."""
    if not isinstance(model, Boosted):
        return _converted(graph, model, matrix)
    mean = graph.add("Mean", [_converted(graph, member, matrix) for member in model.members])
    return mean if model.linear is None else graph.add("Add", [mean, _converted(graph, model.linear, matrix)])


def _converted(graph: Graph, model: Any, matrix: str) -> str:
    """skl2onnx's nodes for a scikit-learn model on `matrix`; the name of its answer or its probabilities."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    _round_thresholds_down(model)
    options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
    with warnings.catch_warnings():
        # The converter hands protobuf booleans where it wants ints; their value is right.
        warnings.filterwarnings("ignore", ".*Expected an int, got a boolean", DeprecationWarning)
        proto = convert_sklearn(
            model,
            initial_types=[("X", FloatTensorType([None, model.n_features_in_]))],
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
            options=options,
        )
    names = {"X": matrix, "": ""}
    for constant in proto.graph.initializer:
        names[constant.name] = constant.name = graph.fresh(constant.name)
        graph.constants.append(constant)
    for node in proto.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names[name]
        for index, name in enumerate(node.output):
            names[name] = node.output[index] = graph.fresh(name)
        node.name = ""
        graph.nodes.append(node)
    return names[proto.graph.output[-1].name]


def _round_thresholds_down(model: Any) -> None:
    """Make each tree threshold a float32 that decides every float32 input as the double did.

    ONNX trees compare in float32. A double threshold between two neighbouring float32 values may round up to
    the larger one and send it the other way; rounded down it can't.
    """
    for trees in getattr(model, "_predictors", ()):
        for tree in trees:
            tree.nodes["num_threshold"] = float32_below(tree.nodes["num_threshold"])


def float32_below(values: np.ndarray) -> np.ndarray:
    """For each number the largest float32 that isn't larger, as float64."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float64)
