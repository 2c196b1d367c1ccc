"""Composition root: the BentoML service that `bentoml serve inference.service:service` runs.

Add here only what connects the parts. Keep out routes (`app`), decisions (`follower`) and settings
(`settings`). BentoML imports this module in its supervising process too, so everything heavy is imported in
the worker, by `_start`. What BentoML would add to every request (metrics, access log, spans) is off.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import bentoml

from inference.mount import LateApp
from inference.parent import follow_parent

if TYPE_CHECKING:
    from inference.follower import Follower
    from inference.functions import ProductFunctions
    from inference.metrics import Metrics
    from inference.served import Served
    from inference.settings import ServingSettings

FIRST_STEP_SECONDS = 5.0
REQUEST_SECONDS = 2.0

front = LateApp()


@bentoml.service(
    name="inference",
    workers=1,
    traffic={"timeout": REQUEST_SECONDS},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(front, path="/")
class service:  # noqa: N801 (the name that is served)
    """Answers predictions of one product and one variant."""

    def __init__(self) -> None:
        self._follower: Follower | None = None

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Refuse to start at all, once and clearly, with settings that no worker could start with."""
        from inference.settings import ServingSettings

        ServingSettings()

    @bentoml.on_startup
    async def start(self) -> None:
        """Build the application in the worker and begin to follow the role."""
        from inference.settings import ServingSettings

        logging.getLogger("inference").setLevel(logging.INFO)
        follow_parent()
        self._follower = _start(ServingSettings())
        if self._follower is not None:
            await asyncio.to_thread(self._follower.wait, FIRST_STEP_SECONDS)
        # Start-up leaves some 136,000 objects that live as long as the process. BentoML's timer of each
        # request outlives its answer, which drives full collections, and each of those walked them all:
        # 70-100 ms in which nothing was answered. Frozen, they are not walked (2-7 ms).
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown
    def stop(self) -> None:
        """End the follower; requests in flight have been answered."""
        if self._follower is not None:
            self._follower.stop()

    async def __is_ready__(self) -> bool:
        return front.ready()


def _start(settings: ServingSettings) -> Follower | None:
    """Serve the pinned release, or begin to follow the ledger."""
    from inference.app import create_app
    from inference.functions import load_functions
    from inference.health import disk_folder
    from inference.metrics import Metrics
    from inference.model import Model
    from inference.release import read_manifest
    from inference.served import Served

    pinned = settings.pinned
    module = settings.module or read_manifest(pinned or Path()).module
    functions = load_functions(module, allowed=settings.module)
    served = Served()
    metrics = Metrics(settings.product, settings.variant, disk_folder(settings))
    front.open(create_app(settings, functions, served, metrics), lambda: served.model is not None)
    if pinned is None:
        return _follow(settings, functions, served, metrics)
    served.model = Model.load(pinned, functions)
    metrics.serving(served.model.version)
    return None


def _follow(settings: ServingSettings, functions: ProductFunctions, served: Served, metrics: Metrics) -> Follower:
    # Before the collector is told what lives for ever, even if the first release comes later.
    import onnxruntime  # noqa: F401

    from inference.follower import Follower
    from inference.model_store import ModelStore
    from inference.roles import PostgresRoles

    if settings.database_url is None or settings.cache_dir is None:
        raise ValueError("nothing is pinned, and there is no database or no cache folder to follow it with")
    reader = PostgresRoles(settings.database_url.get_secret_value(), settings.product, settings.variant)
    store = ModelStore(settings.cache_dir, settings.product, functions, keep=settings.keep_releases)
    follower = Follower(reader, store, served, metrics, poll_seconds=settings.poll_seconds)
    follower.start()
    return follower
