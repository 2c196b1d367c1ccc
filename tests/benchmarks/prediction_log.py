"""What logging a prediction costs: µs for each appended line, and rows a second from the journal into PostgreSQL.

`python -m tests.benchmarks.prediction_log [--lines 50000]` starts its own server. The shipper is compared with the
same rows sent by a plain `executemany` INSERT in batches of the same size, in the same run.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from inference.journal import Journal
from inference.ship_rows import OPTIONS, LogDatabase
from inference.shipping import Shipper
from inference.timed_connection import TimedConnection
from mlops_assets.prediction_log.exporting import export_hour
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.journal_lines import encoded, prediction
from tests.servers import running_postgres

BATCH = 2000
PLAIN = """
INSERT INTO mlops.prediction (id, product, at, variant, version, assigned, rollout, step, user_hash, features, output,
  latency_ms, request_id, sample, batch)
VALUES (:id, :product, to_timestamp(:at), :variant, :version, :assigned, :rollout, :step, :user, :features, :output,
  :ms, :request_id, :sample, 0)
"""


def measure(count: int) -> dict[str, float]:
    """Seconds and rates of one run."""
    records = [prediction(user=f"u{n % 500}") for n in range(count)]
    lines = [encoded(record) for record in records]
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as name, running_postgres(Path(name)) as url:
        database = Database.connect(url)
        database.migrate()
        plain = _plain(database, [prediction() for _ in range(count // 5)])
        journal = Journal(Path(name) / "journal" / "homes", "homes")
        began = time.perf_counter()
        for line in lines:
            journal.append(line)
        append = (time.perf_counter() - began) / count
        journal.close()
        log = LogDatabase(TimedConnection(url, name="benchmark", options=OPTIONS))
        shipper = Shipper(Path(name) / "journal", log)
        began = time.perf_counter()
        while shipper.step():
            pass
        shipped = count / (time.perf_counter() - began)
        log.close()
        began = time.perf_counter()
        hour = _busiest_hour(database)
        exported = export_hour(database, Storage(f"{name}/storage"), "homes", hour).predictions
        export = exported / (time.perf_counter() - began)
        database.dispose()
    return {
        "append_us": round(append * 1e6, 2),
        "shipped_rows_a_second": round(shipped),
        "executemany_rows_a_second": round(plain),
        "shipped_of_executemany": round(shipped / plain, 2),
        "exported_rows_a_second": round(export),
    }


def _plain(database: Database, records: list[dict[str, Any]]) -> float:
    values = [r | {"features": json.dumps(r["features"]), "output": json.dumps(r["output"])} for r in records]
    with database.engine.begin() as connection:
        connection.execute(text("SELECT mlops.ensure_prediction_day(current_date)"))
    raw = database.engine.raw_connection()
    try:
        query = re.sub(r":(\w+)", r"%(\1)s", PLAIN)
        began = time.perf_counter()
        for start in range(0, len(values), BATCH):
            with raw.cursor() as cursor:
                cursor.executemany(query, values[start : start + BATCH])
            raw.commit()
        return len(values) / (time.perf_counter() - began)
    finally:
        raw.close()


def _busiest_hour(database: Database) -> Any:
    with database.engine.connect() as connection:
        return connection.execute(
            text("SELECT hour FROM mlops.log_hour ORDER BY predictions DESC LIMIT 1")
        ).scalar_one()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=50_000)
    print(json.dumps(measure(parser.parse_args().lines), indent=1))


if __name__ == "__main__":
    main()
