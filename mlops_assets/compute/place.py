"""Where the heavy work of a stage is done: on the installation's Dask cluster if it has one, else on this machine.

Add here what decides between the two. Keep out how a cluster is reached (`cluster`) and the work. The work's result is
the same at both places, and a cluster that fails never fails a stage: the work is done here, and the run says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from mlops_assets.compute.cluster import ClusterError, connected, worker_threads

if TYPE_CHECKING:
    from distributed import Client

    from mlops_assets.settings import Settings

HERE = "this machine"
Warned = Callable[[str], object]


class Place:
    """One stage's place: `client` of a cluster, or None for this machine; `said` tells people of it."""

    def __init__(self, warned: Warned = lambda _: None) -> None:
        self.client: Client | None = None
        self.address = ""
        self.said = HERE
        self._warned = warned

    def give_up(self, error: ClusterError) -> None:
        """The cluster can't be worked on (any more): from now on the work is done on this machine."""
        self.client = None
        self.said = f"{HERE}, because of {error}"
        self._warned(f"working on {self.said}")


@contextmanager
def place_of_work(settings: Settings, rows: int, warned: Warned) -> Iterator[Place]:
    """The place for work on so many rows; `warned` hears why a cluster that is set isn't used.

    Fewer rows than `dask_min_rows` are worked on quicker than a cluster is asked.
    """
    place = Place(warned)
    with ExitStack() as opened:
        if settings.dask_address is not None and rows >= settings.dask_min_rows:
            try:
                client = opened.enter_context(connected(settings.dask_address))
                count = len(worker_threads(settings.dask_address, client))
            except ClusterError as error:
                place.give_up(error)
            else:
                place.client, place.address = client, settings.dask_address
                place.said = f"{count} Dask worker{'' if count == 1 else 's'} at {place.address}"
        yield place
