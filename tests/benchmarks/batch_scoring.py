"""Scoring by month against one pass over all rows, and the reference's figures in compatibility mode.

`python -m tests.benchmarks.batch_scoring [--real FOLDER]` (or MLOPS_REAL_DATA; without it generated sample rows) prints
a table and writes results/batch_scoring.json; exit status 1 when a goal is missed. Every round runs all contenders
after each other in one process, on a PostgreSQL of its own; medians over the rounds count.

The single pass loads the features and the release, scores all rows and writes one Parquet file. A backfill also counts
by month, explains each month's lowest scores, and keeps a file and rows for each month, in one run of Dagster.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from mlops_assets.batch import compatibility, files, scorer, scoring, store
from mlops_assets.batch.months import between
from mlops_assets.batch.policy import BatchPolicy, Compatibility
from mlops_assets.products import traffic_anomalies
from mlops_assets.products.samples import traffic_anomalies as sample
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.training import feature_set
from mlops_assets.training.records import FeatureSet
from mlops_assets.training.spec import Detector
from tests.integration.scored_accidents import NAME, Accidents, accidents_in
from tests.servers import running_postgres

FILE = "traffic_accidents.csv.gz"
RESULT = Path(__file__).parent / "results" / "batch_scoring.json"
SAMPLE_ROWS, SAMPLE_SEED = 209_306, 42
REFERENCE = {"anomalies": 203, "lowest": -0.0568, "highest": 0.1639, "mean": 0.1105}
TREES = Detector.model_fields["trees"].default
MODE = Compatibility(numeric=traffic_anomalies.NUMERIC, categorical=traffic_anomalies.CATEGORICAL)
POLICY = BatchPolicy(product=NAME, first_month="2013-01", compatibility=MODE)


def single(accidents: Accidents, features: FeatureSet) -> int:
    """One pass: load, score all, write one file; anomalies."""
    release = scorer.production(accidents.product, accidents.database, accidents.storage)
    table = feature_set.read(accidents.product, features, accidents.storage)
    score = release.model.score(feature_set.model_columns(table))
    whole = files.table_of(feature_set.own_columns(table), score)
    files.write(accidents.storage, NAME, ("single",), "all", whole)
    return int((score < 0).sum())


def by_month(accidents: Accidents, features: FeatureSet, months: tuple[str, ...]) -> int:
    """Every month as a backfill keeps it, without Dagster; anomalies."""
    run = (accidents.product, accidents.policy, features, months, accidents.database, accidents.storage, "bench")
    return sum(month.figures.anomalies for month in scoring.score_months(*run))


def backfill(accidents: Accidents, months: tuple[str, ...]) -> int:
    """The same in one run of Dagster, its creation with an event for each month included; anomalies."""
    assert accidents.score(months[0], months[-1]).success
    return sum(month.anomalies for month in store.overview(accidents.database, NAME))


def speed(accidents: Accidents, features: FeatureSet, rounds: int) -> dict[str, Any]:
    """Seconds of each contender (medians and all rounds), and what a backfill is of the single pass."""
    present = sorted(scoring.month_facts(accidents.product, features, accidents.storage))
    months = between(present[0], present[-1])
    contenders: dict[str, Callable[[], int]] = {
        "single pass": lambda: single(accidents, features),
        "by month, without Dagster": lambda: by_month(accidents, features, months),
        "backfill, one run of Dagster": lambda: backfill(accidents, months),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    found = set()
    for _ in range(rounds + 1):
        for name, call in contenders.items():
            started = time.perf_counter()
            found.add(call())
            seconds[name].append(time.perf_counter() - started)
    if len(found) != 1:
        raise RuntimeError(f"the contenders disagree on how many anomalies there are: {sorted(found)}")
    # The first round warms up.
    median = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    one = median["single pass"]
    return {
        "months": len(months),
        "months_with_records": len(present),
        "trees": TREES,
        "anomalies": found.pop(),
        "median_seconds": {name: round(value, 3) for name, value in median.items()},
        "of_single_pass": {name: round(value / one, 3) for name, value in median.items()},
        "each_round": {name: [round(value, 3) for value in values[1:]] for name, values in seconds.items()},
    }


def compatible(accidents: Accidents, features: FeatureSet) -> dict[str, float]:
    """The compatibility mode's figures, as the reference tells them."""
    rows = feature_set.own_columns(feature_set.read(accidents.product, features, accidents.storage))
    fitted = compatibility.fit(accidents.product, MODE, rows)
    score = scoring.score(accidents.product, fitted, rows, rows).score
    found = {"lowest": score.min(), "highest": score.max(), "mean": score.mean()}
    return {"anomalies": int((score < 0).sum()), **{name: round(float(value), 4) for name, value in found.items()}}


def measure(folder: Path | None, rounds: int) -> dict[str, Any]:
    """Everything that the result file holds."""
    raw = sample.generate(SAMPLE_ROWS, SAMPLE_SEED) if folder is None else pd.read_csv(folder / FILE, dtype=str)
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as place, running_postgres(Path(place) / "server") as url:
        database = Database.connect(url)
        database.migrate()
        accidents = accidents_in(Settings(home=Path(place) / "home"), database, Path(place))
        accidents.policy = POLICY
        features = accidents.ingest(raw)
        accidents.release(features, until=features.trained_until or "", trees=TREES)
        result: dict[str, Any] = {
            "rows": len(raw),
            "real": folder is not None,
            "compatibility": compatible(accidents, features),
            "speed": speed(accidents, features, rounds),
            "rounds": rounds,
        }
        database.dispose()
    goals = {"backfill ≤ 2 × the single pass": result["speed"]["of_single_pass"]["backfill, one run of Dagster"] <= 2}
    if folder is not None:
        told = "compatibility: 203 anomalies, -0.0568 … 0.1639, mean 0.1105"
        goals[told] = result["compatibility"] == REFERENCE
    return result | {"goals": goals}


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    console, quick = Console(width=120), result["speed"]
    source = "real rows" if result["real"] else "SAMPLE ROWS, not real"
    table = Table(
        "what",
        "seconds",
        "× single pass",
        title=f"{result['rows']:,} {source}, {quick['months']} months, {TREES} trees",
    )
    for name, value in quick["median_seconds"].items():
        table.add_row(name, f"{value:.2f}", f"{quick['of_single_pass'][name]:.2f}")
    console.print(table, result["compatibility"])
    for goal, met in result["goals"].items():
        console.print(f"{goal}: {'met' if met else '[red]missed[/red]'}")


def main() -> bool:
    """Measure, print, write the result; whether every goal is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", default=os.environ.get("MLOPS_REAL_DATA"), help="folder of the real data")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    # Dagster tells of every event; a run of the platform doesn't write them to a terminal.
    logging.disable(logging.INFO)
    result = measure(None if given.real is None else Path(given.real), given.rounds)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    show(result)
    return all(result["goals"].values())


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
