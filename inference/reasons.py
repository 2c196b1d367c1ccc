"""Why records are anomalies: the release's explainer, asked with the graph that scored them.

Add here which records get reasons and what a release must bring for them. Keep out how reasons are found and
worded, which batch scoring shares (`mlops_assets.explanations`), and scores themselves (`model`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from inference.release import Manifest, ReleaseError, broken_file
from inference.settings import SCORE
from mlops_assets.explanations.explainer import REASONS_FILE, Explainer

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["MOST_EXPLAINED", "MOST_REASONS", "REASONS_FILE", "Reasons"]

MOST_REASONS = 3
# Explaining a record scores it some 20 times more; a batch's lowest scores are where reasons are read.
MOST_EXPLAINED = 25


class Reasons:
    """Finds reasons for the answers of one release."""

    def __init__(self, explainer: Explainer, manifest: Manifest, session: ort.InferenceSession) -> None:
        self._explainer = explainer
        self._session = session
        self._kinds: dict[str, Any] = {i.name: np.float32 if i.type == "float" else object for i in manifest.inputs}

    @classmethod
    def load(cls, data: bytes, manifest: Manifest, session: ort.InferenceSession, path: Path) -> Reasons:
        """From the bytes of `reasons.json`; raises ReleaseError when they don't fit the release's model."""
        try:
            explainer = Explainer.model_validate_json(data)
        except ValidationError as error:
            raise broken_file(path, error) from error
        reference = explainer.reference
        kinds = {i.name: i.type for i in manifest.inputs}
        told = {name: "float" if name in reference.numeric else "string" for p in reference.parts for name in p.columns}
        wrong = sorted(name for name, kind in told.items() if kinds.get(name) != kind)
        if wrong:
            raise ReleaseError(f"{path}: it tells of {', '.join(wrong)}, which the model doesn't have or not as such")
        return cls(explainer, manifest, session)

    def of(
        self, rows: Sequence[Mapping[str, Any]], scores: Sequence[float], preds: Sequence[int]
    ) -> list[tuple[str, ...]]:
        """The reasons of each row of model columns, 1 to 3, strongest first; none for rows that aren't explained.

        A record that comes alone always gets its reasons, of several the anomalies do, at most the 25 lowest scores.
        """
        told: list[tuple[str, ...]] = [()] * len(rows)
        chosen = [place for place, pred in enumerate(preds) if pred < 0 or len(rows) == 1]
        chosen = sorted(chosen, key=scores.__getitem__)[:MOST_EXPLAINED]
        columns = {name: [rows[place][name] for place in chosen] for name in self._kinds}
        explained = self._explainer.explain(columns, self._score, most=MOST_REASONS)
        for place, explanation in zip(chosen, explained, strict=True):
            told[place] = explanation.words
        return told

    def words(self) -> dict[str, frozenset[Any]]:
        """By text column, the values that training rows had, and the words that tell nothing."""
        parts = {part.columns[0]: part.values for part in self._explainer.reference.parts}
        texts = (name for name, kind in self._kinds.items() if kind is object)
        return {name: frozenset((*parts.get(name, ()), *self._explainer.wording.untold)) for name in texts}

    def _score(self, columns: Mapping[str, np.ndarray]) -> Any:
        feed = {name: columns[name].astype(kind).reshape(-1, 1) for name, kind in self._kinds.items()}
        return self._session.run([SCORE], feed)[0]
