"""A released model as it is served: an ONNX session over model columns. No pickle, no scikit-learn.

Evaluation uses it for the new model and for production's alike, so a metric is one of the thing that answers.
Add reading of a release directory here. Keep out serving (`inference` has its own store) and writing
(`export`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

RELEASE_FILE, MODEL_FILE, FORMAT = "release.json", "model.onnx", 1


class ReleaseError(ValueError):
    """A release directory that is incomplete, changed or of another format."""


class OnnxModel:
    """Answers of an ONNX graph for a frame of model columns; extra columns of the frame are ignored."""

    def __init__(self, graph: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.inputs = {item.name: item.type for item in self._session.get_inputs()}
        self.outputs = [item.name for item in self._session.get_outputs()]

    def predict(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """Every output, [N, 1] answers as [N]. ReleaseError names columns that the frame lacks."""
        return {
            name: value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value
            for name, value in self.run(self.feed(frame)).items()
        }

    def feed(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """The graph's inputs from a frame of model columns, each [N, 1]."""
        missing = [name for name in self.inputs if name not in frame.columns]
        if missing:
            raise ReleaseError(f"the model needs columns that are no longer computed: {', '.join(missing)}")
        return {
            name: frame[name].to_numpy(dtype=object if "string" in kind else np.float32).reshape(-1, 1)
            for name, kind in self.inputs.items()
        }

    def run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name, as the graph gives them, for one [N, 1] array an input."""
        return dict(zip(self.outputs, self._session.run(None, dict(feed)), strict=True))


def read_release(directory: Path, *, shown: str | None = None) -> dict[str, Any]:
    """The release record, once each file's hash is checked. Raises ReleaseError naming the file at fault.

    `shown` stands for the directory in errors: where the files of a temporary copy really lie.
    """
    place = shown or str(directory)
    record_path, shown_path = directory / RELEASE_FILE, f"{place}/{RELEASE_FILE}"
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReleaseError(f"{shown_path} doesn't exist: not a release, or half-written") from None
    except ValueError as error:
        raise ReleaseError(f"{shown_path} isn't JSON: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ReleaseError(f"{shown_path}: format is not {FORMAT}")
    for name, facts in record["files"].items():
        if Path(name).name != name:
            raise ReleaseError(f"{shown_path}: {name!r} is not a plain file name")
        try:
            content = (directory / name).read_bytes()
        except FileNotFoundError:
            raise ReleaseError(f"{place}/{name} doesn't exist") from None
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            raise ReleaseError(f"{place}/{name} isn't the file that was released: its sha256 differs")
    return record


def load(directory: Path, *, shown: str | None = None) -> OnnxModel:
    """The model of a release directory, checked by `read_release`."""
    read_release(directory, shown=shown)
    return OnnxModel((directory / MODEL_FILE).read_bytes())
