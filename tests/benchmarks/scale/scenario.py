"""A scenario: what is asked of the platform, on what it runs, and the changes that follow; and what hosts cost.

Add a field here when the model (`model`) takes one more thing into account. Keep out what was measured (`costs`): a
field is what somebody plans or buys. The scenarios themselves are in deploy/scale.yaml. Every default of `Setup` is
what an installation has as it comes.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE = Path(__file__).resolve().parents[3] / "deploy" / "scale.yaml"


class ScenarioError(ValueError):
    """The file can't be used; the message names scenario and field."""


class Spec(BaseModel):
    """Frozen; what it doesn't know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Load(Spec):
    """What is asked. Shares are from 0 to 1, `peak` is the busiest hour's rate over the mean one."""

    predictions_per_second: float = Field(ge=0)
    peak: float = Field(default=2, ge=1)
    products: int = Field(default=1, ge=1, le=100)
    largest_share: float = Field(default=1, gt=0, le=1)
    rated_share: float = Field(default=0.05, ge=0, le=1)
    # Users that a rollout sees, and rollouts of all products in a year: each user of each is a row.
    users: float = Field(default=10_000, ge=0)
    rollouts_a_year: float = Field(default=24, ge=0)
    pipelines: int = Field(default=0, ge=0)
    runs_per_day: float = Field(default=0, ge=0)
    stages_per_run: int = Field(default=2, ge=1)
    # What the stage's own code takes.
    stage_seconds: float = Field(default=5, ge=0)
    stage_cpu_share: float = Field(default=0.8, ge=0)
    stage_memory_gb: float = Field(default=0.5, ge=0)
    # Schedules of the day's most popular minute; all runs count as scheduled ones.
    due_at_once: int = Field(default=0, ge=0)
    data_tb: float = Field(default=0, ge=0)
    largest_table_gb: float = Field(default=0.1, ge=0)
    # Sizes are those after so many days of this load.
    horizon_days: float = Field(default=365, ge=1)


class Setup(Spec):
    """On what it runs. `one_machine_cores` is 0 where parts have hosts of their own."""

    one_machine_cores: float = Field(default=2, ge=0)
    one_machine_gb: float = Field(default=8, ge=0)
    gateways: int = Field(default=1, ge=1)
    gateway_threads: int = Field(default=1, ge=1)
    gateway_limit: float = Field(default=5000, gt=0)
    gateway_cores: float = Field(default=2, gt=0)
    gateway_gb: float = Field(default=2, gt=0)
    serving_hosts: int = Field(default=1, ge=1)
    serving_cores: float = Field(default=2, gt=0)
    serving_gb: float = Field(default=8, gt=0)
    serving_disk_gb: float = Field(default=50, gt=0)
    # How many products' services a serving host has; 0: all of them.
    products_per_host: int = Field(default=0, ge=0)
    log_share: float = Field(default=1, ge=0, le=1)
    log_writers: int = Field(default=1, ge=1)
    log_days: float = Field(default=90, ge=1)
    # Whether a day's partition holds one product's rows only, so that retention drops it.
    own_partitions: bool = False
    export_parts: int = Field(default=1, ge=1)
    # Sums of resources by the day instead of from each attempt.
    daily_sums: bool = False
    # Days that Dagster's records of runs are kept (MLOPS_RUN_DAYS); 0: for ever.
    event_days: float = Field(default=400, ge=0)
    # The longest rollout (`max_days` of a product's policy).
    rollout_days: float = Field(default=14, gt=0)
    database_cores: float = Field(default=2, gt=0)
    database_connections: int = Field(default=200, ge=10)
    database_gb: float = Field(default=8, gt=0)
    database_disk_tb: float = Field(default=0.2, gt=0)
    database_write_mb: float = Field(default=100, gt=0)
    # Servers with all of it: the one that takes writes, standbys, read replicas.
    database_servers: int = Field(default=1, ge=1)
    dump_hours: float = Field(default=4, gt=0)
    # Whether backups are the database's own (base backup and write-ahead log) instead of a dump.
    continuous_backup: bool = False
    archive_days: float = Field(default=7, ge=0)
    orchestrator_cores: float = Field(default=2, gt=0)
    orchestrator_gb: float = Field(default=8, gt=0)
    run_hosts: int = Field(default=0, ge=0)
    run_host_cores: float = Field(default=8, gt=0)
    run_host_gb: float = Field(default=32, gt=0)
    pipeline_slots: int = Field(default=5, ge=1)
    product_slots: int = Field(default=5, ge=1)
    # Schedules that the daemon asks at once (`schedules:` in dagster.yaml).
    schedule_threads: int = Field(default=1, ge=1)
    # Over so many minutes the schedules of the most popular minute are spread by hand.
    spread_minutes: int = Field(default=1, ge=1)
    code_locations: int = Field(default=1, ge=1)
    # `source.max_megabytes` and `limits.dataset` of the product with the largest table.
    table_limit_gb: float = Field(default=0.512, gt=0)
    table_seconds: float = Field(default=600, gt=0)
    # Of a larger table, so much is in memory at once (`source.rows_in_memory`); without it, all.
    table_gb_in_memory: float | None = Field(default=None, gt=0)


class Step(Spec):
    """A change to the setup before it; `today` says whether it can be made without new code."""

    change: str = Field(min_length=1)
    today: bool = True
    setup: dict[str, Any] = {}


class Scenario(Spec):
    """A load, and the setups that it is put on, one after the other."""

    name: str = Field(min_length=1)
    load: Load
    steps: tuple[Step, ...] = Field(min_length=1)

    def setups(self) -> list[tuple[Step, Setup]]:
        """Every step with its whole setup. Raises ScenarioError."""
        given: dict[str, Any] = {}
        found = []
        for number, step in enumerate(self.steps, 1):
            given |= step.setup
            try:
                found.append((step, Setup.model_validate(given)))
            except ValidationError as error:
                raise ScenarioError(f"{self.name}, step {number}: {told(error)}") from None
        return found


class Prices(Spec):
    """What was assumed on a day, in `currency`; replace them by your own. Months have 730 hours."""

    as_of: date
    currency: str = Field(pattern="^[A-Z]{3}$")
    cpu_hour: float = Field(ge=0)
    gb_hour: float = Field(ge=0)
    disk_gb_month: float = Field(ge=0)
    object_gb_month: float = Field(ge=0)


class Plan(Spec):
    """The whole file."""

    prices: Prices
    scenarios: tuple[Scenario, ...] = Field(min_length=1)


def load_plan(file: Path = FILE) -> Plan:
    """Read and check. Raises ScenarioError."""
    try:
        plan = Plan.model_validate(yaml.safe_load(file.read_text()))
    except yaml.YAMLError as error:
        raise ScenarioError(f"{file.name} is no YAML: {error}") from None
    except ValidationError as error:
        raise ScenarioError(f"{file.name}: {told(error)}") from None
    for scenario in plan.scenarios:
        scenario.setups()
    return plan


def told(error: ValidationError) -> str:
    """Each fault with its field."""
    faults = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults)
