"""The scale a model is trained on, and the way back to the target's own units or classes.

Add another transform of the target here, together with its node in `graph`. Keep out models and metrics.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class TargetScale:
    """`transform` of a regression's target, or the sorted `classes` of a classification's."""

    transform: Literal["none", "log"] = "none"
    classes: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def forward(self, target: np.ndarray) -> np.ndarray:
        """Target → what the model is fitted to. Raises ValueError where a log isn't defined."""
        if self.transform == "log":
            if not (target > 0).all():
                raise ValueError("target.transform: log needs a target that is positive in every row")
            return np.log(target)
        return target

    def backward(self, values: np.ndarray) -> np.ndarray:
        """Regression only: model values → target units."""
        return np.exp(values) if self.transform == "log" else values

    def for_encoder(self, target: np.ndarray) -> np.ndarray:
        """[n] for a regression or two classes, one 0/1 column a class for more."""
        if not len(self.classes):
            return self.forward(target)
        columns = (target[:, None] == self.classes[None, :]).astype(float)
        return columns[:, 1] if len(self.classes) == 2 else columns

    def raw(self, model: Any, matrix: np.ndarray) -> np.ndarray:
        """The model's answer before `backward`: [n], or [n, K] probabilities in the order of `classes`."""
        if not len(self.classes):
            return model.predict(matrix)
        probabilities = model.predict_proba(matrix)
        if len(model.classes_) == len(self.classes):
            return probabilities
        # A rare class may be absent from a fold's training rows; its probability there is 0.
        full = np.zeros((len(matrix), len(self.classes)))
        full[:, np.searchsorted(self.classes, model.classes_)] = probabilities
        return full
