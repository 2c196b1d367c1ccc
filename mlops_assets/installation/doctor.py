"""`mlops doctor`: each thing that has to be right, asked for real, with what to do when it isn't.

Add a question here when its answer explains a failure that people meet. Every question has a time limit.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import httpx
from rich.console import Console
from rich.markup import escape
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.api.orchestrator import Orchestrator, OrchestratorError
from mlops_assets.compute.cluster import ClusterError, differences, workers_of
from mlops_assets.installation import monitoring
from mlops_assets.installation.supervisor import Supervisor
from mlops_assets.notifications.commands import channel_health
from mlops_assets.observability.health.answer import answer as health_answer
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.settings.hosts import PARTS, Part
from mlops_assets.storage import remote
from mlops_assets.storage.database import Database
from mlops_assets.storage.errors import StorageError, told
from mlops_assets.training.catalogue import DeclarationError, declared_products

ASK_SECONDS = 5.0
LEAST_FREE_GB = 2.0
LONGEST_SILENCE_SECONDS = 30.0
STATUS_FILE = "status.json"
# Of services, which have settings of their own, and of what a program or a run is told of itself.
KNOWN_PREFIXES = ("MLOPS_SERVING_", "MLOPS_SHIPPER_", "MLOPS_GRAFANA_", "MLOPS_RUN_")


@dataclass(frozen=True)
class Answer:
    """One question's answer. `advice` says what to do if it isn't good, or `warns` although everything works."""

    good: bool
    said: str
    advice: str = ""
    warns: bool = False


def doctor(settings: Settings, console: Console, *, others: Collection[str]) -> int:
    """Ask every question and print the answers. Returns 0 if all are good, warnings aside, else 1.

    `others` are variables that something else than the installation reads, such as the client of the command line.
    """
    users: tuple[Part, ...] = ("serving", "gateway")
    whole: tuple[Part, ...] = ("orchestrator",)
    # Each is asked on a host that runs one of its parts.
    questions: list[tuple[str, Callable[[Settings], Answer], tuple[Part, ...]]] = [
        ("settings", lambda settings: variables(settings, others), PARTS),
        ("products", _products, PARTS),
        ("programs", _programs, PARTS),
        ("database", _database, PARTS),
        ("storage", _storage, PARTS),
        ("dagster", _dagster, whole),
        ("mlflow", _mlflow, whole),
        ("dask", _dask, whole),
        ("serving", _serving, whole),
        ("gateway", _gateway, whole),
        ("log", _prediction_log, users),
        ("channels", _channels, whole),
        ("monitoring", _monitoring, whole),
        ("health", _health, whole),
    ]
    bad = 0
    for title, ask, parts in questions:
        if not any(settings.runs(part) for part in parts):
            continue
        answer = ask(settings)
        bad += not answer.good
        mark = "[red]✗[/]" if not answer.good else "[yellow]![/]" if answer.warns else "[green]✓[/]"
        console.print(f"{mark} {title:<10} {escape(answer.said)}", highlight=False, soft_wrap=True)
        if answer.advice and (answer.warns or not answer.good):
            console.print(f"  → {escape(answer.advice)}", highlight=False, soft_wrap=True)
    return 1 if bad else 0


def variables(settings: Settings, others: Collection[str]) -> Answer:
    """Whether each `MLOPS_` variable is one that is read: by the settings, by services, or one of the `others`."""
    known = {f"MLOPS_{name.upper()}" for name in Settings.model_fields} | {*settings.environment(), *others}
    unknown = [
        name
        for name in os.environ
        if name.startswith("MLOPS_")
        and name not in known
        and not name.startswith(KNOWN_PREFIXES)
        and not name.endswith("_SOURCE")
    ]
    if unknown:
        return Answer(False, f"unknown: {', '.join(sorted(unknown))}", "check the spelling; nothing reads them")
    return Answer(True, f"state in {settings.home}, ports moved by {settings.port_offset}")


def _products(settings: Settings) -> Answer:
    try:
        names = [p.name for p in declared_products()]
    except DeclarationError as error:
        return Answer(False, str(error), "correct the file")
    return Answer(bool(names), f"declared: {', '.join(names) or 'none'}", "declare one under mlops_assets/defs")


def _programs(settings: Settings) -> Answer:
    states = Supervisor(settings).states()
    if not states:
        return Answer(False, "nothing runs", "mlops up")
    bad = [f"{s.name} {s.state}" for s in states.values() if s.state != "RUNNING"]
    return Answer(not bad, ", ".join(bad) or f"{len(states)} running", "mlops logs PROGRAM")


def _database(settings: Settings) -> Answer:
    database = Database.connect(settings.database)
    kind = "embedded PostgreSQL" if settings.embedded_database else "your PostgreSQL"
    try:
        with database.engine.connect() as connection:
            size = connection.scalar(text("SELECT pg_database_size(current_database())"))
            return Answer(True, f"{kind}, {int(size or 0) / 2**20:,.0f} MB")
    except SQLAlchemyError as error:
        words = str(getattr(error, "orig", error)).strip().splitlines()[0]
        return Answer(False, f"{kind}: {words}", "mlops logs postgres; or check MLOPS_DATABASE_URL")
    finally:
        database.dispose()


def _storage(settings: Settings) -> Answer:
    if remote.store_of(settings.storage) is not None:
        try:
            with told(settings.storage):
                remote.filesystem(settings.storage, {})
        except StorageError as error:
            return Answer(False, str(error), "deploy/HOSTS.md says what a store needs")
        return Answer(True, settings.storage)
    free = shutil.disk_usage(settings.home if settings.home.exists() else settings.home.parent).free / 2**30
    return Answer(
        free >= LEAST_FREE_GB,
        f"{settings.storage}, {free:,.1f} GB free",
        f"less than {LEAST_FREE_GB:.0f} GB free: remove old files or move MLOPS_HOME",
    )


def _dagster(settings: Settings) -> Answer:
    try:
        with Orchestrator.of(settings) as orchestrator:
            problems = orchestrator.location_problems()
            silent = [d["daemonType"] for d in orchestrator.daemons() if d["required"] and not d["healthy"]]
    except OrchestratorError as error:
        return Answer(False, str(error), "mlops logs webserver")
    if problems:
        words = "; ".join(f"{name}: {said.splitlines()[0]}" for name, said in problems.items())
        return Answer(False, words, "mlops logs code")
    if silent:
        return Answer(False, f"no heartbeat: {', '.join(silent)}", "mlops logs daemon")
    return Answer(True, "code locations loaded, daemons alive")


def _mlflow(settings: Settings) -> Answer:
    try:
        answer = httpx.get(
            f"{settings.mlflow_server_url}/health", headers=settings.inner_headers(), timeout=ASK_SECONDS
        )
    except httpx.HTTPError as error:
        return Answer(False, f"{settings.mlflow_server_url}: {error}", "mlops logs mlflow")
    return Answer(answer.status_code == 200, f"{settings.mlflow_server_url}: {answer.text[:80]}", "mlops logs mlflow")


def _dask(settings: Settings) -> Answer:
    if settings.dask_address is None:
        return Answer(True, "no cluster: everything is done on this machine")
    try:
        workers = workers_of(settings.dask_address, ASK_SECONDS)
    except ClusterError as error:
        return Answer(False, str(error), "start it, or unset the variable; until then this machine does the work")
    if different := differences(workers):
        return Answer(False, "; ".join(different), "install the same on the workers and start them anew")
    return Answer(True, f"{settings.dask_address}, {len(workers)} workers with the same versions and code")


def _gateway(settings: Settings) -> Answer:
    try:
        answer = httpx.get(
            f"http://{settings.places('gateway')[0]}:{settings.ports.gateway_metrics}/stats/prometheus",
            timeout=ASK_SECONDS,
        )
        routed = httpx.get(f"{settings.gateway_url}/no-such-product", timeout=ASK_SECONDS)
    except httpx.HTTPError as error:
        return Answer(False, f"{settings.gateway_url}: {error}", "mlops logs gateway")
    good = answer.status_code == 200 and routed.status_code < 500
    return Answer(good, f"{settings.gateway_url} answers", "mlops logs gateway")


def _prediction_log(settings: Settings) -> Answer:
    try:
        told = json.loads((settings.journal / STATUS_FILE).read_text())
    except (OSError, ValueError):
        return Answer(False, "the shipper has never told its state", "mlops logs shipper")
    silent, waiting = time.time() - told["updated_at"], told["oldest_unshipped_seconds"]
    said = f"{told['backlog_bytes'] / 2**20:,.1f} MB not in the database yet, oldest {waiting:.0f} s"
    if told["last_error"]:
        said += f"; {told['last_error']}"
    good = silent < LONGEST_SILENCE_SECONDS and waiting < LONGEST_SILENCE_SECONDS
    return Answer(
        good, said if silent < LONGEST_SILENCE_SECONDS else f"silent for {silent:.0f} s", "mlops logs shipper"
    )


def _serving(settings: Settings) -> Answer:
    database = Database.connect(settings.database)
    said, good = [], True
    try:
        ledger = Ledger(database)
        for product in declared_products():
            if product.serving is None:
                continue
            state, ports, slot = ledger.state(product.name), settings.ports, product.serving.slot
            wanted = {ports.production(slot): state.production, ports.candidate(slot): state.standby}
            for place, port in itertools.product(settings.places("serving"), wanted):
                health = httpx.get(f"http://{place}:{port}/api/health", timeout=ASK_SECONDS).json()
                version = (health.get("model") or {}).get("version")
                good = good and health["status"] == "ok" and version == wanted[port]
                where = str(port) if len(settings.places("serving")) == 1 else f"{place}:{port}"
                said.append(f"{product.name} on {where}: release {version} of {wanted[port]}, {health['status']}")
    except (httpx.HTTPError, SQLAlchemyError, ValueError, DeclarationError) as error:
        words = str(error).strip().splitlines()[0]
        return Answer(False, f"a service doesn't answer: {words}", "mlops status; mlops logs")
    finally:
        database.dispose()
    return Answer(good, "; ".join(said) or "no online product", "mlops logs; or no release yet: mlops up")


def _channels(settings: Settings) -> Answer:
    try:
        good, said = channel_health(settings)
    except SQLAlchemyError as error:
        return Answer(False, type(error).__name__, "mlops logs postgres")
    return Answer(good, said, "mlops notify test")


def _monitoring(settings: Settings) -> Answer:
    return Answer(*monitoring.condition(settings), "mlops logs prometheus; mlops logs alertmanager")


def _health(settings: Settings) -> Answer:
    told = health_answer(settings)
    return Answer(told.good or not told.urgent, told.said, "\n  → ".join(told.advice), warns=not told.good)
