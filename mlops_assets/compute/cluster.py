"""The Dask cluster of an installation: reached within a time limit, known to run what this process runs, or refused.

Add here what any capability needs to know of the cluster before it gives it work, and how results come back. Keep out
the work itself, and the choice between the cluster and this machine (`place`). Dask's protocol unpickles what it is
sent on both sides: products' runs alone may use this, never a service or a stage of a declared pipeline.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from mlops_assets.compute.installed import installed

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 10.0
FETCH_SECONDS = 10.0
# What a lost worker did is done again; a worker that no other takes the place of for so long won't come back.
WORKERLESS_SECONDS = 60.0
LOOK_SECONDS = 2.0
VARIABLE = "MLOPS_DASK_ADDRESS"
LOST = "the scheduler was lost, or data on its workers"
# What Dask says of a task that was finished and has to be done again.
LOST_RESULT = ("lost", "pending")


class ClusterError(RuntimeError):
    """The cluster can't be worked on; the message names MLOPS_DASK_ADDRESS, the address and the cause."""

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(f"{VARIABLE}={address}: {cause}")


class DataLostError(ClusterError):
    """A worker was lost with the only copy of what tasks need. The cluster is there: send it again.

    Sending to all workers is no help against it: Dask's active memory manager drops what it takes for spare copies.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address, "a worker was lost with the only copy of data")


class _LostResultError(RuntimeError):
    """A worker was lost with a result that wasn't fetched yet: others do its task again."""


def workers_of(address: str, seconds: float = CONNECT_SECONDS) -> dict[str, dict[str, str]]:
    """What each worker has installed, by its address; at least one is there.

    Raises ClusterError when the scheduler can't be reached, has no worker, or a worker doesn't answer in `seconds`.
    """
    return asyncio.run(_asked(address, seconds))


async def _asked(address: str, seconds: float) -> dict[str, dict[str, str]]:
    from distributed import Client

    try:
        async with asyncio.timeout(2 * seconds):
            client = Client(address, asynchronous=True, timeout=seconds, set_as_default=False)
            try:
                await client
                answers = await _answers(address, client, seconds)
            finally:
                # Also one that never connected has to be closed.
                await client.close(timeout=seconds)
    except TimeoutError:
        raise ClusterError(address, f"the scheduler or a worker doesn't answer within {seconds:g} s") from None
    except (OSError, TypeError, ValueError, ImportError, AttributeError) as error:
        raise ClusterError(address, _words(error)) from error
    broken = next((said for said in answers.values() if isinstance(said, BaseException)), None)
    if broken is not None or not answers:
        raise ClusterError(address, f"a worker can't run this project's code: {broken!r}")
    return dict(answers)


async def _answers(address: str, client: Client, seconds: float) -> Mapping[str, Any]:
    try:
        await client.wait_for_workers(1, timeout=seconds)  # type: ignore[misc, func-returns-value]
    except TimeoutError:
        raise ClusterError(address, f"the scheduler has no worker after {seconds:g} s") from None
    answers: Mapping[str, Any] = await client.run(installed, on_error="return")
    return answers


def differences(workers: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What workers have otherwise than this process, a sentence each: results would not be this machine's."""
    mine = installed()
    found = {
        f"{name} is {theirs.get(name, 'not there')} on workers, {mine[name]} here"
        for theirs in workers.values()
        for name in mine
        if theirs.get(name) != mine[name]
    }
    return sorted(found)


@contextmanager
def connected(address: str, seconds: float = CONNECT_SECONDS) -> Iterator[Client]:
    """A client of the cluster, whose workers have all that this process has. Raises ClusterError."""
    from distributed import Client

    different = differences(workers_of(address, seconds))
    if different:
        raise ClusterError(address, f"{'; '.join(different)}: install the same, and start the workers anew")
    try:
        client = Client(address, timeout=seconds, set_as_default=False)
    except (OSError, TypeError, ValueError) as error:
        raise ClusterError(address, _words(error)) from error
    try:
        yield client
    finally:
        # A scheduler that is too busy to say goodbye forgets a client that is gone.
        with suppress(OSError, TimeoutError):
            client.close(timeout=seconds)


def worker_threads(address: str, client: Client) -> list[int]:
    """How many threads each worker that the scheduler has now works with. Raises ClusterError."""
    scheduler = client.scheduler
    if scheduler is None:
        raise ClusterError(address, LOST)
    try:
        told = client.sync(scheduler.identity, n_workers=-1, callback_timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError) as error:
        raise ClusterError(address, LOST) from error
    return [worker["nthreads"] for worker in told["workers"].values()]


def sent(address: str, client: Client, data: Any, deadline: float) -> Future:
    """The data, on each worker of now. A worker that comes in a lost one's place is waited for. Raises ClusterError."""
    seconds = min(WORKERLESS_SECONDS, max(0.0, deadline - time.monotonic()))
    try:
        future: Future = client.scatter(data, broadcast=True, hash=False, timeout=seconds)
    except (OSError, TimeoutError) as error:
        raise ClusterError(address, f"it doesn't take the data: {type(error).__name__}") from error
    return future


def results(
    address: str, client: Client, futures: Iterable[Future], deadline: float, at_once: int = sys.maxsize
) -> Iterator[Any]:
    """What the tasks return, as each is finished, until `deadline` by the monotonic clock; the others are cancelled.

    The next of `futures` is taken when fewer than `at_once` are waited for, and not before the results until then were
    given: what submits them can go by those.

    The scheduler has a lost worker's tasks done again by others. A task that has begun on a worker can't be
    interrupted: it ends there, and nobody hears of it. Raises ClusterError when the cluster is lost, DataLostError when
    what was sent is, and what a task raised.
    """
    from distributed import CancelledError, wait

    coming = iter(futures)
    waiting: set[Future] = set()
    workers_seen = time.monotonic()
    try:
        while (left := deadline - time.monotonic()) > 0:
            waiting |= _submitted(address, client, coming, at_once - len(waiting))
            if not waiting:
                return
            try:
                with client.as_current():
                    waited = wait(waiting, timeout=min(left, LOOK_SECONDS), return_when="FIRST_COMPLETED")
            except TimeoutError:
                workers_seen = _workers_seen(address, client, workers_seen)
                continue
            except CancelledError as error:
                raise _cancelled(address, client) from error
            waiting = set(waited.not_done)
            for future in waited.done:
                try:
                    found = _result(address, client, future)
                except _LostResultError:
                    waiting.add(future)
                    workers_seen = _workers_seen(address, client, workers_seen)
                    continue
                workers_seen = time.monotonic()
                yield found
    finally:
        if waiting and client.status == "running":
            client.cancel(list(waiting), force=True)


def _submitted(address: str, client: Client, coming: Iterator[Future], count: int) -> set[Future]:
    """The next futures. What is submitted while a client looks for its scheduler again would never be done."""
    from distributed.client import ClosedClientError

    try:
        if client.status == "running":
            return set(islice(coming, count))
    except ClosedClientError as error:
        raise ClusterError(address, LOST) from error
    raise ClusterError(address, LOST)


def _cancelled(address: str, client: Client) -> ClusterError:
    """Why the scheduler has cancelled what this process waits for."""
    return DataLostError(address) if client.status == "running" else ClusterError(address, LOST)


def _result(address: str, client: Client, future: Future) -> Any:
    from distributed import CancelledError, KilledWorker

    if future.status == "error":
        raised = future.exception(timeout=CONNECT_SECONDS)
        if isinstance(raised, KilledWorker):
            count = raised.allowed_failures + 1
            raise RuntimeError(
                f"{count} worker{'' if count == 1 else 's'} of {VARIABLE}={address} died doing {raised.task}: "
                "it may need more memory than they have"
            ) from raised
        assert raised is not None
        raise raised
    try:
        return future.result(timeout=FETCH_SECONDS)
    except (CancelledError, OSError, TimeoutError) as error:
        if future.status in LOST_RESULT:
            raise _LostResultError from error
        if isinstance(error, CancelledError):
            raise _cancelled(address, client) from error
        # The result is there and doesn't come: sending the data again would lead to the same.
        raise ClusterError(address, LOST) from error


def _workers_seen(address: str, client: Client, seen: float) -> float:
    """When workers were last seen, by the monotonic clock."""
    if client.status != "running":
        raise ClusterError(address, LOST)
    if worker_threads(address, client):
        return time.monotonic()
    if time.monotonic() - seen > WORKERLESS_SECONDS:
        raise ClusterError(address, f"no worker is left, for {WORKERLESS_SECONDS:g} s")
    return seen


def _words(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
