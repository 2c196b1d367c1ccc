"""What a model needs beside itself to explain its scores: a file of the release, read by training and serving alike.

Add a field here when an explanation needs another fact. Keep out how reasons are found (`reasons`) and what is usual
(`reference`).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from mlops_assets.explanations.reasons import Explanation, Score, Wording, explain
from mlops_assets.explanations.reference import Reference

REASONS_FILE = "reasons.json"


class Explainer(BaseModel):
    """The usual values of the training rows and the product's words. JSON by `model_dump_json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: Reference
    wording: Wording = Wording()

    def explain(self, rows: Any, score: Score, *, most: int = 3) -> list[Explanation]:
        """An explanation per row of model columns (a frame or a mapping), with one call of `score`."""
        return explain(rows, score, self.reference, self.wording, most=most)
