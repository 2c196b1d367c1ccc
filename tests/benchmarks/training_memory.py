"""Training on a file that is several times as large as the memory that the process is given.

`python -m tests.benchmarks.training_memory` prints the figures and writes results/training_memory.json; exit status 1
when a goal is missed. Generated accidents are written to one CSV file until its cleaned rows would take `TIMES` the
limit as a data frame. A process whose private memory the kernel limits (RLIMIT_DATA, libraries and all) then runs every
stage of the product, from the file to a gated release, on a real PostgreSQL and MLflow. Told to hold all rows, the same
process has to fail, or the limit would prove nothing. `scoring_memory` is the same for scoring.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.products import traffic_anomalies
from mlops_assets.products.samples import traffic_anomalies as sample
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.storage.io_managers import ReferenceIOManager
from mlops_assets.training.assets import product_assets
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.spec import Product
from mlops_assets.training.tracking import Tracking
from tests.benchmarks.reported import Result, report, show_goals
from tests.servers import running_mlflow, running_postgres

RESULT = Path(__file__).parent / "results" / "training_memory.json"
NAME = "traffic_anomalies"
TIMES = 5
LIMIT_BYTES = 900_000_000
IN_MEMORY = 50_000
CHUNK_ROWS = 50_000
# Without these, allocators and threads reserve more than a gigabyte of addresses that they never use, which counts too.
PLAIN_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
# Of the file as text, of its rows, and of the time that a file on this disk takes to arrive.
LARGEST = {"max_megabytes": 20_000, "max_rows": 100_000_000, "timeout_seconds": 600}


def written(path: Path, wanted: int) -> tuple[int, int]:
    """A CSV file of accidents whose cleaned rows take `wanted` bytes as a data frame; its rows and those bytes."""
    first = sample.generate(CHUNK_ROWS, seed=0)
    size = int(traffic_anomalies.clean(first).rows.memory_usage(deep=True, index=False).sum())
    chunks = -(-wanted // size)
    first.to_csv(path, index=False)
    for seed in range(1, chunks):
        sample.generate(CHUNK_ROWS, seed).to_csv(path, index=False, header=False, mode="a")
    return chunks * CHUNK_ROWS, chunks * size


def product(path: str, in_memory: int | None) -> Product:
    """The product as it is declared, with that file, and stages that may take their time."""
    declared = next(p for p in declared_products() if p.name == NAME)
    source = declared.source.model_copy(update={**LARGEST, "location": path, "rows_in_memory": in_memory})
    limits = declared.limits.model_copy(update=dict.fromkeys(type(declared.limits).model_fields, 3600))
    return declared.model_copy(update={"source": source, "limits": limits})


def child(database_url: str, mlflow_url: str, home: str, path: str, in_memory: int | None) -> None:
    """Every stage under the limit; prints what came of them, and the peak in bytes."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    settings = Settings(home=Path(home))
    storage = Storage(settings.storage)
    shared = {
        "settings": settings,
        "database": Database.connect(database_url),
        "storage": storage,
        "tracking": Tracking(mlflow_url),
        "io_manager": ReferenceIOManager(storage),
    }
    done = dg.materialize(product_assets(product(path, in_memory)), resources=shared)
    told = {
        event.asset_key.path[-1]: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in done.get_asset_materialization_events()
        if event.asset_key is not None
    }
    print(
        json.dumps(
            {
                "rows": told["features"]["dagster/row_count"],
                "rows_fitted": told["model"]["rows_fitted"],
                "gates_passed": all(check.passed for check in done.get_asset_check_evaluations()),
                "role": told["release"]["role"],
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


def trained(*given: str, in_memory: int | None) -> tuple[dict[str, Any] | None, float]:
    """What `child` printed, None if memory failed it, and its seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--child", *given, str(in_memory or "")],
        cwd=PROJECT, env=os.environ | PLAIN_MEMORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode:
        if not any(word in done.stderr for word in ("MemoryError", "alloc")):
            raise RuntimeError(done.stderr[-3000:])
        return None, seconds
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found, seconds


def measure(rounds: int, _: float) -> Result:
    """One run with few rows in memory, and one with all."""
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as place, running_postgres(Path(place) / "server") as url:
        (Path(place) / "artifacts").mkdir()
        with running_mlflow(url, Path(place) / "artifacts") as mlflow_url:
            return _measured(Path(place), url, mlflow_url)


def _measured(place: Path, url: str, mlflow_url: str) -> Result:
    database = Database.connect(url)
    database.migrate()
    database.dispose()
    file = place / "accidents.csv"
    rows, size = written(file, TIMES * LIMIT_BYTES)
    given = (url, mlflow_url, str(place / "home"), str(file))
    found, seconds = trained(*given, in_memory=IN_MEMORY)
    whole, _seconds = trained(*given, in_memory=None)
    csv_bytes = file.stat().st_size
    return {
        "rows": rows,
        "megabytes_of_text": csv_bytes // 10**6,
        "megabytes_as_a_data_frame": size // 10**6,
        "limit_megabytes": LIMIT_BYTES // 10**6,
        "rows_in_memory": IN_MEMORY,
        "rows_cleaned": None if found is None else found["rows"],
        "rows_fitted": None if found is None else found["rows_fitted"],
        "seconds": round(seconds, 1),
        "resident_peak_megabytes": None if found is None else found["peak"] // 10**6,
        "goals": {
            f"{TIMES} × the limit is trained on and released": found is not None
            and found["gates_passed"]
            and found["role"] == "production",
            "the limit is too small for all rows at once": whole is None,
        },
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:6], in_memory=int(sys.argv[6]) if sys.argv[6] else None)
    else:
        # Dagster tells of every event; a run of the platform doesn't write them to a terminal.
        logging.disable(logging.INFO)
        made = report(RESULT, __doc__, measure, show_goals, rounds=1, seconds=0.0)
        sys.exit(0 if all(made["goals"].values()) else 1)
