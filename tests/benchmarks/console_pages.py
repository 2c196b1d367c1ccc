"""How long the console's pages take to be filled, with a platform's worth of rows in the database.

`python -m tests.benchmarks.console_pages [--runs N] [--pipelines N] [--stages N] [--times N]`. The rows of
`exporter_scrape`, the control API as an installation runs it, and of each page everything that it asks for, one after
the other. Left out are pipelines and runs, whose made rows are too thin to be shown: `pipelines` measures them. Prints
a table and keeps the figures in `results/console_pages.json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import text

from mlops_assets.installation import secret_files
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.storage.database import Database
from tests.benchmarks.exporter_scrape import fill, percentiles
from tests.integration import looked_rollout
from tests.servers import free_port, process, running_postgres

RESULT = Path(__file__).parent / "results" / "console_pages.json"
GOAL_MS = 300.0
PRODUCT = looked_rollout.PRODUCT
LOOKS = 500


def pages() -> dict[str, tuple[str, ...]]:
    """What each page asks for when it is opened."""
    month = (datetime.now(UTC) - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "overview": ("/overview",),
        "product": (f"/products/{PRODUCT}",),
        "rollouts": ("/rollouts", f"/rollouts/{PRODUCT}"),
        "drift": ("/drift", f"/drift/{PRODUCT}"),
        "scores": ("/scores",),
        "artifacts": ("/artifacts?limit=50",),
        "health": ("/health", "/session"),
        "resources, 7 days": ("/usage?by=product&limit=500",),
        "resources, 30 days": (f"/usage?by=product&limit=500&since={month}",),
        "slower or bigger": ("/usage/changes",),
    }


def roll_out(url: str) -> None:
    """A rollout that was looked at every hour for three weeks: the made rows don't tell what was seen."""
    database = Database.connect(url)
    with database.engine.begin() as connection:
        # The ledger refuses to be emptied in the usual way.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("TRUNCATE mlops.ledger, mlops.release, mlops.dataset_version CASCADE"))
    made = looked_rollout.Looked("", Ledger(database), database)
    looked_rollout.publish_two(database, made.ledger)
    looked_rollout.begin(made.ledger)
    for number in range(LOOKS):
        made.look(number)
    database.dispose()


@contextmanager
def answering(url: str, home: Path) -> Iterator[httpx.Client]:
    """The API's process, and a client of it with the operators' token."""
    home.mkdir()
    port = free_port()
    settings = Settings(home=home, database_url=url, api_server_port=port)
    secret_files.prepare(settings.secrets)
    shutil.copy(PROJECT / "dagster_home" / "dagster.yaml", home)
    environment = settings.environment() | {"MLOPS_DATABASE_URL": url, "MLOPS_API_SERVER_PORT": str(port)}
    headers = {"Authorization": f"Bearer {secret_files.operator_token(settings.secrets)}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", headers=headers, timeout=60) as client:

        def answers() -> bool:
            try:
                return client.get("/session").status_code == 200
            except httpx.HTTPError:
                return False

        with process([sys.executable, "-m", "mlops_assets.api.server"], home / "api.log", answers, environment):
            yield client


def opened(client: httpx.Client, paths: tuple[str, ...]) -> float:
    """Milliseconds until a page has all it asks for."""
    began = time.perf_counter()
    for path in paths:
        answer = client.get(path)
        assert answer.status_code in (200, 404), f"{path}: {answer.status_code} {answer.text[:500]}"
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Fill, measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--pipelines", type=int, default=1_000)
    parser.add_argument("--stages", type=int, default=300_000)
    parser.add_argument("--times", type=int, default=60)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder, running_postgres(Path(folder)) as url:
        fill(url, Path(folder), asked)
        roll_out(url)
        with answering(url, Path(folder) / "home") as client:
            figures: dict[str, dict[str, float]] = {}
            for name, paths in pages().items():
                first = opened(client, paths)
                ms = percentiles([opened(client, paths) for _ in range(asked.times)]) | {"first": round(first, 1)}
                good = "✓" if ms["p95"] <= GOAL_MS else "✗"
                print(
                    f"{good} {name:<20} p50 {ms['p50']:7.1f} ms, p95 {ms['p95']:7.1f} ms, first {ms['first']:7.1f} ms"
                )
                figures[name] = ms
    RESULT.write_text(json.dumps({"rows": vars(asked), "pages_ms": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
