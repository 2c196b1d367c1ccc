"""What the drift report of a large day costs: reading, verdict and page, in a process of its own.

`python -m tests.benchmarks.drift_report` fills a PostgreSQL of its own with one day, exports its hours, prints a table
and writes results/drift_report.json. `--rows` makes it smaller.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, text

from mlops_assets.drift.facts import Monitored
from mlops_assets.settings import PROJECT

RESULT = Path(__file__).parent / "results" / "drift_report.json"
PRODUCT, DAY, RELEASE = "house_prices", date(2026, 3, 9), 1
ROWS, REFERENCE_ROWS = 1_000_000, 20_000
PLACES, PRICED_EVERY = 1300, 20
GOAL_SECONDS, GOAL_MEGABYTES = 20.0, 800.0
MONITORED = (
    *(Monitored(name, "number") for name in ("total_sqft", "bhk", "bath", "age", "floor")),
    Monitored("balcony", "number", optional=True),
    *(Monitored(name, "category") for name in ("location", "area_type", "facing")),
    Monitored("society", "category", optional=True),
    Monitored("estimate", "number", "prediction"),
    Monitored("error", "number", "error"),
)
# Every tenth request has no known user; areas are a quarter of a standard deviation larger than in training.
_PREDICTIONS = """
INSERT INTO mlops.prediction (id, product, at, variant, version, assigned, rollout, step, user_hash, features, output,
  latency_ms, request_id, sample, batch)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid,
  :product, at, CASE WHEN n % 5 = 0 THEN 'candidate' ELSE 'production' END, CASE WHEN n % 5 = 0 THEN 2 ELSE 1 END,
  CASE WHEN n % 5 = 0 THEN 'candidate' ELSE 'production' END, 1, 0, CASE WHEN n % 10 > 0 THEN md5((n / 3)::text) END,
  jsonb_build_object('total_sqft', round((exp(7.1 + 0.4 * (bell + 0.25)))::numeric, 1), 'bhk', 1 + n % 4,
    'bath', 1 + (n / 4) % 3, 'age', round((30 * random())::numeric, 2), 'floor', (n * 7919) % 20,
    'balcony', CASE WHEN n % 3 > 0 THEN n % 4 END, 'location', 'Place ' || floor(:places * power(random(), 3))::int,
    'area_type', (ARRAY['Super', 'Built-up', 'Plot', 'Carpet'])[1 + n % 4],
    'facing', (ARRAY['north', 'south', 'east', 'west'])[1 + (n / 16) % 4],
    'society', CASE WHEN n % 2 = 0 THEN 'Society ' || (n * 31) % 3000 END),
  jsonb_build_object('estimate', round((exp(4 + 0.5 * bell))::numeric, 2)), 5, md5(n::text), false, :batch
FROM (
  SELECT n, cast(:start AS timestamptz) + (n + 0.5) * (interval '1 day' / :rows) AS at,
    sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) AS bell
  FROM generate_series(cast(:first AS bigint), :last) AS n
) AS made
"""
_PRICES = """
INSERT INTO mlops.feedback (id, prediction_id, product, at, type, value, variant, version, assigned, rollout, step,
  user_hash, predicted_at, estimate, batch)
SELECT gen_random_uuid(), id, product, at, 'actual_price', estimate * (0.8 + 0.4 * random()), variant, version,
  assigned, rollout, step, user_hash, at, estimate, batch
FROM (SELECT *, mlops.numeric_answer(output) AS estimate FROM mlops.prediction WHERE batch = :batch) AS answered
WHERE get_byte(uuid_send(id), 15) % :every = 0
"""


def main() -> dict[str, Any]:
    """Fill, export, measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--report", nargs=2, metavar=("URL", "STORAGE"), help="measure in this process")
    given = parser.parse_args()
    if given.report:
        print(json.dumps(measured(*given.report)))
        return {}
    from tests.servers import running_postgres

    console = Console()
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder, running_postgres(Path(folder)) as url:
        storage = f"{folder}/storage"
        filled = fill(url, storage, given.rows, console)
        result = filled | in_a_process(url, storage)
    result |= {
        "goal_seconds": GOAL_SECONDS,
        "goal_megabytes": GOAL_MEGABYTES,
        "met": result["seconds"] <= GOAL_SECONDS and result["peak_megabytes"] <= GOAL_MEGABYTES,
        "load_average": os.getloadavg()[0],
    }
    table = Table("what", "measured", "on a processor", "goal")
    table.add_row("logged rows, columns", f"{result['logged_rows']:,}, {result['columns']}")
    table.add_row("actual prices", f"{result['prices']:,}")
    for name, words in (("read", "sample from the hourly files"), ("judge", "verdict"), ("render", "page")):
        spent = f"{result[f'{name}_seconds']:.2f} s, then {result[f'{name}_megabytes']:.0f} MB"
        table.add_row(words, spent, f"{result[f'{name}_cpu_seconds']:.2f} s")
    whole = f"{result['seconds']:.2f} s", f"{result['cpu_seconds']:.2f} s", f"≤ {GOAL_SECONDS:g} s"
    table.add_row("all of it, imports too", *whole)
    peak = f"{result['peak_megabytes']:.0f} MB", "", f"≤ {GOAL_MEGABYTES:g} MB"
    table.add_row("peak memory of that process", *peak)
    table.add_row("page", f"{result['page_megabytes']:.1f} MB")
    table.add_row("verdict", f"{result['status']}: {', '.join(result['drifted'])}")
    console.print(table)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    return result


def fill(url: str, storage: str, rows: int, console: Console) -> dict[str, Any]:
    """The day in the log and in hourly files, and the reference of the release."""
    from mlops_assets.drift import references
    from mlops_assets.drift.sample import Sample
    from mlops_assets.prediction_log.exporting import export_hour
    from mlops_assets.storage.database import Database
    from mlops_assets.storage.files import Storage
    from tests.made_log import count_batch

    database, files = Database.connect(url), Storage(storage)
    database.migrate()
    rows_frame, scored = reference()
    references.store(files, PRODUCT, RELEASE, Sample(rows_frame, scored, 100_000))
    began, each = time.perf_counter(), max(1, rows // 10)
    start = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    engine = create_engine(url, connect_args={"options": "-c synchronous_commit=off -c timezone=UTC"})
    for first in range(0, rows, each):
        with engine.begin() as connection:
            connection.execute(text("SELECT mlops.ensure_prediction_day(:day)"), {"day": DAY})
            batch = int(connection.execute(text("SELECT nextval('mlops.batch')")).scalar_one())
            given = {"product": PRODUCT, "start": start, "rows": rows, "batch": batch, "places": PLACES,
                     "first": first, "last": min(first + each, rows) - 1}  # fmt: skip
            connection.execute(text(_PREDICTIONS), given)
            connection.execute(text(_PRICES), {"batch": batch, "every": PRICED_EVERY})
            count_batch(connection, batch)
    filled = time.perf_counter() - began
    console.print(f"  the day is filled, {filled:.0f} s", highlight=False)
    engine.dispose()
    done = [export_hour(database, files, PRODUCT, start + timedelta(hours=hour)) for hour in range(24)]
    exported = time.perf_counter() - began - filled
    console.print(f"  24 hours are exported, {exported:.0f} s", highlight=False)
    database.dispose()
    return {"fill_seconds": filled, "export_seconds": exported, "prices": sum(hour.feedback for hour in done)}


def reference() -> tuple[Any, Any]:
    """20,000 rows of each, as the day has them, but for the areas."""
    import pandas as pd

    random, count = np.random.default_rng(7), REFERENCE_ROWS
    places = np.arange(count)
    balcony = np.where(places % 3 > 0, places % 4, np.nan)
    rows = pd.DataFrame(
        {
            "total_sqft": np.exp(7.1 + 0.4 * random.standard_normal(count)).round(1),
            "bhk": 1.0 + places % 4,
            "bath": 1.0 + places // 4 % 3,
            "age": (30 * random.random(count)).round(2),
            "floor": places * 7919 % 20 * 1.0,
            "balcony": balcony,
            "location": [f"Place {int(place)}" for place in PLACES * random.random(count) ** 3],
            "area_type": [("Super", "Built-up", "Plot", "Carpet")[place % 4] for place in places],
            "facing": [("north", "south", "east", "west")[place // 16 % 4] for place in places],
            "society": [f"Society {place * 31 % 3000}" if place % 2 == 0 else None for place in places],
        }
    )
    factor = 0.8 + 0.4 * random.random(count)
    scored = pd.DataFrame(
        {"estimate": np.exp(4 + 0.5 * random.standard_normal(count)).round(2), "error": np.abs(1 - factor) / factor}
    )
    return rows, scored


def in_a_process(url: str, storage: str) -> dict[str, Any]:
    """`measured` in a fresh interpreter; `seconds` is all of its time, from its start to its end."""
    command = [sys.executable, "-m", "tests.benchmarks.drift_report", "--report", url, storage]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True, timeout=1800)
    return {"seconds": time.perf_counter() - began} | dict(json.loads(done.stdout.splitlines()[-1]))


def measured(url: str, storage: str) -> dict[str, Any]:
    """Seconds of each step, and the most memory this process held after it."""
    from mlops_assets.drift import days, judge, references, report
    from mlops_assets.drift.policy import DriftPolicy
    from mlops_assets.storage.database import Database
    from mlops_assets.storage.files import Storage

    database, files, policy = Database.connect(url), Storage(storage), DriftPolicy()
    kept = references.load(files, PRODUCT, RELEASE)
    found: dict[str, Any] = {"imported_megabytes": megabytes()}
    began, processor = time.perf_counter(), time.process_time()

    def step(name: str) -> None:
        nonlocal began, processor
        found[f"{name}_seconds"] = time.perf_counter() - began
        found[f"{name}_cpu_seconds"] = time.process_time() - processor
        found[f"{name}_megabytes"] = megabytes()
        began, processor = time.perf_counter(), time.process_time()

    sample = days.read_day(database, files, PRODUCT, DAY, MONITORED, RELEASE, policy)
    step("read")
    verdict = judge.judge(PRODUCT, DAY, RELEASE, kept, sample, MONITORED, policy)
    step("judge")
    page = report.render(verdict, kept, sample, MONITORED, policy, "House prices")
    step("render")
    database.dispose()
    return found | {
        "logged_rows": sample.logged_rows,
        "compared_rows": len(sample.rows),
        "columns": len(MONITORED),
        "page_megabytes": len(page) / 1e6,
        "status": str(verdict.status),
        "drifted": list(verdict.drifted),
        "cpu_seconds": time.process_time(),
        "peak_megabytes": megabytes(),
    }


def megabytes() -> float:
    """Most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
