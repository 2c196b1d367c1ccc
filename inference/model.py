"""One loaded release: an ONNX session with the product's request schema and columns in front of it.

Add here what turns validated requests into estimates. Keep out HTTP (`predict`), files (`model_store`), why a
record is an anomaly (`reasons`) and which release serves (`follower`). A Model never changes after `load`, so
requests in flight finish on the one they took.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from inference.functions import ProductFunctions
from inference.release import MODEL, Manifest, ReleaseError, SmokeCase, read_files, read_manifest
from inference.settings import PREDICTION, SCORE

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime as ort

    from inference.reasons import Reasons

SMOKE_TOLERANCE = 1e-4
ONNX_TYPES = {"tensor(float)": "float", "tensor(string)": "string"}


class NotFiniteError(ArithmeticError):
    """The model answered NaN or infinity for a valid request."""


@dataclass(frozen=True)
class Estimate:
    """One row's answer. Regression: `value` in target units and maybe the interval's ends. Classification:
    `value` is the class and `probabilities` has one per class. Anomaly: `value` is the score, below 0 for an anomaly,
    `pred` -1 for one or 1 for any other, `reasons` its values that are unusual, strongest first.
    `notes` say what it does not rest on.
    """

    value: float | str | int
    low: float | None = None
    high: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    pred: int | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Model:
    """A release that is ready to answer."""

    def __init__(
        self,
        manifest: Manifest,
        functions: ProductFunctions,
        session: ort.InferenceSession,
        reasons: Reasons | None = None,
    ) -> None:
        import numpy as np

        self.manifest = manifest
        self.version = manifest.version
        self.reasons = reasons
        self._features = functions.features
        self._session = session
        kinds: dict[str, Any] = {"float": np.float32, "string": np.object_}
        self._inputs = [(i.name, kinds[i.type]) for i in manifest.inputs]
        self._outputs = list(manifest.outputs)
        self._array = np.array
        self._known: dict[str, tuple[bool, frozenset[Any]]] = {}

    @classmethod
    def load(cls, folder: Path, functions: ProductFunctions) -> Model:
        """Prove, load and try the release in `folder`; raises ReleaseError when it is not fit to serve.

        Files have their listed hashes, `features` of the smoke requests covers the ONNX inputs, and each
        smoke answer is reproduced within 1e-4 of its size, a score within 1e-4. That also warms the session.
        """
        manifest = read_manifest(folder)
        if manifest.module != functions.module:
            raise ReleaseError(f"{folder}: made for {manifest.module}; this service has {functions.module}")
        files = read_files(folder, manifest)
        session = _session(files[MODEL], folder / MODEL)
        _check_signature(manifest, session, folder / MODEL)
        model = cls(manifest, functions, session, _reasons(manifest, files, session, folder))
        try:
            cases = [functions.request.model_validate(case.request) for case in manifest.smoke]
            model._check_columns(cases[0])
            model._learn_vocabulary(cases[0])
            estimates = [model.estimate([case])[0] for case in cases]
            together = model.estimate(cases)
        except ReleaseError:
            raise
        except ValidationError as error:
            raise ReleaseError(f"{folder}: a smoke request breaks the product's contract: {error}") from error
        except Exception as error:
            raise ReleaseError(f"{folder}: a smoke request can't be answered: {error!r}") from error
        for case, alone, among in zip(manifest.smoke, estimates, together, strict=True):
            _check_smoke(case, alone, folder)
            _check_smoke(case, among, folder)
        return model

    def estimate(self, requests: Sequence[BaseModel]) -> list[Estimate]:
        """Answer every request with one ONNX call, and find reasons with one more.

        Raises NotFiniteError when a row's answer is no number.
        """
        records = [vars(request) for request in requests]
        rows = [self._features(record) for record in records]
        array = self._array
        feed = {name: array([[row[name]] for row in rows], dtype=kind) for name, kind in self._inputs}
        answers = self._session.run(self._outputs, feed)
        notes = [self._notes(record, row) for record, row in zip(records, rows, strict=True)]
        if self._outputs[0] == "label":
            return self._labels(answers, notes)
        if self.reasons is not None:
            return self._scores(answers, self.reasons, rows, notes)
        return self._numbers(answers, notes)

    def _finite(self, answers: Sequence[np.ndarray]) -> dict[str, list[Any]]:
        columns = {name: values.ravel().tolist() for name, values in zip(self._outputs, answers, strict=True)}
        for name, values in columns.items():
            if not all(map(math.isfinite, values)):
                raise NotFiniteError(f"release {self.version} answered a {name} that is not a finite number")
        return columns

    def _numbers(self, answers: Sequence[np.ndarray], notes: list[tuple[str, ...]]) -> list[Estimate]:
        columns = self._finite(answers)
        nothing: list[float | None] = [None] * len(notes)
        lows, highs = columns.get("low", nothing), columns.get("high", nothing)
        return [
            Estimate(value, low, high, notes=note)
            for value, low, high, note in zip(columns["estimate"], lows, highs, notes, strict=True)
        ]

    def _scores(
        self, answers: Sequence[np.ndarray], reasons: Reasons, rows: Sequence[Any], notes: list[tuple[str, ...]]
    ) -> list[Estimate]:
        columns = self._finite(answers)
        scores, preds = columns[SCORE], columns[PREDICTION]
        told = reasons.of(rows, scores, preds)
        return [
            Estimate(score, pred=pred, reasons=why, notes=note)
            for score, pred, why, note in zip(scores, preds, told, notes, strict=True)
        ]

    def _labels(self, answers: Sequence[np.ndarray], notes: list[tuple[str, ...]]) -> list[Estimate]:
        columns = dict(zip(self._outputs, answers, strict=True))
        labels = columns["label"].ravel().tolist()
        shares = columns["probabilities"].tolist() if "probabilities" in columns else [[]] * len(labels)
        if not all(math.isfinite(share) for row in shares for share in row):
            raise NotFiniteError(f"release {self.version} answered a probability that is not a finite number")
        names = [str(name) for name in self.manifest.classes]
        return [
            Estimate(label, probabilities=dict(zip(names, row, strict=True)) if row else {}, notes=note)
            for label, row, note in zip(labels, shares, notes, strict=True)
        ]

    def _check_columns(self, example: BaseModel) -> None:
        missing = {name for name, _ in self._inputs} - set(self._features(vars(example)))
        if missing:
            raise ReleaseError(f"{MODEL}: `features` gives no column for its inputs {', '.join(sorted(missing))}")

    def _learn_vocabulary(self, example: BaseModel) -> None:
        """Pass each known value through `features`, so that spelling is compared as the model sees it."""
        base = dict(vars(example))
        model_columns = {name for name, _ in self._inputs}
        for column, values in self.manifest.vocabulary.items():
            if column not in base:
                continue
            direct = column not in model_columns
            seen = (v.casefold() if direct else self._features({**base, column: v})[column] for v in values)
            self._known[column] = (direct, frozenset(seen))
        if self.reasons is not None:
            self._known |= {name: (False, words) for name, words in self.reasons.words().items() if name in base}

    def _notes(self, record: dict[str, Any], row: Any) -> tuple[str, ...]:
        notes: tuple[str, ...] = ()
        for column, (direct, known) in self._known.items():
            given = record[column]
            if given is None or (str(given).casefold() if direct else row[column]) in known:
                continue
            shown, answer = str(given)[:80], "estimate" if self.reasons is None else "score"
            notes += (f"{column} {shown!r} is not known to the model; the {answer} rests on the rest",)
        return notes


def _session(data: bytes, path: Path) -> ort.InferenceSession:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ReleaseError(f"{path}: ONNX Runtime refuses it: {error}") from error


def _reasons(
    manifest: Manifest, files: Mapping[str, bytes], session: ort.InferenceSession, folder: Path
) -> Reasons | None:
    if manifest.task != "anomaly":
        return None
    from inference.reasons import REASONS_FILE, Reasons

    return Reasons.load(files[REASONS_FILE], manifest, session, folder / REASONS_FILE)


def _check_signature(manifest: Manifest, session: ort.InferenceSession, path: Path) -> None:
    declared = {i.name: i.type for i in manifest.inputs}
    actual = {i.name: ONNX_TYPES.get(i.type, i.type) for i in session.get_inputs()}
    if declared != actual:
        raise ReleaseError(f"{path}: its inputs are {actual}, the manifest says {declared}")
    missing = set(manifest.outputs) - {o.name for o in session.get_outputs()}
    if missing:
        raise ReleaseError(f"{path}: it has no output {', '.join(sorted(missing))}")


def _check_smoke(case: SmokeCase, got: Estimate, folder: Path) -> None:
    actual: dict[str, Any] = {"estimate": got.value, "label": got.value, "low": got.low, "high": got.high}
    actual |= {SCORE: got.value, PREDICTION: got.pred}
    checked = {name: value for name, value in case.expected.items() if name in actual}
    if not checked:
        raise ReleaseError(f"{folder}: a smoke case expects nothing that can be compared")
    for name, expected in checked.items():
        # A score lies about 0, where nothing is a part of its size.
        if not _close(actual[name], expected, SMOKE_TOLERANCE if name == SCORE else 1e-9):
            raise ReleaseError(f"{folder}: smoke {name} is {actual[name]!r}, the exporter got {expected!r}")


def _close(actual: Any, expected: Any, absolute: float) -> bool:
    if isinstance(actual, float) and isinstance(expected, int | float):
        return math.isclose(actual, expected, rel_tol=SMOKE_TOLERANCE, abs_tol=absolute)
    return bool(actual == expected)
