"""The search: every declared family and parameter set, cross-validated in worker processes.

The best by validation score wins; the hold-out is not an argument here, so nothing can peek at it.
Add how trials are planned, run and compared here. Keep out what a family is (`families`), what a score is
(`scores`) and what becomes of the winner (`fit`).
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.training import families, scores
from mlops_assets.training.encoder import Encoder
from mlops_assets.training.spec import Candidate, Family, Search
from mlops_assets.training.split import folds
from mlops_assets.training.target import TargetScale
from mlops_assets.training.threads import one_thread

if TYPE_CHECKING:
    import pandas as pd

Plan = tuple[Family, dict[str, Any]]


@dataclass(frozen=True)
class TrainingSet:
    """Training rows as model columns, in one or two views of the same rows, with their target and keys."""

    views: tuple[pd.DataFrame, ...]
    target: np.ndarray
    keys: np.ndarray
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    task: families.Task
    scale: TargetScale

    def __len__(self) -> int:
        return len(self.target)


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


def search(data: TrainingSet, spec: Search, on_trial: Callable[[Trial], None] | None = None) -> SearchResult:
    """Try everything within `spec.timeout_seconds`; `on_trial` hears of each trial as it finishes.

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
    parts: dict[int, list[_Part]] = {}
    for part in _run(data, spec, trials):
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


@dataclass(frozen=True)
class _Part:
    """One trial on one fold: predictions for the fold's rows, in every view."""

    trial: int
    fold: int
    rows: np.ndarray
    predictions: list[np.ndarray]
    seconds: float


def _assemble(
    data: TrainingSet, spec: Search, family: Family, params: dict[str, Any], parts: list[_Part]
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


def _run(data: TrainingSet, spec: Search, trials: list[Plan]) -> Iterator[_Part]:
    """Each trial on each fold, in any order, until the time limit; a trial's folds run side by side."""
    deadline = time.monotonic() + spec.timeout_seconds
    tasks = [(index, *trial, fold) for index, trial in enumerate(trials) for fold in range(spec.folds)]
    if spec.workers == 1:
        _prepare(data, spec)
        for task in tasks:
            if time.monotonic() >= deadline:
                return
            with one_thread():
                part = _try(*task)
            yield part
        return
    # Fresh processes: a fork would copy locks that other threads hold and OpenMP's state, and hang.
    context = multiprocessing.get_context("spawn")
    workers = min(spec.workers, len(tasks))
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(data, spec))
    waiting: set[Future[_Part]] = {pool.submit(_try, *task) for task in tasks}
    try:
        while waiting and (left := deadline - time.monotonic()) > 0:
            ready, waiting = wait(waiting, timeout=left, return_when=FIRST_COMPLETED)
            for future in ready:
                yield future.result()
    finally:
        _stop(pool, at_once=bool(waiting))


def _stop(pool: ProcessPoolExecutor, *, at_once: bool) -> None:
    """Close the pool; `at_once` ends trials that are still running, which no call of the pool can interrupt."""
    processes = list((pool._processes or {}).values())
    if at_once:
        # Before the shutdown: its own thread forgets the processes.
        for process in processes:
            process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


@dataclass
class _Fold:
    train: np.ndarray
    target: np.ndarray
    test: list[np.ndarray]
    rows: np.ndarray


class _Folds:
    """The folds of a search, encoded when first asked for and kept: a trial only fits and predicts."""

    def __init__(self, data: TrainingSet, spec: Search) -> None:
        self.data, self.spec = data, spec
        self._number = folds(data.keys, spec.folds)
        self._encoded: dict[int, _Fold] = {}

    def __getitem__(self, index: int) -> _Fold:
        if index not in self._encoded:
            self._encoded[index] = self._encode(self._number == index)
        return self._encoded[index]

    def _encode(self, inside: np.ndarray) -> _Fold:
        data = self.data
        if inside.all() or not inside.any():
            raise ValueError(f"search.folds: {self.spec.folds} folds leave one empty ({len(data)} rows)")
        encoder = Encoder(data.numeric, data.categorical)
        target, keys = data.target[~inside], data.keys[~inside]
        matrices = encoder.fit([view[~inside] for view in data.views], data.scale.for_encoder(target), keys)
        return _Fold(
            train=np.vstack(matrices),
            target=np.tile(data.scale.forward(target), len(matrices)),
            test=[encoder.transform(view[inside]) for view in data.views],
            rows=np.flatnonzero(inside),
        )


_folds: _Folds | None = None


def _start_worker(data: TrainingSet, spec: Search) -> None:
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()
    one_thread()
    _prepare(data, spec)


def _end_with_parent() -> None:
    """A run that was killed stops no workers, and they would wait for its next task for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _prepare(data: TrainingSet, spec: Search) -> None:
    """Give this process the data that its trials work on."""
    global _folds
    _folds = _Folds(data, spec)


def _try(trial: int, family: Family, params: dict[str, Any], fold: int) -> _Part:
    assert _folds is not None
    part, data = _folds[fold], _folds.data
    started = time.perf_counter()
    model = families.build(family, params, task=data.task, seed=_folds.spec.seed)
    model.fit(part.train, part.target)
    predictions = [data.scale.raw(model, matrix) for matrix in part.test]
    return _Part(trial, fold, part.rows, predictions, time.perf_counter() - started)


def _score(data: TrainingSet, name: str, predictions: list[np.ndarray], rows: np.ndarray) -> float:
    actual = np.tile(data.target[rows], len(predictions))
    raw = np.concatenate(predictions)
    if data.task == "regression":
        return scores.REGRESSION[name](actual, data.scale.backward(raw))
    return scores.classification_scores(actual, raw, data.scale.classes)[name]
