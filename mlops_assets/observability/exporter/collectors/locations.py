"""Dagster's code locations: whether they are loaded, asked of its webserver, and how long that took.

How long a load took is in the logs of the programs that load: Dagster keeps it nowhere. Keep out schedules.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.source import Webserver, WebserverError
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.pipelines.naming import LOCATION
from mlops_assets.settings import Settings

EVERY_SECONDS = 15.0
TAIL_BYTES = 256 * 1024
PRODUCTS = "products"
# Location → the program that loads it, which its log is named after.
PROGRAMS = {PRODUCTS: "code", LOCATION: "pipelines"}

_LOCATIONS = """{ workspaceOrError { __typename ... on Workspace { locationEntries {
  name locationOrLoadError { __typename } } } } }"""
COLOURS = re.compile(rb"\x1b\[\d*m")
# What Dagster's code server writes once it has loaded, and what ours writes after each load.
_STARTED = re.compile(
    rb"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}) .*Started Dagster code server .*in process (\d{1,9})$", re.MULTILINE
)
_LOADED = re.compile(rb" \d{1,9} assets loaded in (\d{1,6}\.\d\d) s$", re.MULTILINE)


def collector(webserver: Webserver, settings: Settings) -> Collector:
    """Looks every fifteen seconds."""
    metrics = of_group("automation", only=("mlops_code_location_",))
    return Collector("locations", metrics, EVERY_SECONDS, LookAtLocations(webserver, settings.logs), rows=False)


class LookAtLocations:
    """Remembers each log's newest load, for when its line has gone out of the file."""

    def __init__(self, webserver: Webserver, logs: Path) -> None:
        self._webserver, self._logs = webserver, logs
        self._seconds: dict[str, float] = {}

    def __call__(self, sheet: Sheet) -> None:
        """Raises WebserverError."""
        workspace = self._webserver.ask(_LOCATIONS).get("workspaceOrError") or {}
        if workspace.get("__typename") != "Workspace":
            raise WebserverError("it has no workspace")
        for entry in workspace["locationEntries"]:
            name, loaded = entry["name"], (entry.get("locationOrLoadError") or {}).get("__typename")
            sheet.put("mlops_code_location_up", loaded == "RepositoryLocation", location=name)
            sheet.put("mlops_code_location_load_seconds", self._load_seconds(name), location=name)

    def _load_seconds(self, location: str) -> float | None:
        program = PROGRAMS.get(location)
        if program is None:
            return None
        seconds = (started if location == PRODUCTS else loaded)(tail(self._logs / f"{program}.log"))
        if seconds is not None:
            self._seconds[location] = seconds
        return self._seconds.get(location)


def tail(file: Path) -> bytes:
    """The end of a log; nothing if it isn't there."""
    try:
        with file.open("rb") as opened:
            opened.seek(0, 2)
            opened.seek(max(0, opened.tell() - TAIL_BYTES))
            return opened.read(TAIL_BYTES)
    except OSError:
        return b""


def loaded(log: bytes) -> float | None:
    """Seconds of the newest load that our server of declared pipelines tells of."""
    found = _LOADED.findall(log)
    return float(found[-1]) if found else None


def started(log: bytes, born: Callable[[int], float | None] | None = None) -> float | None:
    """Seconds from the start of the newest code server's process until it had loaded; its log tells whole seconds.

    `born` tells when a process began, in seconds since 1970; None for one that has ended.
    """
    found = _STARTED.findall(COLOURS.sub(b"", log))
    if not found:
        return None
    at = datetime.strptime(found[-1][0].decode(), "%Y-%m-%d %H:%M:%S %z").astimezone(UTC).timestamp()
    began = (born or _born)(int(found[-1][1]))
    # Half a second for what the log leaves out. A process that has another's number began after that line.
    return max(0.0, at + 0.5 - began) if began is not None and began <= at + 1 else None


def _born(pid: int) -> float | None:
    try:
        created = psutil.Process(pid).create_time()
    except psutil.Error:
        return None
    return created if created <= time.time() else None
