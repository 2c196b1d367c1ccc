"""How long a backup and its restore take, with millions of logged predictions and a thousand releases.

`python -m tests.benchmarks.backup [--predictions N] [--releases N]` fills an installation's database and storage, saves
it, puts it back into an empty place and lets the restore compare every table and file. Needs about 1.5 GB of disk for a
million predictions. Prints a table and keeps the figures in results/backup.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from mlops_assets.backup.database import database_up
from mlops_assets.backup.make import backup
from mlops_assets.backup.record import Record
from mlops_assets.backup.restore import restore
from mlops_assets.installation.report import Report
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.integration.backup.saved_platform import PRODUCT, fill

RESULT = Path(__file__).parent / "results" / "backup.json"
GOAL_SECONDS = 600.0
DAYS = 30
RELEASE_BYTES = 200_000
_PREDICTIONS = """
INSERT INTO mlops.prediction (id, product, at, variant, version, assigned, user_hash, features, output, latency_ms,
  sample, batch)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008' || substr(md5(n::text), 1, 15))::uuid,
  'homes', at, 'production', 1, 'production', md5((n % 50000)::text),
  jsonb_build_object('total_sqft', 500 + n % 4000, 'location', 'place ' || n % 300, 'bhk', 1 + n % 5, 'bath', 2),
  jsonb_build_object('estimated_price', 20 + n % 300), 2.5, false, n / 500
FROM generate_series(1, :each) AS n, LATERAL (SELECT CAST(:day AS date) + n * interval '1 day' / (:each + 1) AS at) AS t
"""
_RELEASES = """
INSERT INTO mlops.release (product, version, run_id, dataset_version, uri)
SELECT 'homes', n, 'run-' || n, 1, :root || '/homes/releases/' || n FROM generate_series(3, CAST(:most AS int)) AS n
"""


def grow(settings: Settings, predictions: int, releases: int) -> None:
    """Rows and files of some months."""
    with database_up(settings):
        database = Database.connect(settings.database)
        with database.engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0; SET LOCAL synchronous_commit = off"))
            days = connection.scalars(text(f"SELECT current_date - n FROM generate_series(1, {DAYS}) AS n")).all()
            for day in days:
                connection.execute(text("SELECT mlops.ensure_prediction_day(:day)"), {"day": day})
                connection.execute(text(_PREDICTIONS), {"day": day, "each": predictions // DAYS})
            connection.execute(text(_RELEASES), {"root": settings.storage, "most": releases})
        database.dispose()
    content = os.urandom(RELEASE_BYTES)
    for number in range(3, releases + 1):
        Storage(settings.storage).at(PRODUCT, "releases", str(number)).write_bytes("model.onnx", content)


def timed(work: Callable[[], Record]) -> tuple[Record, float]:
    """What it gives, and its seconds."""
    began = time.monotonic()
    return work(), time.monotonic() - began


def main() -> None:
    """Fill, save, put back, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=10_000_000)
    parser.add_argument("--releases", type=int, default=1_000)
    asked = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as place:
        Path(place).chmod(0o711)
        folder = Path(place) / "backup"
        settings, other = Settings(home=Path(place) / "home"), Settings(home=Path(place) / "other")
        fill(settings)
        began = time.monotonic()
        grow(settings, asked.predictions, asked.releases)
        console.print(f"filled in {time.monotonic() - began:.0f} s")
        load = os.getloadavg()[0]
        saved, saving = timed(lambda: backup(settings, folder, Report(console)))
        _, restoring = timed(lambda: restore(other, folder, Report(console)))
    result = {
        "predictions": asked.predictions,
        "releases": asked.releases,
        "rows": saved.rows,
        "files": len(saved.files),
        "megabytes": round(saved.size / 1e6, 1),
        "backup_seconds": round(saving, 1),
        "restore_seconds": round(restoring, 1),
        "load_average": round(load, 2),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    table = Table("what", "measured", "goal")
    table.add_row("rows, files", f"{saved.rows:,}, {len(saved.files):,} ({saved.size / 1e6:,.0f} MB)", "")
    table.add_row("backup", f"{saving:.0f} s", "")
    table.add_row("restore, compared", f"{restoring:.0f} s", "")
    table.add_row("together", f"{saving + restoring:.0f} s", f"{GOAL_SECONDS:.0f} s")
    console.print(table)


if __name__ == "__main__":
    main()
