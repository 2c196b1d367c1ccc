"""Writing a release: its record, its smoke records, the parity check, and the directory, all or nothing.

Add here what a release must carry. Keep out the graph's nodes (`graph`) and reading one back (`released`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.training.columns import FeatureFunction, model_columns, records
from mlops_assets.training.detecting import PREDICTION
from mlops_assets.training.evaluate import Predictor
from mlops_assets.training.graph import to_onnx
from mlops_assets.training.released import FORMAT, MODEL_FILE, RELEASE_FILE, OnnxModel
from mlops_assets.training.spec import SCORE, Product

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["describe", "parity", "smoke_records", "to_onnx", "vocabulary", "write_release"]

SMOKE_RECORDS = 3
SCORED_FOR_SMOKE = 1_000
LABELS = ("label", PREDICTION)
ABSOLUTE = ("probabilities", SCORE)
AT_THE_LIMIT = 1e-5


def parity(model: Predictor, graph: bytes, frames: Sequence[pd.DataFrame]) -> float:
    """Largest relative difference between ONNX and scikit-learn over every row, view and number they answer.

    Probabilities and anomaly scores differ absolutely; a label that differs counts as infinite, and so does an answer
    that isn't finite on either side. Whether a row is an anomaly may differ where its score is at the limit.
    """
    served = OnnxModel(graph)
    worst = 0.0
    for frame in frames:
        expected, answered = model.predict(frame), served.predict(frame)
        for name, values in expected.items():
            if name in LABELS:
                counted = np.abs(expected[SCORE]) > AT_THE_LIMIT if name == PREDICTION else np.full(len(values), True)
                same = np.array_equal(values[counted].astype(str), np.asarray(answered[name])[counted].astype(str))
                worst = max(worst, 0.0 if same else np.inf)
                continue
            scale = 1.0 if name in ABSOLUTE else np.maximum(np.abs(values), 1e-9)
            difference = np.abs(answered[name].reshape(values.shape) - values) / scale
            worst = max(worst, float(np.where(np.isfinite(difference), difference, np.inf).max(initial=0.0)))
    return worst


def smoke_records(
    product: Product, features: FeatureFunction, graph: bytes, holdout: pd.DataFrame
) -> list[dict[str, Any]]:
    """Requests from the hold-out, from low to high target (or score), and the answers that a loader must reproduce."""
    target = product.target.column
    if product.task == "anomaly":
        few = holdout.iloc[np.unique(np.linspace(0, len(holdout) - 1, SCORED_FOR_SMOKE).astype(int))]
        scores = OnnxModel(graph).predict(model_columns(features, few, product.features))[SCORE]
        holdout = few.assign(**{target: scores})
    ordered = holdout.sort_values(target, kind="stable")
    # A detector's lowest score is the anomaly, and belongs to what must be reproduced.
    first = 0 if product.task == "anomaly" else 1
    places = np.linspace(0, len(ordered) - 1, SMOKE_RECORDS + 2)[first:-1].round().astype(int)
    chosen = ordered.iloc[sorted(set(places))].drop(columns=[target])
    answers = OnnxModel(graph).predict(model_columns(features, chosen, product.features))
    requests = [{k: _plain(v) for k, v in row.items() if v is not None} for row in records(chosen)]
    return [
        {"request": request, "expected": {name: _plain(values[i]) for name, values in answers.items()}}
        for i, request in enumerate(requests)
    ]


def vocabulary(product: Product, rows: pd.DataFrame) -> dict[str, list[str]]:
    """Sorted display values, in the training rows, of each column that the product serves a list of."""
    columns = [item.column for item in product.serving.vocabularies] if product.serving else []
    return {column: sorted({str(value) for value in rows[column].dropna()}) for column in columns}


def describe(
    product: Product,
    model: Any,
    graph: bytes,
    *,
    version: int,
    dataset: Mapping[str, Any],
    code_version: str,
    runs: Mapping[str, str],
    metrics: Mapping[str, float],
    smoke: Sequence[Mapping[str, Any]],
    vocabulary: Mapping[str, Sequence[str]],
    trained_until: str | None = None,
) -> dict[str, Any]:
    """The release record, without `files`: `write_release` adds those from what it writes."""
    served = OnnxModel(graph)
    target = product.target
    record = {
        "format": FORMAT,
        "product": product.name,
        "version": version,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": product.task,
        "module": product.functions,
        "dataset": dict(dataset),
        "code_version": code_version,
        "runs": dict(runs),
        "inputs": [
            {"name": name, "type": "string" if "string" in kind else "float"} for name, kind in served.inputs.items()
        ],
        "outputs": served.outputs,
        "target": {"column": target.column, "unit": target.unit, "decimals": target.decimals},
        "vocabulary": {name: list(values) for name, values in vocabulary.items()},
        "smoke": [dict(item) for item in smoke],
        "metrics": {name: float(value) for name, value in metrics.items()},
    }
    if product.task == "classification":
        record["classes"] = [_plain(name) for name in model.scale.classes]
    if trained_until is not None:
        record["trained_until"] = trained_until
    return record


def write_release(
    directory: Path, record: Mapping[str, Any], graph: bytes, more: Mapping[str, bytes] | None = None
) -> Path:
    """Write `model.onnx`, the files in `more` by their names, and then `release.json`, flushed to disk, and only then
    give the directory its name.

    A reader sees the whole release or none; a crash leaves at most a hidden temporary directory beside it.
    Raises FileExistsError when the directory is taken: a release is never overwritten; ValueError when the
    record holds what JSON can't.
    """
    if directory.exists():
        raise FileExistsError(f"{directory} exists: a release is never overwritten")
    contents = {MODEL_FILE: graph, **(more or {})}
    facts = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in contents.items()
    }
    text = json.dumps({**record, "files": facts}, indent=1, ensure_ascii=False, allow_nan=False)
    directory.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        for name, content in contents.items():
            _write(unfinished / name, content)
        _write(unfinished / RELEASE_FILE, text.encode())
        unfinished.chmod(0o755)
        _flush_directory(unfinished)
        # Rename refuses a target that another writer filled meanwhile.
        unfinished.rename(directory)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _flush_directory(directory.parent)
    return directory


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain(value: Any) -> Any:
    """A JSON value of the same meaning: whole floats become ints, arrays lists, NumPy scalars Python's, times ISO."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value
