"""Composition root: the BentoML service that `bentoml serve inference.service:service` runs.

Add here only what connects the parts. Keep out routes (`app`), decisions (`follower`) and settings
(`settings`). BentoML imports this module in its supervising process too, so everything heavy is imported in
the worker, by `_start`. What BentoML would add to every request (metrics, access log, spans) is off.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bentoml

from inference.mount import LateApp, Ready
from inference.parent import follow_parent

if TYPE_CHECKING:
    from inference.follower import Follower
    from inference.functions import ProductFunctions
    from inference.metrics import Metrics
    from inference.otlp import Collector
    from inference.record import Recorder
    from inference.served import Served
    from inference.settings import ServingSettings
    from inference.ticker import Ticker

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
        self._running: _Running | None = None

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Refuse to start at all, once and clearly, with settings that no worker could start with."""
        from inference.keys import read_key
        from inference.settings import ServingSettings

        settings = ServingSettings()
        if settings.key_file is not None:
            read_key(settings.key_file)

    @bentoml.on_startup
    async def start(self) -> None:
        """Build the application in the worker and begin to follow the role."""
        from inference.settings import ServingSettings

        logging.getLogger("inference").setLevel(logging.INFO)
        follow_parent()
        self._running = _start(ServingSettings())
        if self._running.follower is not None:
            await asyncio.to_thread(self._running.follower.wait, FIRST_STEP_SECONDS)
        # Start-up leaves some 136,000 objects that live as long as the process. BentoML's timer of each
        # request outlives its answer, which drives full collections, and each of those walked them all:
        # 70-100 ms in which nothing was answered. Frozen, they are not walked (2-7 ms).
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown
    def stop(self) -> None:
        """End what runs beside the requests; those in flight have been answered."""
        if self._running is not None:
            self._running.stop()

    async def __is_ready__(self) -> bool:
        return front.ready()


service.add_asgi_middleware(Ready, front=front)  # type: ignore[attr-defined]  # it is no class any more


@dataclass(frozen=True)
class _Running:
    """What runs beside the requests."""

    ticker: Ticker
    follower: Follower | None
    recorder: Recorder | None
    collector: Collector | None

    def stop(self) -> None:
        """End all of it, the journal last."""
        if self.follower is not None:
            self.follower.stop()
        self.ticker.stop()
        if self.collector is not None:
            self.collector.stop()
        if self.recorder is not None:
            self.recorder.journal.close()


def _start(settings: ServingSettings) -> _Running:
    """Serve the pinned release, or begin to follow the ledger."""
    from inference.app import create_app
    from inference.drill import Drill
    from inference.functions import load_functions
    from inference.health import disk_folder
    from inference.metrics import Metrics
    from inference.model import Model
    from inference.release import read_manifest
    from inference.served import Served, Serving
    from inference.ticker import Ticker

    pinned = settings.pinned
    module = settings.module or read_manifest(pinned or Path()).module
    functions = load_functions(module, allowed=settings.module)
    served, drill, recorder = Served(settings.variant), Drill(settings.drill_file), _recorder(settings)
    metrics = Metrics(settings.product, served, disk_folder(settings), recorder.journal if recorder else None)
    collector = _collector(settings)
    app = create_app(settings, functions, served, metrics, recorder, drill, collector)
    front.open(app, lambda: served.current is not None)
    ticker = Ticker(drill.poll, *((recorder.journal.rotate_if_due,) if recorder else ()))
    ticker.start()
    if pinned is None:
        return _Running(ticker, _follow(settings, functions, served, metrics), recorder, collector)
    served.current = Serving(Model.load(pinned, functions), settings.variant)
    metrics.serving(served.current.model.version)
    return _Running(ticker, None, recorder, collector)


def _collector(settings: ServingSettings) -> Collector | None:
    """What sends traces, if the service was told where to."""
    if settings.otlp_endpoint is None:
        return None
    from inference.otlp import Collector

    name = f"{settings.product}_{settings.variant}"
    collector = Collector(settings.otlp_endpoint, name, {"service.namespace": "mlops"})
    collector.start()
    return collector


def _recorder(settings: ServingSettings) -> Recorder | None:
    """What logs predictions, if the service was given a key and a folder for it."""
    from inference.journal import Journal
    from inference.keys import read_key
    from inference.record import Recorder

    if settings.key_file is None or settings.journal_dir is None:
        return None
    name = f"{settings.product}_{settings.variant}"
    return Recorder(Journal(settings.journal_dir / name, name), read_key(settings.key_file), settings.product)


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
