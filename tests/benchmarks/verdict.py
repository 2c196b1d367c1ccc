"""What a verdict costs over a large log: evidence and decision, seconds and peak memory of a process of its own.

`python -m tests.benchmarks.verdict` fills a PostgreSQL of its own (14 days, one rating in 20 predictions, a user
for every tenth), prints a table and writes results/verdict.json. `--predictions` makes it smaller.
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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, create_engine, text

from mlops_assets.settings import PROJECT

RESULT = Path(__file__).parent / "results" / "verdict.json"
PRODUCT = "house_prices"
DAYS = 14
PREDICTIONS = 10_000_000
RATED_EVERY = 20
GOAL_SECONDS, GOAL_MEGABYTES = 5.0, 500.0
LOOKS = 5

# Every fifth user is the candidate's; 1 % of its requests are answered by the other service.
_PREDICTIONS = """
INSERT INTO mlops.prediction (id, product, at, variant, version, assigned, rollout, step, user_hash, features, output,
  latency_ms, request_id, sample, batch)
SELECT (lpad(to_hex((extract(epoch FROM made.at) * 1000)::bigint), 12, '0') || '7000' || '8'
    || lpad(to_hex(n), 15, '0'))::uuid,
  :product, made.at, CASE WHEN own THEN arm ELSE 'production' END,
  CASE WHEN own AND arm = 'candidate' THEN 2 ELSE 1 END, arm, 1, 0, md5(person::text),
  '{"total_sqft": 1200, "bhk": 3, "bath": 2, "location": "Whitefield"}',
  jsonb_build_object('estimate', 40 + n % 100), exp(1.5 + 0.6 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())),
  md5(n::text), false, :batch
FROM (
  SELECT n, at, person, CASE WHEN person % 5 = 0 THEN 'candidate' ELSE 'production' END AS arm,
    NOT (person % 5 = 0 AND n % 100 = 7) AS own
  FROM (
    SELECT n,
      cast(:start AS timestamptz) + (n - :first) * cast(:seconds AS double precision) * interval '1 second' AS at,
      hashint8(n) & 2147483647 AS hashed FROM generate_series(cast(:first AS bigint), :last) AS n
  ) AS numbered, LATERAL (SELECT hashed % cast(:users AS bigint) AS person) AS chosen
) AS made
"""
_RATINGS = """
INSERT INTO mlops.feedback (id, prediction_id, product, at, type, value, variant, version, assigned, rollout, step,
  user_hash, predicted_at, estimate, batch)
SELECT gen_random_uuid(), id, product, at + interval '1 minute', 'rating',
  1 + floor(5 * power(random(), CASE assigned WHEN 'candidate' THEN 0.44 ELSE 0.45 END)), variant, version, assigned,
  rollout, step, user_hash, at, mlops.numeric_answer(output), batch
FROM mlops.prediction WHERE batch = :batch AND get_byte(uuid_send(id), 15) % :every = 0
"""


def main() -> dict[str, Any]:
    """Fill, measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--predictions", type=int, default=PREDICTIONS)
    parser.add_argument("--look", metavar="URL", help="measure in this process, on a log that is filled")
    parser.add_argument("--replay", action="store_true", help="with --look: from the raw rows")
    given = parser.parse_args()
    if given.look:
        print(json.dumps(measured(given.look, replay=given.replay)))
        return {}
    from tests.servers import running_postgres

    console = Console()
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder, running_postgres(Path(folder)) as url:
        filled = fill(url, given.predictions, console)
        looks = in_a_process(url)
        replayed = in_a_process(url, "--replay")
    result = {
        **filled,
        "seconds": looks["seconds"],
        "first_seconds": looks["first_seconds"],
        "peak_megabytes": looks["peak_megabytes"],
        "imported_megabytes": looks["imported_megabytes"],
        "replay_seconds": replayed["first_seconds"],
        "replay_equals": replayed["digest"] == looks["digest"],
        "verdict": looks["verdict"],
        "goal_seconds": GOAL_SECONDS,
        "goal_megabytes": GOAL_MEGABYTES,
        "met": looks["first_seconds"] <= GOAL_SECONDS and looks["peak_megabytes"] <= GOAL_MEGABYTES,
        "load_average": os.getloadavg()[0],
    }
    table = Table("what", "measured", "goal")
    table.add_row("predictions", f"{result['predictions']:,}", "")
    table.add_row("ratings", f"{result['ratings']:,}", "")
    table.add_row("verdict, first in its process", f"{result['first_seconds']:.2f} s", f"≤ {GOAL_SECONDS:g} s")
    table.add_row(f"verdict, median of {LOOKS}", f"{result['seconds']:.2f} s", "")
    table.add_row("peak memory of that process", f"{result['peak_megabytes']:.0f} MB", f"≤ {GOAL_MEGABYTES:g} MB")
    table.add_row("the same from raw rows (replay)", f"{result['replay_seconds']:.1f} s", "")
    table.add_row("replay equals", str(result["replay_equals"]), "True")
    console.print(table)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    return result


def fill(url: str, predictions: int, console: Console) -> dict[str, Any]:
    """A rollout under way and its log, a batch a day, counted as the shipper counts."""
    from mlops_assets.storage.database import Database
    from tests.integration.rollouts import begun
    from tests.made_log import count_batch

    database = Database.connect(url)
    database.migrate()
    rollout = begun(database)
    database.dispose()
    engine = create_engine(url, connect_args={"options": "-c synchronous_commit=off -c timezone=UTC"})
    each, users = predictions // DAYS, max(100, predictions // 10)
    began = time.perf_counter()
    for day in range(DAYS):
        start = rollout.began + timedelta(days=day)
        with engine.begin() as connection:
            for date in (start.date(), start.date() + timedelta(days=1)):
                connection.execute(text("SELECT mlops.ensure_prediction_day(:date)"), {"date": date})
            batch = int(connection.execute(text("SELECT nextval('mlops.batch')")).scalar_one())
            given = {"product": PRODUCT, "start": start, "seconds": 86_000 / each, "users": users, "batch": batch,
                     "first": day * each, "last": (day + 1) * each - 1}  # fmt: skip
            connection.execute(text(_PREDICTIONS), given)
            connection.execute(text(_RATINGS), {"batch": batch, "every": RATED_EVERY})
            count_batch(connection, batch)
        console.print(f"  day {day + 1} of {DAYS} is filled, {time.perf_counter() - began:.0f} s", highlight=False)
    filled = {"predictions": rows(engine, "prediction"), "ratings": rows(engine, "feedback")}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    return filled | {"fill_seconds": time.perf_counter() - began}


def rows(engine: Engine, table: str) -> int:
    """Rows of a table of ours."""
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM mlops.{table}")).scalar_one())


def in_a_process(url: str, *more: str) -> dict[str, Any]:
    """`measured` in a fresh interpreter."""
    command = [sys.executable, "-m", "tests.benchmarks.verdict", "--look", url, *more]
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True, timeout=1800)
    return dict(json.loads(done.stdout))


def measured(url: str, replay: bool) -> dict[str, Any]:
    """Seconds of evidence and decision, and this process's peak memory."""
    from mlops_assets.rollout.evidence import read_evidence
    from mlops_assets.rollout.ledger import Ledger
    from mlops_assets.rollout.looking import conclude, digest, fixed_slow_ms
    from mlops_assets.rollout.policy import RolloutPolicy
    from mlops_assets.storage.database import Database

    database, policy = Database.connect(url), RolloutPolicy()
    state = Ledger(database).state(PRODUCT)
    now = (state.started_at or datetime.now(UTC)) + timedelta(days=DAYS)
    imported = megabytes()
    taken, watermark = [], DAYS if replay else None
    for _ in range(1 if replay else LOOKS):
        began = time.perf_counter()
        evidence = read_evidence(
            database, state, policy, now, slow_ms=fixed_slow_ms(database, state), candidate_problem=None,
            watermark=watermark,
        )  # fmt: skip
        decision = conclude(state, evidence, policy)
        taken.append(time.perf_counter() - began)
    return {
        "first_seconds": taken[0],
        "seconds": sorted(taken)[len(taken) // 2],
        "imported_megabytes": imported,
        "peak_megabytes": megabytes(),
        "verdict": str(decision.verdict),
        "digest": digest(evidence),
    }


def megabytes() -> float:
    """Most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
