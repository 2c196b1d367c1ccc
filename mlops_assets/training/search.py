"""The search: every declared family and parameter set, cross-validated in worker processes or on a cluster.

The best by validation score wins; the hold-out is not an argument here, so nothing can peek at it.
Add how trials are planned and compared here. Keep out what a trial does (`trials`), where (`trial_places`), what a
family is (`families`), what a score is (`scores`) and what becomes of the winner (`fit`).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_assets.compute.place import Place
from mlops_assets.training import families, scores, trial_places
from mlops_assets.training.spec import Candidate, Family, Search
from mlops_assets.training.trials import Part, Task, TrainingSet

Plan = tuple[Family, dict[str, Any]]


@dataclass(frozen=True)
class Trial:
    """One parameter set's cross-validated score, over all views together, and what it cost."""

    family: Family
    params: dict[str, Any]
    score: float
    fold_scores: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class SearchResult:
    """The best trial, all trials (best first), and the best one's out-of-fold predictions.

    Those are one array a view, on the model's scale: [n], or [n, K] probabilities.

    `unfinished` lists the parameter sets that the time limit cut off.
    """

    best: Trial
    trials: tuple[Trial, ...]
    unfinished: tuple[Plan, ...]
    out_of_fold: tuple[np.ndarray, ...]


class SearchTimeoutError(RuntimeError):
    """The time limit passed before a single trial was finished."""


def plan(candidates: tuple[Candidate, ...]) -> list[Plan]:
    """(family, parameters) of every trial, in the declared order."""
    trials: list[Plan] = []
    for candidate in candidates:
        names = list(candidate.grid)
        for values in itertools.product(*candidate.grid.values()):
            trials.append((candidate.family, dict(zip(names, values, strict=True))))
    if not trials:
        raise ValueError("search.candidates: every grid is empty, there is nothing to try")
    return trials


def search(
    data: TrainingSet, spec: Search, on_trial: Callable[[Trial], None] | None = None, place: Place | None = None
) -> SearchResult:
    """Try everything within `spec.timeout_seconds`; `on_trial` hears of each trial as it finishes.

    `place` is where; without one on this machine. The result is the same.

    Raises ValueError for an unknown score or parameter before any work, SearchTimeoutError when nothing was
    finished in time, and whatever a family raises: a trial that fails is an error, never a bad score.
    """
    trials = plan(spec.candidates)
    known = scores.REGRESSION if data.task == "regression" else scores.CLASSIFICATION
    if spec.score not in known:
        raise ValueError(f"search.score: {spec.score!r} is not one of {', '.join(known)} for {data.task}")
    for family, params in trials:
        families.build(family, params, task=data.task, seed=spec.seed)
    finished: dict[int, tuple[Trial, tuple[np.ndarray, ...]]] = {}
    parts: dict[int, list[Part]] = {}
    deadline = time.monotonic() + spec.timeout_seconds
    tasks = [Task(index, *trial, fold) for index, trial in enumerate(trials) for fold in range(spec.folds)]
    for part in trial_places.run(place or Place(), data, spec, tasks, deadline):
        done = parts.setdefault(part.trial, [])
        done.append(part)
        if len(done) < spec.folds:
            continue
        finished[part.trial] = _assemble(data, spec, *trials[part.trial], parts.pop(part.trial))
        if on_trial:
            on_trial(finished[part.trial][0])
    if not finished:
        raise SearchTimeoutError(f"no trial finished within search.timeout_seconds={spec.timeout_seconds:g}")
    sign = -1.0 if scores.higher_is_better(spec.score) else 1.0
    # Equal scores go to the trial declared first, whichever process was quicker.
    ranked = sorted(finished, key=lambda index: (sign * finished[index][0].score, index))
    return SearchResult(
        best=finished[ranked[0]][0],
        trials=tuple(finished[index][0] for index in ranked),
        unfinished=tuple(trial for index, trial in enumerate(trials) if index not in finished),
        out_of_fold=finished[ranked[0]][1],
    )


def _assemble(
    data: TrainingSet, spec: Search, family: Family, params: dict[str, Any], parts: list[Part]
) -> tuple[Trial, tuple[np.ndarray, ...]]:
    shape = (len(data),) if data.task == "regression" else (len(data), len(data.scale.classes))
    whole = tuple(np.empty(shape) for _ in data.views)
    parts = sorted(parts, key=lambda part: part.fold)
    for part in parts:
        for predicted, values in zip(whole, part.predictions, strict=True):
            predicted[part.rows] = values
    fold_scores = tuple(_score(data, spec.score, part.predictions, part.rows) for part in parts)
    score = _score(data, spec.score, list(whole), np.arange(len(data)))
    return Trial(family, params, score, fold_scores, sum(part.seconds for part in parts)), whole


def _score(data: TrainingSet, name: str, predictions: list[np.ndarray], rows: np.ndarray) -> float:
    actual = np.tile(data.target[rows], len(predictions))
    raw = np.concatenate(predictions)
    if data.task == "regression":
        return scores.REGRESSION[name](actual, data.scale.backward(raw))
    return scores.classification_scores(actual, raw, data.scale.classes)[name]
