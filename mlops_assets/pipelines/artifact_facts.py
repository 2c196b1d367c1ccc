"""What is said of a kept file in its row: its type, where it is, facts of data sets and models.

Add a fact here when it can be told without reading the file. All that comes from the stage is text of a stranger, and
is made such that PostgreSQL can hold it. Keep out files and rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from mlops_assets.pipelines.stage_types import ArtifactType, StageType
from mlops_assets.sandbox.order import StoredValue
from mlops_assets.storage import remote

T = TypeVar("T")
DEEPEST = 50
_TABLES = ("parquet", "arrow")
_TRAINING = (StageType.MODEL_TRAINING, StageType.HYPERPARAMETER_TUNING)
_MEASURING = ("_EVALUATION", "_VALIDATION", "_COMPARISON", "_TESTING", "_MONITORING")
_FIGURES = ("builtins.dict", "builtins.int", "builtins.float")


def type_of_result(stage_type: StageType, value: StoredValue) -> ArtifactType:
    """What a stage's result is, from what the stage is for and how the result is stored."""
    if value.format in _TABLES:
        return ArtifactType.DATASET
    if value.format == "none":
        return ArtifactType.OTHER
    if stage_type in _TRAINING:
        return ArtifactType.MODEL
    if stage_type.endswith(_MEASURING) and _is_figures(value):
        return ArtifactType.METRICS
    return ArtifactType.OTHER


def _is_figures(value: StoredValue) -> bool:
    if value.format == "json":
        return value.type_name in _FIGURES
    # A single number of NumPy's, as many libraries return scores.
    return value.format == "npy" and value.type_name.startswith(("numpy.float", "numpy.int", "numpy.uint"))


def details_of(kind: str, value: StoredValue, given: Mapping[str, Any]) -> dict[str, Any]:
    """An artifact's metadata: what is known of a data set or a model, and over it what the stage gave."""
    known: dict[str, Any] = {}
    if kind == ArtifactType.DATASET:
        known = {"format": value.format, **_of_table(value.preview)}
    elif kind == ArtifactType.MODEL:
        known = {"format": value.format, "type": value.type_name, **_of_class(value.type_name)}
    return storable({**known, **given})


def _of_table(preview: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    rows, columns, schema = (preview.get(name) for name in ("rows", "column_count", "columns"))
    if type(rows) is int and rows >= 0:
        facts["rows"] = rows
    if type(columns) is int and columns >= 0:
        facts["columns"] = columns
    if isinstance(schema, list):
        pairs = [pair for pair in schema if isinstance(pair, list) and len(pair) == 2]
        facts["schema"] = {str(name): str(kind) for name, kind in pairs}
    return facts


def _of_class(type_name: str) -> dict[str, Any]:
    module, _, name = type_name.rpartition(".")
    if not module or module == "builtins":
        return {}
    return {"framework": module.split(".")[0], "algorithm": name}


def storage_word(url: str) -> str:
    """LOCAL, S3, GCS or AZURE, from the storage's path or URL."""
    store = remote.store_of(url)
    return store.value if store else "LOCAL"


def storable(value: T) -> T:
    """JSON that PostgreSQL takes: no NUL, no halves of surrogate pairs, no NaN or infinity, not nested too deep."""
    return _storable(value, DEEPEST)


def _storable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "�").encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if not isinstance(value, (dict, list, tuple)):
        return value
    if depth == 0:
        return "…"
    if isinstance(value, dict):
        return {_storable(str(key), depth): _storable(item, depth - 1) for key, item in value.items()}
    return [_storable(item, depth - 1) for item in value]
