"""What one of each thing costs, as it was measured: read from the benchmarks' results, each figure with its place.

Add a cost here when the model needs one more measured figure. Keep out what is counted with it (`model`) and what is
decided by somebody: prices and sizes of hosts are the scenario's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"


class CostError(ValueError):
    """A figure is missing; the message names file and place."""


@dataclass(frozen=True)
class Source:
    """Where a figure is kept, what it means and its unit; `per` is what the kept figure is divided by."""

    file: str
    path: str
    unit: str
    said: str
    per: float = 1.0


SERVICE = "ways/no collector/"
# Field of `Costs` → where its value comes from.
SOURCES: dict[str, Source] = {
    "gateway_cpu_us": Source("tracing", f"{SERVICE}gateway_cpu_us", "µs", "Envoy's CPU for a prediction"),
    "service_cpu_us": Source(
        "tracing", f"{SERVICE}service_cpu_us", "µs", "a service's CPU for a prediction, with its line in the journal"
    ),
    "gateway_mb": Source("gateway", "envoy_mb", "MB", "memory of a gateway"),
    "service_mb": Source("serving", "memory_mb/BentoML, this project", "MB", "memory of a service: two per product"),
    "shipper_cpu_us": Source("unit_costs", "log/shipper_cpu_us", "µs", "the shipper's CPU for a row"),
    "postgres_cpu_us": Source("unit_costs", "log/postgres_cpu_us", "µs", "PostgreSQL's CPU for a shipped row"),
    "shipped_per_second": Source("unit_costs", "log/rows_per_second", "rows/s", "what one shipper takes"),
    "line_bytes": Source("unit_costs", "log/line_bytes", "B", "a prediction in the journal"),
    "row_bytes": Source("unit_costs", "log/table_bytes", "B", "a prediction in its table"),
    "row_index_bytes": Source("unit_costs", "log/index_bytes", "B", "a prediction in the table's indexes"),
    "row_wal_bytes": Source("unit_costs", "log/wal_bytes", "B", "write-ahead log of a shipped prediction"),
    "user_bytes": Source("unit_costs", "log/user_bytes", "B", "a user of a rollout, with index"),
    "feedback_bytes": Source("unit_costs", "log/feedback_bytes", "B", "a rating, with indexes"),
    "parquet_bytes": Source("unit_costs", "log/parquet_bytes", "B", "a prediction in its hour's Parquet file"),
    "exported_per_second": Source("unit_costs", "log/export_rows_per_second", "rows/s", "hourly export, one product"),
    "export_cpu_us": Source("unit_costs", "log/export_cpu_us", "µs", "the export's own CPU for a row"),
    "export_postgres_cpu_us": Source("unit_costs", "log/export_postgres_cpu_us", "µs", "PostgreSQL's CPU for that"),
    "deleted_per_second": Source(
        "unit_costs", "log/deleted_rows_per_second", "rows/s", "retention where products share a day"
    ),
    "drift_read_us": Source("drift_report", "read_seconds", "µs", "a logged row read for a drift report"),
    "drift_seconds": Source("drift_report", "seconds", "s", "a drift report of a day of a million rows"),
    "verdict_rating_us": Source("verdict", "seconds", "µs", "a verdict, for each rating of the rollout", 507_812 / 1e6),
    "scoring_us": Source(
        "batch_scoring", "speed/median_seconds/backfill, one run of Dagster", "µs", "a row scored by month", 0.209306
    ),
    "data_memory_of_csv": Source("unit_costs", "data/memory_of_csv", "×", "memory to read a CSV file, of its size"),
    "data_read_us": Source("unit_costs", "data/read_us", "µs", "a row of a CSV file read and cleaned"),
    "data_csv_bytes": Source("unit_costs", "data/csv_bytes", "B", "that row in the file"),
    "training_seconds": Source("house_price_model", "speed/train_seconds", "s", "a search over 7 models, 9,700 rows"),
    "run_seconds": Source("pipelines", "two_stage/ours/run/median", "s", "a run of two trivial stages, start to end"),
    "stage_seconds": Source("pipelines", "stage/stage/median", "s", "each further stage"),
    "run_cpu_seconds": Source("unit_costs", "runs/run/cpu_seconds", "s", "CPU of that run in all programs"),
    "run_postgres_cpu_seconds": Source(
        "unit_costs", "runs/run/cpu_seconds_by_program/postgres", "s", "of it PostgreSQL's"
    ),
    "stage_cpu_seconds": Source("unit_costs", "runs/stage_cpu_seconds", "s", "CPU of each further stage"),
    "run_wal_bytes": Source("unit_costs", "runs/run/wal_bytes", "B", "write-ahead log of a run of two stages"),
    "run_disk_bytes": Source("unit_costs", "runs/run/disk_bytes", "B", "its results and logs on the disk"),
    "run_events": Source("unit_costs", "runs/bytes/rows/dagster.event_logs", "rows", "its events in PostgreSQL"),
    "run_bytes": Source("unit_costs", "runs/bytes/bytes", "B", "its rows in PostgreSQL, with indexes"),
    "tick_seconds": Source(
        "unit_costs", "schedules/few/tick_seconds", "s", "the daemon for each schedule that is due, 10 pipelines"
    ),
    "tick_many_seconds": Source("unit_costs", "schedules/many/tick_seconds", "s", "the same with 1,000 pipelines"),
    "rest_connections": Source(
        "unit_costs", "runs/connections/rest", "", "connections to PostgreSQL, orchestration at rest"
    ),
    "run_connections": Source("unit_costs", "runs/connections/run", "", "more of them while a run goes"),
    "launch_seconds": Source("pipelines", "two_stage/ours/call/median", "s", "to start a run"),
    "list_runs_ms": Source("pipelines", "requests/list runs/p95", "ms", "a page of runs, 10,000 kept, p95", 1e-3),
    "usage_page_ms": Source(
        "console_pages", "pages_ms/resources, 30 days/p50", "ms", "the page of resources over 300,000 stage attempts"
    ),
    "deploy_few_seconds": Source(
        "pipelines", "deploy_few/by itself/visible/median", "s", "a deploy until Dagster shows it, beside 10 pipelines"
    ),
    "deploy_many_seconds": Source(
        "pipelines", "deploy_many/by itself/visible/median", "s", "the same beside 1,000 pipelines"
    ),
    "exporter_cores": Source("exporter_scrape", "cpu_share_of_a_core", "cores", "the exporter, 100,000 runs kept"),
    "exporter_series": Source("exporter_scrape", "series", "lines", "what it tells then"),
    "idle_cores": Source("unit_costs", "runs/few/cores", "cores", "orchestration at rest, 10 pipelines"),
    "idle_postgres_cores": Source("unit_costs", "runs/few/cores/postgres", "cores", "of it PostgreSQL's"),
    "idle_many_cores": Source("unit_costs", "runs/many/cores", "cores", "the same with 1,000 pipelines"),
    "idle_many_postgres_cores": Source("unit_costs", "runs/many/cores/postgres", "cores", "of it PostgreSQL's"),
    "orchestration_mb": Source("unit_costs", "runs/few/memory_mb", "MB", "its programs, 10 pipelines (no MLflow)"),
    "orchestration_many_mb": Source("unit_costs", "runs/many/memory_mb", "MB", "the same with 1,000 pipelines"),
    "installation_mb": Source("main_job", "idle_proportional_mb", "MB", "a whole installation at rest"),
    "saved_mb": Source("backup", "megabytes", "MB", "a backup of the predictions two lines below"),
    "saving_seconds": Source("backup", "backup_seconds", "s", "that backup"),
    "restoring_seconds": Source("backup", "restore_seconds", "s", "and its restore"),
    "saved_predictions": Source("backup", "predictions", "rows", "predictions in it"),
}
FILES = tuple(sorted({source.file for source in SOURCES.values()}))


@dataclass(frozen=True)
class Costs:
    """A measured figure each; units as in `SOURCES`."""

    gateway_cpu_us: float
    service_cpu_us: float
    gateway_mb: float
    service_mb: float
    shipper_cpu_us: float
    postgres_cpu_us: float
    shipped_per_second: float
    line_bytes: float
    row_bytes: float
    row_index_bytes: float
    row_wal_bytes: float
    user_bytes: float
    feedback_bytes: float
    parquet_bytes: float
    exported_per_second: float
    export_cpu_us: float
    export_postgres_cpu_us: float
    deleted_per_second: float
    drift_read_us: float
    drift_seconds: float
    verdict_rating_us: float
    scoring_us: float
    data_memory_of_csv: float
    data_read_us: float
    data_csv_bytes: float
    training_seconds: float
    run_seconds: float
    stage_seconds: float
    run_cpu_seconds: float
    run_postgres_cpu_seconds: float
    stage_cpu_seconds: float
    run_wal_bytes: float
    run_disk_bytes: float
    run_events: float
    run_bytes: float
    tick_seconds: float
    tick_many_seconds: float
    rest_connections: float
    run_connections: float
    launch_seconds: float
    list_runs_ms: float
    usage_page_ms: float
    deploy_few_seconds: float
    deploy_many_seconds: float
    exporter_cores: float
    exporter_series: float
    idle_cores: float
    idle_postgres_cores: float
    idle_many_cores: float
    idle_many_postgres_cores: float
    orchestration_mb: float
    orchestration_many_mb: float
    installation_mb: float
    saved_mb: float
    saving_seconds: float
    restoring_seconds: float
    saved_predictions: float


def read(folder: Path = RESULTS) -> Costs:
    """Every figure. Raises CostError."""
    kept = {file: json.loads((folder / f"{file}.json").read_text()) for file in FILES if _there(folder, file)}
    return Costs(**{field.name: _value(kept, SOURCES[field.name]) for field in fields(Costs)})


def _there(folder: Path, file: str) -> bool:
    if not (folder / f"{file}.json").exists():
        raise CostError(f"{file}.json is missing: run `python -m tests.benchmarks.{file}`")
    return True


def loads(folder: Path = RESULTS) -> dict[str, float | None]:
    """The machine's load while each result was measured (2: as busy as its two cores), by file or part of it."""
    found: dict[str, float | None] = {}
    for file in FILES:
        kept = json.loads((folder / f"{file}.json").read_text())
        parts = {name: part for name, part in kept.items() if isinstance(part, dict) and "load_average" in part}
        found |= {f"{file}, {name}": _first(part["load_average"]) for name, part in parts.items()}
        if not parts:
            found[file] = _first(kept.get("load_average"))
    return found


def _first(load: float | list[float] | None) -> float | None:
    """Some results keep it at the start and at the end."""
    return load[0] if isinstance(load, list) else load


def at(kept: dict[str, Any], path: str, file: str) -> Any:
    """What lies at a path. Raises CostError."""
    found: Any = kept
    for name in path.split("/"):
        if not isinstance(found, dict) or name not in found:
            raise CostError(f"{file}.json has no {path}: run `python -m tests.benchmarks.{file}`")
        found = found[name]
    return found


def _value(kept: dict[str, Any], source: Source) -> float:
    found = at(kept[source.file], source.path, source.file)
    # Of a table of parts the sum counts.
    total = sum(found.values()) if isinstance(found, dict) else found
    return float(total) / source.per
