"""What a row of training data costs: memory to read and clean it, seconds, and bytes as kept.

Add here another cost of data at rest or in a training. Keep out costs of answers and of runs. Measured in a process of
its own over made accidents; memory is what the peak grew by from after the imports.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import tempfile
import time
from pathlib import Path

SEED = 1
Figures = dict[str, float]


def measured(rows: int) -> Figures:
    """Costs of one row, over `rows` of them."""
    from mlops_assets.products.samples import traffic_anomalies as sample

    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as name:
        file = Path(name) / "accidents.csv"
        sample.generate(rows, SEED).to_csv(file, index=False)
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            return pool.apply(_read, (file, Path(name) / "accidents.parquet"))


def _read(file: Path, kept: Path) -> Figures:
    from mlops_assets.products import traffic_anomalies
    from mlops_assets.training.data import csv_file
    from mlops_assets.training.spec import Source
    from tests.integration.scored_accidents import product

    contract, before, began = product().contract, _peak_bytes(), time.perf_counter()
    cleaned = traffic_anomalies.clean(csv_file.read_rows(file, contract, Source(), name=file.name)).rows
    seconds, peak = time.perf_counter() - began, _peak_bytes() - before
    cleaned.to_parquet(kept, compression="zstd")
    size, count = file.stat().st_size, len(cleaned)
    return {
        "rows": count,
        "csv_bytes": round(size / count, 1),
        "parquet_bytes": round(kept.stat().st_size / count, 1),
        "read_us": round(seconds / count * 1e6, 2),
        "memory_bytes": round(peak / count, 1),
        "memory_of_csv": round(peak / size, 2),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _peak_bytes() -> int:
    """Most that this program held; not what its parent held when it made it, as `getrusage` has it."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[0]) * 1024
