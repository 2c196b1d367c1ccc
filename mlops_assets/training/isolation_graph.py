"""An isolation forest ⇄ one ONNX graph: what answers requests, and what a release's batch scoring is read from.

Each model column is an input [N, 1] (float32 or string). Add here what else the graph should answer. Keep out
fitting and scoring of files (`isolation`), and other models' graphs (`graph`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.training.encoder import Table
from mlops_assets.training.graph import ML_OPSET, OPSET, Graph, look_up
from mlops_assets.training.isolation import LEAF, IsolationModel, Trees, average_path_length
from mlops_assets.training.isolation_encoder import IsolationEncoder

if TYPE_CHECKING:
    from onnx import NodeProto, ValueInfoProto

ENSEMBLE = "TreeEnsembleRegressor"


def to_onnx(model: IsolationModel) -> bytes:
    """The serialised graph. Outputs: `anomaly_score` [N, 1] float32 and `anomaly_pred` [N, 1] int64, -1 or 1.

    `from_onnx` reads the model back. The score differs from `IsolationModel.score` by float32's rounding, some 1e-7.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = Graph()
    inputs = graph.inputs(model.encoder.numeric, TensorProto.FLOAT)
    inputs += graph.inputs(model.encoder.categorical, TensorProto.STRING)
    excess = _trees(graph, model, _matrix(graph, model.encoder))
    outputs = _answers(graph, excess, model.offset)
    built = helper.make_graph(graph.nodes, "isolation_forest", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    proto = helper.make_model(built, opset_imports=opsets, ir_version=9)
    helper.set_model_props(proto, {"samples": str(model.samples), "offset": repr(model.offset)})
    onnx.checker.check_model(proto, full_check=False)
    return proto.SerializeToString()


def from_onnx(graph: bytes) -> IsolationModel:
    """The model that `to_onnx` wrote: its scores are the fitted model's to the last bit.

    Raises ValueError when the bytes are a graph of something else.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    proto = onnx.load_from_string(graph)
    nodes = {node.op_type: node for node in proto.graph.node}
    facts = {item.key: item.value for item in proto.metadata_props}
    if ENSEMBLE not in nodes or not {"samples", "offset"} <= facts.keys():
        raise ValueError("the graph isn't an isolation forest of to_onnx")
    kinds = {item.name: item.type.tensor_type.elem_type for item in proto.graph.input}
    numeric = tuple(name for name, kind in kinds.items() if kind == TensorProto.FLOAT)
    categorical = tuple(name for name, kind in kinds.items() if kind == TensorProto.STRING)
    levels = {
        node.input[0]: tuple(text.decode() for text in _attributes(node)["keys_strings"])
        for node in proto.graph.node
        if node.op_type == "LabelEncoder"
    }
    constants = {item.name: item for item in proto.graph.initializer}
    medians = np.zeros(0, dtype=np.float32)
    if numeric:
        gaps = next(node for node in proto.graph.node if node.op_type == "Where" and node.input[1] in constants)
        medians = numpy_helper.to_array(constants[gaps.input[1]])[0]
    encoder = IsolationEncoder(numeric, categorical, medians, tuple(levels.get(name, ()) for name in categorical))
    return IsolationModel(encoder, _read_trees(nodes[ENSEMBLE]), int(facts["samples"]), float(facts["offset"]))


def _read_trees(node: NodeProto) -> Trees:
    found = _attributes(node)
    leaf = np.array([mode == b"LEAF" for mode in found["nodes_modes"]])
    tree = np.array(found["nodes_treeids"])
    roots = np.flatnonzero(np.diff(tree, prepend=-1))
    shift = roots[tree]
    return Trees(
        roots=roots,
        feature=np.where(leaf, LEAF, found["nodes_featureids"]),
        threshold=np.array(found["nodes_values"], dtype=np.float32),
        left=np.where(leaf, LEAF, found["nodes_truenodeids"] + shift),
        right=np.where(leaf, LEAF, found["nodes_falsenodeids"] + shift),
        rows=np.array(found["nodes_hitrates"]).astype(np.int64),
    )


def _attributes(node: NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _matrix(graph: Graph, encoder: IsolationEncoder) -> str:
    """The encoder's matrix [N, width]."""
    parts = []
    if encoder.numeric:
        numbers = graph.add("Concat", list(encoder.numeric), axis=1)
        medians = graph.constant("medians", encoder.medians[None, :])
        parts.append(graph.add("Where", [graph.add("IsNaN", [numbers]), medians, numbers]))
    for name, levels in zip(encoder.categorical, encoder.levels, strict=True):
        if levels:
            rows = np.vstack([np.eye(len(levels)), np.zeros((1, len(levels)))])
            parts.append(look_up(graph, Table(name, list(levels), rows, one_hot=True)))
    return graph.add("Concat", parts, axis=1)


def _trees(graph: Graph, model: IsolationModel, matrix: str) -> str:
    """ln(paper's score / 0.5) [N, 1]: a sum of small numbers of both signs, so float32 loses little of it."""
    trees = model.trees
    sizes = np.diff([*trees.roots, len(trees.feature)])
    tree = np.repeat(np.arange(len(sizes)), sizes)
    shift = np.repeat(trees.roots, sizes)
    node = np.arange(len(tree)) - shift
    leaf = trees.feature == LEAF
    ordinary = average_path_length(np.array(model.samples))
    weights = -np.log(2.0) * (trees.lengths[leaf] - ordinary) / model.full_length
    return graph.add(
        ENSEMBLE, [matrix], domain="ai.onnx.ml", n_targets=1, aggregate_function="SUM", post_transform="NONE",
        nodes_treeids=tree.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_featureids=np.where(leaf, 0, trees.feature).tolist(),
        nodes_modes=["LEAF" if end else "BRANCH_LEQ" for end in leaf],
        nodes_values=np.where(leaf, 0, trees.threshold).astype(np.float32).tolist(),
        nodes_truenodeids=np.where(leaf, 0, trees.left - shift).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, trees.right - shift).tolist(),
        # How many training rows reached the node: nothing is decided by it, but `from_onnx` reads it.
        nodes_hitrates=trees.rows.astype(np.float32).tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=node[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=weights.astype(np.float32).tolist(),
    )  # fmt: skip


def _answers(graph: Graph, excess: str, offset: float) -> list[ValueInfoProto]:
    from onnx import TensorProto

    half = graph.constant("half", np.full((1, 1), 0.5, dtype=np.float32))
    shift = graph.constant("shift", np.full((1, 1), -offset, dtype=np.float32))
    paper = graph.add("Mul", [graph.add("Exp", [excess]), half])
    graph.add("Sub", [shift, paper], output="anomaly_score")
    below = graph.add("Less", ["anomaly_score", graph.constant("zero", np.zeros((1, 1), dtype=np.float32))])
    signs = [graph.constant(name, np.full((1, 1), sign, dtype=np.int64)) for name, sign in (("no", -1), ("yes", 1))]
    graph.add("Where", [below, *signs], output="anomaly_pred")
    return [
        *graph.inputs(("anomaly_score",), TensorProto.FLOAT),
        *graph.inputs(("anomaly_pred",), TensorProto.INT64),
    ]
