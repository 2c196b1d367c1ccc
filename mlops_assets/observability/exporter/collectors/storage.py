"""The database as a server and as something that grows, and the disk.

What is quick to ask is asked often; sizes, which aren't, seldom. Keep out what is in the tables.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from pathlib import Path

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.source import Source, rows
from mlops_assets.observability.exporter.families import OTHER, Sheet
from mlops_assets.settings import Settings

DATABASE_SECONDS = 10.0
SIZES_SECONDS = 300.0
DISK_SECONDS = 10.0
AREAS_SECONDS = 300.0
# A look at so many files that it takes longer tells of those that it has seen.
WALK_SECONDS = 20.0
SCHEMAS = ["mlops", "dagster", "mlflow"]
SIZE = ("mlops_database_size_",)
DISK = ("mlops_disk_", "mlops_storage_")
# Folders of an installation; what else lies there is one area.
AREAS = (
    *("storage", "postgres", "logs", "journal", "serving", "gateway", "stages", "repositories", "functions"),
    *("monitoring", "prometheus", "backups", "metrics", "defs_state"),
)

_CONNECTIONS = """
SELECT coalesce(replace(split_part(state, ' (', 1), ' ', '_'), 'unknown') AS state, count(*) AS connections,
  max(extract(epoch FROM now() - xact_start)) FILTER (WHERE pid <> pg_backend_pid()) AS oldest
FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1
"""
STATES = ("active", "idle", "idle_in_transaction")
_LIMIT = "SELECT current_setting('max_connections')::integer AS connections"
_SIZES = """
SELECT n.nspname AS schema, sum(pg_total_relation_size(c.oid)) AS bytes
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname = ANY(:schemas) GROUP BY 1
"""


def database(source: Source) -> Collector:
    """The server's state; looks every ten seconds."""

    def look(sheet: Sheet) -> None:
        with source.asking() as connection:
            # The first statement opens the transaction too; the question itself is the second one.
            limit = rows(connection, _LIMIT)[0].connections
            before = time.monotonic()
            rows(connection, "SELECT 1")
            sheet.put("mlops_database_answer_seconds", time.monotonic() - before)
            found = rows(connection, _CONNECTIONS)
        sheet.put("mlops_database_connections_limit", limit)
        numbers = dict.fromkeys(STATES, 0) | {row.state: row.connections for row in found}
        for state, number in numbers.items():
            sheet.put("mlops_database_connections", number, state=state)
        oldest = max((row.oldest or 0 for row in found), default=0)
        sheet.put("mlops_database_oldest_transaction_seconds", max(0, oldest))

    return Collector("database", of_group("storage", only=("mlops_database_",), but=SIZE), DATABASE_SECONDS, look)


def sizes(source: Source) -> Collector:
    """Tables and indexes; looks every five minutes."""

    def look(sheet: Sheet) -> None:
        for row in source.rows(_SIZES, {"schemas": SCHEMAS}):
            sheet.put("mlops_database_size_bytes", row.bytes, schema=row.schema)

    return Collector("database_size", of_group("storage", only=SIZE), SIZES_SECONDS, look)


def files(settings: Settings) -> Collector:
    """The disk, every ten seconds, and what the installation keeps on it, every five minutes."""
    return Collector("disk", of_group("storage", only=DISK), DISK_SECONDS, LookAtDisk(settings.home), rows=False)


class LookAtDisk:
    """Remembers how large the areas were when they were walked through last."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._areas: Counter[str] = Counter()
        self._again = 0.0

    def __call__(self, sheet: Sheet) -> None:
        """Raises OSError if there is no such folder."""
        disk = shutil.disk_usage(self._home)
        sheet.put("mlops_disk_free_bytes", disk.free)
        sheet.put("mlops_disk_size_bytes", disk.total)
        if time.monotonic() >= self._again:
            self._areas = area_sizes(self._home, time.monotonic() + WALK_SECONDS)
            self._again = time.monotonic() + AREAS_SECONDS
        for area, size in self._areas.most_common():
            sheet.put("mlops_storage_bytes", size, area=area)


def area_sizes(home: Path, until: float) -> Counter[str]:
    """Bytes on the disk of each area below `home`, of what was seen until then (monotonic). Raises OSError."""
    found: Counter[str] = Counter()
    with os.scandir(home) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            area = entry.name if entry.name in AREAS else OTHER
            if entry.is_dir(follow_symlinks=False):
                found[area] += _size(entry.path, until)
            elif entry.is_file(follow_symlinks=False):
                found[area] += entry.stat(follow_symlinks=False).st_blocks * 512
    return found


def _size(folder: str, until: float) -> int:
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
            except OSError:  # removed meanwhile
                continue
        if time.monotonic() > until:
            break
    return total
