"""Scoring months of records that are several times as large as the memory that the process is given.

`python -m tests.benchmarks.scoring_memory` prints the figures and writes results/scoring_memory.json; exit status 1
when a goal is missed. Generated accidents are put into one features file over and over, until its rows would take
`TIMES` the limit as a data frame. A process whose private memory the kernel limits (RLIMIT_DATA, libraries and all)
then scores them by month: into files, tables and reasons, as a run does. Told to hold all rows, the same process has to
fail, or the limit would prove nothing.
"""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.batch import scoring
from mlops_assets.batch.months import between
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, sha256_of
from mlops_assets.training import feature_set
from mlops_assets.training.records import FeatureSet
from tests.benchmarks.reported import Result, report, show_goals
from tests.integration.scored_accidents import NAME, POLICY, accidents_in, product, raw
from tests.servers import running_postgres

RESULT = Path(__file__).parent / "results" / "scoring_memory.json"
TIMES = 5
LIMIT_BYTES = 900_000_000
IN_MEMORY, EVERYTHING = 50_000, 10**9
MONTHS = between("2023-01", "2024-12")


def enlarged(features: FeatureSet, storage: Storage, wanted: int) -> tuple[FeatureSet, int, int]:
    """The features over and over until they take `wanted` bytes as a data frame; also their rows and bytes."""
    table = feature_set.read(product(), features, storage)
    size = int(table.memory_usage(deep=True).sum())
    times = -(-wanted // size)
    folder = storage.at(NAME, "features")
    assert folder.folder is not None
    assert features.months is not None
    path, piece = folder.folder / "large.parquet", pa.Table.from_pandas(table, preserve_index=False)
    with pq.ParquetWriter(path, piece.schema) as writer:
        for _ in range(times):
            writer.write_table(piece)
    facts = folder.read_json(features.months)
    folder.write_json("large.months.json", {m: {**one, "rows": one["rows"] * times} for m, one in facts.items()})
    changed = {"file": path.name, "sha256": sha256_of(path), "months": "large.months.json"}
    return features.model_copy(update=changed), len(table) * times, size * times


def child(url: str, root: str, features: str, in_memory: int) -> None:
    """Score every month under the limit, and print how many records and anomalies there are, and the peak in bytes."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    policy = POLICY.model_copy(update={"rows_in_memory": in_memory})
    database, storage = Database.connect(url), Storage(root)
    record = FeatureSet.model_validate_json(features)
    done = list(scoring.score_months(product(), policy, record, MONTHS, database, storage, "bench"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([sum(m.figures.records for m in done), sum(m.figures.anomalies for m in done), peak]))


def scored(url: str, root: str, features: FeatureSet, in_memory: int) -> tuple[list[int] | None, float]:
    """What `child` printed, None if it failed, and its seconds."""
    given = ["--child", url, root, features.model_dump_json(), str(in_memory)]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", __spec__.name, *given], cwd=PROJECT, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        if not any(word in done.stderr for word in ("MemoryError", "alloc")):
            raise RuntimeError(done.stderr[-3000:])
        return None, seconds
    return json.loads(done.stdout), seconds


def measure(rounds: int, _: float) -> Result:
    """One run with few rows in memory, and one with all."""
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as place, running_postgres(Path(place) / "server") as url:
        database = Database.connect(url)
        database.migrate()
        home = Settings(home=Path(place) / "home")
        accidents = accidents_in(home, database, Path(place))
        features = accidents.ingest(raw(8000))
        accidents.release(features)
        base = next(iter(scored(url, home.storage, features, EVERYTHING)))
        large, rows, size = enlarged(features, accidents.storage, TIMES * LIMIT_BYTES)
        found, seconds = scored(url, home.storage, large, IN_MEMORY)
        whole, _seconds = scored(url, home.storage, large, EVERYTHING)
        database.dispose()
    assert base is not None
    repeated = rows // features.dataset.rows
    equal = found is not None and found[:2] == [value * repeated for value in base[:2]]
    return {
        "rows": rows,
        "megabytes_as_a_data_frame": size // 10**6,
        "limit_megabytes": LIMIT_BYTES // 10**6,
        "rows_in_memory": IN_MEMORY,
        "seconds": round(seconds, 1),
        "resident_peak_megabytes": None if found is None else found[2] // 10**6,
        "anomalies": None if found is None else found[1],
        "goals": {
            f"{TIMES} × the limit is scored": equal,
            "the limit is too small for all rows at once": whole is None,
        },
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:5], in_memory=int(sys.argv[5]))
    else:
        # Dagster tells of every event; a run of the platform doesn't write them to a terminal.
        logging.disable(logging.INFO)
        made = report(RESULT, __doc__, measure, show_goals, rounds=1, seconds=0.0)
        sys.exit(0 if all(made["goals"].values()) else 1)
