"""A shipper on a real database, in this process or its own, and what the log must add up to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text

from inference.ship_rows import OPTIONS, LogDatabase
from inference.shipping import Shipper
from inference.timed_connection import TimedConnection
from mlops_assets.settings import PROJECT
from mlops_assets.storage.database import Database
from tests.servers import child_environment, wait_until

ROLLUPS = {
    "traffic": (
        "SELECT product, rollout, step, day, assigned, variant, version, latency_bucket, requests, anonymous, "
        "round(sum_ms::numeric, 3), first_at, last_at FROM mlops.traffic ORDER BY 1, 2, 3, 4, 5, 6, 7, 8",
        "SELECT product, rollout, step, (at AT TIME ZONE 'UTC')::date, assigned, variant, version, "
        "greatest(0, least(160, ceil(ln(greatest(latency_ms::float8, 0.05) / 0.05) / ln(1.1)))), count(*), "
        "count(*) FILTER (WHERE user_hash IS NULL), round(sum(latency_ms::float8)::numeric, 3), min(at), max(at) "
        "FROM mlops.prediction WHERE rollout IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 "
        "ORDER BY 1, 2, 3, 4, 5, 6, 7, 8",
    ),
    "exposure": (
        "SELECT product, rollout, step, user_hash, assigned FROM mlops.exposure ORDER BY 1, 2, 3, 4",
        "SELECT DISTINCT product, rollout, step, user_hash, assigned FROM mlops.prediction "
        "WHERE rollout IS NOT NULL AND user_hash IS NOT NULL AND assigned <> 'forced' ORDER BY 1, 2, 3, 4",
    ),
    "units": (
        "SELECT product, rollout, step, assigned, n FROM mlops.units ORDER BY 1, 2, 3, 4",
        "SELECT product, rollout, step, assigned, count(DISTINCT user_hash) + count(*) FILTER (WHERE user_hash IS NULL)"
        " FROM mlops.prediction WHERE rollout IS NOT NULL AND assigned <> 'forced' "
        "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
    ),
    "log_hour": (
        "SELECT product, hour, predictions, feedback, max_batch FROM mlops.log_hour ORDER BY 1, 2",
        "SELECT product, date_trunc('hour', at, 'UTC'), count(*) FILTER (WHERE k), count(*) FILTER (WHERE NOT k), "
        "max(batch) FROM (SELECT product, at, batch, true AS k FROM mlops.prediction "
        "UNION ALL SELECT product, at, batch, false FROM mlops.feedback) AS rows GROUP BY 1, 2 ORDER BY 1, 2",
    ),
}


@contextmanager
def shipper_on(url: str, root: Path, **options: Any) -> Iterator[Shipper]:
    """A shipper in this process."""
    log = LogDatabase(TimedConnection(url, name="test shipper", options=OPTIONS, **options))
    try:
        yield Shipper(root, log)
    finally:
        log.close()


def rows(database: Database, query: str, **values: Any) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def count(database: Database, table: str) -> int:
    return int(rows(database, f"SELECT count(*) FROM mlops.{table}")[0][0])


def rejected(root: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for p in sorted((root / "rejected").glob("*.jsonl")) for x in p.read_text().splitlines()]


def segments(root: Path) -> list[Path]:
    return [*root.glob("*/*.open"), *root.glob("*/*.closed")]


def assert_counts_match_the_rows(database: Database) -> None:
    for name, (kept, recounted) in ROLLUPS.items():
        assert rows(database, kept) == rows(database, recounted), name


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def start_shipper(url: str, root: Path, output: Path, **more: str) -> subprocess.Popen[bytes]:
    environment = {"MLOPS_SHIPPER_DATABASE_URL": url, "MLOPS_SHIPPER_JOURNAL_DIR": str(root)} | more
    with output.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "inference.shipper"],
            cwd=PROJECT,
            env=child_environment(environment),
            stdout=file,
            stderr=file,
        )


def start_writer(folder: Path, acknowledged: Path, rate: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.journal_lines", str(folder), str(acknowledged), str(rate)]
    return subprocess.Popen(command, cwd=PROJECT, env=child_environment())


def finish(url: str, root: Path, output: Path) -> None:
    """One shipper, until nothing is left, and its clean end."""
    with ended(start_shipper(url, root, output)) as last:
        wait_until(lambda: not segments(root), 60, lambda: f"{segments(root)}\n{output.read_text()[-3000:]}")
        last.send_signal(signal.SIGTERM)
        assert last.wait(20) == 0, output.read_text()


def acknowledged_ids(*files: Path) -> set[str]:
    return {line for file in files for line in file.read_text().splitlines() if len(line) == 36}


def ids(database: Database) -> set[str]:
    return {found for (found,) in rows(database, "SELECT id::text FROM mlops.prediction")}
