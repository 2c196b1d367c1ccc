"""Where the trials of a search are run: in this process, in processes of this machine, or on a Dask cluster.

Add here another way to run many trials at once. Keep out what a trial is (`trials`). All ways give the same results:
each fits with one native thread, on folds that a row's content decides.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice

from mlops_assets.compute.cluster import ClusterError, DataLostError, results, sent, worker_threads
from mlops_assets.compute.place import Place
from mlops_assets.runs import usage
from mlops_assets.training.spec import Search
from mlops_assets.training.threads import one_thread
from mlops_assets.training.trial_order import TrialOrder
from mlops_assets.training.trials import Fold, Folds, Part, Task, TrainingSet, attempt, encode

# How often data that was lost with a worker is sent again before a trial is done: something may kill each worker.
SENT_AGAIN = 3


def run(place: Place, data: TrainingSet, spec: Search, tasks: Sequence[Task], deadline: float) -> Iterator[Part]:
    """Each task's part, in any order, until `deadline` by the monotonic clock.

    What a cluster hasn't done when it is lost is done here. Raises whatever a task raises.
    """
    left = {(task.trial, task.fold): task for task in tasks}
    lost = 0
    while place.client is not None:
        try:
            for part in _on_cluster(place, data, spec, list(left.values()), deadline):
                del left[part.trial, part.fold]
                lost = 0
                yield part
            return
        except ClusterError as error:
            lost += 1
            if not isinstance(error, DataLostError) or lost > SENT_AGAIN:
                place.give_up(error)
    yield from _here(data, spec, list(left.values()), deadline)


def _here(data: TrainingSet, spec: Search, tasks: Sequence[Task], deadline: float) -> Iterator[Part]:
    if spec.workers > 1:
        yield from _in_processes(data, spec, tasks, deadline)
        return
    folds = Folds(data, spec)
    for task in tasks:
        if time.monotonic() >= deadline:
            return
        with one_thread():
            part = folds.attempt(task)
        yield part


def _in_processes(data: TrainingSet, spec: Search, tasks: Sequence[Task], deadline: float) -> Iterator[Part]:
    # Fresh processes: a fork would copy locks that other threads hold and OpenMP's state, and hang.
    context = multiprocessing.get_context("spawn")
    workers = min(spec.workers, len(tasks))
    order = TrialOrder(tasks, workers, deadline)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(data, spec))
    waiting: set[Future[Part]] = set()
    try:
        while (left := deadline - time.monotonic()) > 0:
            # None waits at a worker: which is best next, shows when one is free.
            waiting |= {pool.submit(_attempt, task) for task in islice(order, workers - len(waiting))}
            if not waiting:
                break
            ready, waiting = wait(waiting, timeout=left, return_when=FIRST_COMPLETED)
            for future in ready:
                part = future.result()
                order.heard(part)
                yield part
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


_folds: Folds | None = None


def _start_worker(data: TrainingSet, spec: Search) -> None:
    global _folds
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()
    one_thread()
    _folds = Folds(data, spec)


def _end_with_parent() -> None:
    """A run that was killed stops no workers, and they would wait for its next task for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt(task: Task) -> Part:
    assert _folds is not None
    return _folds.attempt(task)


def _on_cluster(
    place: Place, data: TrainingSet, spec: Search, tasks: Sequence[Task], deadline: float
) -> Iterator[Part]:
    """The data goes to the workers once, each fold is encoded once, and both stay there as long as workers do."""
    client = place.client
    assert client is not None
    there = sent(place.address, client, data, deadline)
    numbers = sorted({task.fold for task in tasks})
    encoded = {n: client.submit(_encode_there, there, spec.folds, n, pure=False) for n in numbers}
    # None when the last worker has just been lost: `results` waits for another one.
    threads = max(1, sum(worker_threads(place.address, client)))
    order = TrialOrder(tasks, threads, deadline)
    parts = (client.submit(_attempt_there, task, encoded[task.fold], spec.seed, pure=False) for task in order)
    for part, used in results(place.address, client, parts, deadline, at_once=threads):
        order.heard(part)
        usage.add_elsewhere(used)
        yield part


def _encode_there(data: TrainingSet, count: int, number: int) -> Fold:
    with one_thread():
        return encode(data, count, number)


def _attempt_there(task: Task, fold: Fold, seed: int) -> tuple[Part, usage.Used]:
    """A part, and what it used: its thread's, since a worker may do several tasks at once."""
    began = time.thread_time()
    with one_thread():
        part = attempt(task, fold, seed)
    return part, usage.Used(part.seconds, time.thread_time() - began, 0, None, None)
