"""How far each resource is used under a load, and which is used up first.

Add a resource here: what is asked of it and where it ends. Keep out measured figures (`costs`), queues (`queueing`) and
money (`money`). All of it is arithmetic on means; the request path is counted in the busiest hour, what waits without
harm (journal, export, runs) by the mean. A limit is where work is refused, fails or falls behind for ever; a goal is
where people wait longer than the platform promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.scale.costs import Costs
from tests.benchmarks.scale.scenario import Load, Setup

MICRO, MEGA, TERA = 1e-6, 1e6, 1e12
DAY = 86_400.0
# Ends that the code has, each with its place.
EXPORT_SECONDS = 900.0  # prediction_log/component.py: a product's hour
DELETE_SECONDS = 600.0  # prediction_log/retention.py: one statement
DRIFT_SECONDS = 1500.0  # drift/assets.py
STATEMENT_SECONDS = 30.0  # storage/database.py: a statement of a verdict or of a page
TICK_SECONDS = 60.0  # Dagster looks at schedules once a minute
# Goals of the benchmarks named in `costs`.
DEPLOY_GOAL_SECONDS = 2.0
# Pipelines that the exporter tells of one by one.
TOLD_PIPELINES = 400.0
USAGE_ROWS = 300_000.0
DRIFT_ROWS = 1e6
FEW, MANY = 10.0, 1000.0
JOURNAL_HOURS = 1.0
ARTIFACT_DAYS = 90.0
# A verdict's table of ratings is joined by user; a rating is two rows' work for the shipper.
RATING_ROWS = 2.0
Kind = Literal["limit", "goal"]


@dataclass(frozen=True)
class Resource:
    """`used` of `capacity`, in `unit`."""

    name: str
    used: float
    capacity: float
    unit: str
    kind: Kind = "limit"

    @property
    def share(self) -> float:
        """1 where it ends."""
        return self.used / self.capacity


@dataclass(frozen=True)
class Sizes:
    """Bytes after the load's horizon: in PostgreSQL, by what they are of, and in storage."""

    predictions: float
    feedback: float
    users: float
    runs: float
    parquet: float
    data: float
    artifacts: float
    archive: float

    @property
    def database(self) -> float:
        return self.predictions + self.feedback + self.users + self.runs

    @property
    def storage(self) -> float:
        return self.parquet + self.data + self.artifacts + self.archive


def resources(costs: Costs, load: Load, setup: Setup) -> list[Resource]:
    """Every resource, the one that is used most first; limits before goals that are used as much."""
    found = [*serving(costs, load, setup), *log(costs, load, setup), *orchestration(costs, load, setup)]
    found += [*database(costs, load, setup), *data(costs, load, setup), *machines(costs, load, setup)]
    return sorted(found, key=lambda resource: (-resource.share, resource.kind == "goal"))


def first(found: list[Resource], kind: Kind = "limit") -> Resource:
    """The one of a kind that is used most."""
    return next(resource for resource in found if resource.kind == kind)


def sizes(costs: Costs, load: Load, setup: Setup) -> Sizes:
    """Bytes that are kept."""
    logged = load.predictions_per_second * setup.log_share * DAY
    kept = min(setup.log_days, load.horizon_days)
    event_days = min(setup.event_days or load.horizon_days, load.horizon_days)
    users = load.users * load.rollouts_a_year * load.horizon_days / 365
    return Sizes(
        predictions=logged * kept * (costs.row_bytes + costs.row_index_bytes),
        feedback=logged * kept * load.rated_share * costs.feedback_bytes,
        users=users * costs.user_bytes,
        runs=load.runs_per_day * event_days * costs.run_bytes * _of_two(load),
        parquet=logged * load.horizon_days * costs.parquet_bytes,
        data=load.data_tb * TERA,
        artifacts=load.runs_per_day * min(ARTIFACT_DAYS, load.horizon_days) * costs.run_disk_bytes * _of_two(load),
        # Archived as it is written; it shrinks to a third where it is compressed.
        archive=written_bytes(costs, load, setup) * DAY * setup.archive_days * setup.continuous_backup,
    )


def serving(costs: Costs, load: Load, setup: Setup) -> Iterator[Resource]:
    """From the gateway to the journal."""
    peak, hosts = load.predictions_per_second * load.peak, setup.serving_hosts
    share = _share_of_products(load, setup)
    yield Resource("gateway: requests it lets through", peak, setup.gateways * setup.gateway_limit, "requests/s")
    threads = setup.gateways * setup.gateway_threads
    yield Resource("gateway: its threads", peak * costs.gateway_cpu_us * MICRO, threads, "cores")
    used = peak * load.largest_share * costs.service_cpu_us * MICRO
    # Only so many hosts have the largest product.
    yield Resource("serving: the largest product's workers", used, max(1.0, hosts * share), "cores")
    if not setup.one_machine_cores:
        used = peak * costs.service_cpu_us * MICRO + _logged(load, setup) * costs.shipper_cpu_us * MICRO
        yield Resource("serving: cores", used, hosts * setup.serving_cores, "cores")
        used = 2 * load.products * share * costs.service_mb / 1000
        yield Resource("serving: memory of a host", used, setup.serving_gb, "GB")
    waits = _logged(load, setup) * JOURNAL_HOURS * 3600 * costs.line_bytes / 1e9 / hosts
    yield Resource("serving: disk for an hour without database", waits, setup.serving_disk_gb, "GB")


def log(costs: Costs, load: Load, setup: Setup) -> Iterator[Resource]:
    """What becomes of a logged answer."""
    rows = _logged(load, setup)
    work = rows * (1 + RATING_ROWS * load.rated_share)
    yield Resource("log: rows shipped", work, setup.log_writers * costs.shipped_per_second, "rows/s")
    hour = rows * load.largest_share * 3600
    seconds = hour / costs.exported_per_second
    yield Resource("log: export of the largest product's hour", seconds / setup.export_parts, EXPORT_SECONDS, "s")
    # Each second of answers takes so many seconds to export.
    slots = rows / costs.exported_per_second
    yield Resource("log: slots of exports", slots, setup.product_slots, "slots")
    if load.products > 1 and not setup.own_partitions:
        # The last product of a day finds no other's rows and drops the partition; the others delete theirs.
        delete = hour * 24 / costs.deleted_per_second
        yield Resource("log: a day of the largest product deleted", delete, DELETE_SECONDS, "s")
    drift = costs.drift_seconds + (hour * 24 - DRIFT_ROWS) * costs.drift_read_us * MICRO
    yield Resource("drift: report of the largest product's day", max(costs.drift_seconds, drift), DRIFT_SECONDS, "s")
    ratings = hour * 24 * setup.rollout_days * load.rated_share
    yield Resource("rollout: a verdict", ratings * costs.verdict_rating_us * MICRO, STATEMENT_SECONDS, "s")


def orchestration(costs: Costs, load: Load, setup: Setup) -> Iterator[Resource]:
    """Runs, schedules, pages."""
    rate = load.runs_per_day / DAY
    yield Resource("runs: slots of pipelines", rate * run_seconds(costs, load), setup.pipeline_slots, "slots")
    yield Resource("runs: started one after the other", rate * costs.launch_seconds, 1, "s/s")
    tick = tick_seconds(costs, load) / setup.schedule_threads
    yield Resource("daemon: schedules, one after the other", rate * tick, 1, "s/s")
    due = load.due_at_once / setup.spread_minutes * tick
    yield Resource("daemon: the most popular minute", due, TICK_SECONDS, "s", "goal")
    if not setup.one_machine_cores:
        used = orchestrator_cores(costs, load)
        have = setup.orchestrator_cores + setup.run_hosts * setup.run_host_cores
        yield Resource("orchestrator: cores", used, have, "cores")
        have = setup.orchestrator_gb + setup.run_hosts * setup.run_host_gb
        yield Resource("orchestrator: memory", orchestrator_gb(costs, load, setup), have, "GB")
    deploy = _linear(load.pipelines / setup.code_locations, costs.deploy_few_seconds, costs.deploy_many_seconds)
    yield Resource("deploy: until Dagster shows it", deploy, DEPLOY_GOAL_SECONDS, "s", "goal")
    # Sums by the day have a row for each stage of each pipeline instead of one for each attempt.
    rows = (
        30 * load.stages_per_run * (min(load.pipelines, load.runs_per_day) if setup.daily_sums else load.runs_per_day)
    )
    page = costs.usage_page_ms / 1000 * rows / USAGE_ROWS
    yield Resource("console: resources of 30 days", page, STATEMENT_SECONDS, "s")
    yield Resource("console: resources of 30 days at once", page, 0.3, "s", "goal")
    yield Resource("exporter: pipelines by name", load.pipelines, TOLD_PIPELINES, "pipelines", "goal")


def database(costs: Costs, load: Load, setup: Setup) -> Iterator[Resource]:
    """PostgreSQL: the one server that takes writes."""
    if not setup.one_machine_cores:
        yield Resource("database: cores", database_cores(costs, load, setup), setup.database_cores, "cores")
    written = written_bytes(costs, load, setup)
    yield Resource("database: write-ahead log", written / MEGA, setup.database_write_mb, "MB/s")
    yield Resource("database: connections", connections(costs, load, setup), setup.database_connections, "connections")
    size = sizes(costs, load, setup).database
    yield Resource("database: disk", size / TERA, setup.database_disk_tb, "TB")
    if not setup.continuous_backup:
        # A byte of whatever table takes as long as one of the predictions.
        rows = size / (costs.row_bytes + costs.row_index_bytes)
        hours = rows * costs.saving_seconds / costs.saved_predictions / 3600
        yield Resource("backup: a dump", hours, setup.dump_hours, "h")


def data(costs: Costs, load: Load, setup: Setup) -> Iterator[Resource]:
    """Training data: one product's table is read by one process, whole or in pieces."""
    yield Resource("training: size of a table", load.largest_table_gb, setup.table_limit_gb, "GB")
    rows = load.largest_table_gb * 1e9 / costs.data_csv_bytes
    yield Resource("training: time to read a table", rows * costs.data_read_us * MICRO, setup.table_seconds, "s")
    have = setup.one_machine_gb if setup.one_machine_cores else max(setup.orchestrator_gb, _run_host_gb(setup))
    held = min(load.largest_table_gb, setup.table_gb_in_memory or load.largest_table_gb)
    need = held * costs.data_memory_of_csv
    yield Resource("training: memory for a table", need, have, "GB")


def machines(costs: Costs, load: Load, setup: Setup) -> Iterator[Resource]:
    """All parts on one machine share its cores and memory."""
    if not setup.one_machine_cores:
        return
    peak = load.predictions_per_second * load.peak
    path = peak * (costs.gateway_cpu_us + costs.service_cpu_us) * MICRO
    path += _logged(load, setup) * costs.shipper_cpu_us * MICRO
    used = path + database_cores(costs, load, setup) + orchestrator_cores(costs, load)
    yield Resource("machine: cores", used, setup.one_machine_cores, "cores")
    more = 2 * max(0, load.products - 2) * costs.service_mb / 1000
    used = costs.installation_mb / 1000 + more + setup.pipeline_slots * load.stage_memory_gb * bool(load.runs_per_day)
    yield Resource("machine: memory", used, setup.one_machine_gb, "GB")


def run_seconds(costs: Costs, load: Load) -> float:
    """A run from its start to its end, on a machine that isn't busy."""
    overhead = costs.run_seconds + (load.stages_per_run - 2) * costs.stage_seconds
    return overhead + load.stages_per_run * load.stage_seconds


def tick_seconds(costs: Costs, load: Load) -> float:
    """What the daemon takes for one schedule that is due: to ask for its run, to order and to start it."""
    return _linear(load.pipelines, costs.tick_seconds, costs.tick_many_seconds)


def orchestrator_cores(costs: Costs, load: Load) -> float:
    """Cores of orchestration and of the runs themselves, without PostgreSQL's."""
    rest = _linear(load.pipelines, costs.idle_cores, costs.idle_many_cores) - _idle_postgres(costs, load)
    overhead = costs.run_cpu_seconds - costs.run_postgres_cpu_seconds
    overhead += (load.stages_per_run - 2) * costs.stage_cpu_seconds
    work = load.stages_per_run * load.stage_seconds * load.stage_cpu_share
    return rest + costs.exporter_cores + load.runs_per_day / DAY * (overhead + work)


def orchestrator_gb(costs: Costs, load: Load, setup: Setup) -> float:
    """Memory of its programs and of what runs at once."""
    programs = _linear(load.pipelines, costs.orchestration_mb, costs.orchestration_many_mb) / 1000
    return programs + min(setup.pipeline_slots, load.runs_per_day) * load.stage_memory_gb


def database_cores(costs: Costs, load: Load, setup: Setup) -> float:
    """Cores of PostgreSQL for the log, its export, runs, and orchestration at rest."""
    row = costs.postgres_cpu_us * (1 + RATING_ROWS * load.rated_share) + costs.export_postgres_cpu_us
    runs = load.runs_per_day / DAY * costs.run_postgres_cpu_seconds * _of_two(load)
    return _logged(load, setup) * row * MICRO + runs + _idle_postgres(costs, load)


def _idle_postgres(costs: Costs, load: Load) -> float:
    """What orchestration asks of it without a run."""
    return _linear(load.pipelines, costs.idle_postgres_cores, costs.idle_many_postgres_cores)


def written_bytes(costs: Costs, load: Load, setup: Setup) -> float:
    """Bytes of write-ahead log a second."""
    runs = load.runs_per_day / DAY * costs.run_wal_bytes * _of_two(load)
    return _logged(load, setup) * costs.row_wal_bytes + runs


def connections(costs: Costs, load: Load, setup: Setup) -> float:
    """Each service follows the ledger over one of its own; each host has a shipper, a gateway's also follows it."""
    services = 2 * load.products * _share_of_products(load, setup)
    runs = min(setup.pipeline_slots + setup.product_slots, load.runs_per_day)
    return (
        setup.serving_hosts * (services + 1)
        + 2 * setup.gateways
        + costs.rest_connections
        + runs * costs.run_connections
    )


def _share_of_products(load: Load, setup: Setup) -> float:
    """Of all products, those whose services are on one serving host."""
    return setup.products_per_host / load.products if 0 < setup.products_per_host < load.products else 1.0


def _logged(load: Load, setup: Setup) -> float:
    return load.predictions_per_second * setup.log_share


def _of_two(load: Load) -> float:
    """What was measured is a run of two stages; what it leaves grows with the stages, beside a part that doesn't."""
    return (1 + load.stages_per_run) / 3


def _linear(pipelines: float, few: float, many: float) -> float:
    """Between what was measured with few and with many pipelines, and beyond.

    Nothing gets cheaper by more of them: what was measured so is the same at both, as exactly as it can be measured.
    """
    return few + max(0.0, many - few) * (pipelines - FEW) / (MANY - FEW) if pipelines > FEW else few


def _run_host_gb(setup: Setup) -> float:
    return setup.run_host_gb if setup.run_hosts else 0.0
