"""From when on something about the platform is an issue: the thresholds of the health report, as YAML declares them.

Add a field here when people should be able to choose it in `defs/platform/defs.yaml`. Keep out the rules that use them
(`judge`, `rules`). Without the document, the defaults hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

COMPONENT = "mlops_assets.observability.health.component.HealthComponent"
DEFS = Path(__file__).resolve().parents[2] / "defs"

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class PolicyError(ValueError):
    """The declared thresholds can't be used; the message names the file and each field."""


class HealthPolicy(BaseModel):
    """Frozen; a typo is an error. What is over a limit is an issue; of a time, what has reached it.

    Runs are those of the last `hours`. Their failure rate counts from `least_ended_runs` on: fewer say nothing. A
    heartbeat counts as silent from `heartbeat_seconds`, and a program that was started less than `start_seconds` ago
    as starting. `queue_seconds` is how long a run may wait, `overdue_seconds` how long it may go beyond its time
    limit, `schedule_seconds` how late a tick may be. `least_free_disk` and `critical_free_disk` are shares of the
    disk, `connections_share` of the database's connections. An issue is over when `well_reports` reports in a row
    don't have it. Reports are kept for `keep_days`, and one older than `report_seconds` is late.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    hours: int = Field(default=24, ge=1, le=168)
    max_failure_rate: Share = 0.2
    least_ended_runs: int = Field(default=5, ge=1, le=1_000_000)
    max_failures: Count = 10
    stage_failures_warning: Count = 3
    failures_in_a_row: int = Field(default=3, ge=1, le=1000)
    heartbeat_seconds: Seconds = 60
    start_seconds: Seconds = 120
    queue_seconds: Seconds = 1800
    overdue_seconds: Seconds = 60
    schedule_seconds: Seconds = 300
    least_free_disk: Share = 0.1
    critical_free_disk: Share = 0.05
    database_seconds: Seconds = 1
    connections_share: Share = 0.9
    transaction_seconds: Seconds = 3600
    clock_seconds: Seconds = 5
    log_seconds: Seconds = 120
    well_reports: int = Field(default=2, ge=1, le=24)
    report_seconds: Seconds = 7200
    keep_days: int = Field(default=400, ge=1, le=36_500)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.critical_free_disk > self.least_free_disk:
            raise ValueError(
                f"critical_free_disk ({self.critical_free_disk:g}) must not be more than "
                f"least_free_disk ({self.least_free_disk:g})"
            )
        return self


def declared_policy(defs: Path = DEFS) -> HealthPolicy:
    """The policy that is declared below `defs`, for parts that must not load Dagster. Raises PolicyError."""
    found = [(path, document) for path in sorted(defs.rglob("defs.yaml")) for document in _documents(path)]
    if not found:
        return HealthPolicy()
    if len(found) > 1:
        raise PolicyError(f"{found[1][0]}: the platform's health is declared twice")
    path, document = found[0]
    try:
        return HealthPolicy.model_validate(document.get("attributes") or {})
    except ValidationError as error:
        lines = [_line(one["loc"], one["msg"]) for one in error.errors(include_url=False)]
        raise PolicyError(f"{path}: {'; '.join(lines)}") from None


def _documents(path: Path) -> list[dict[str, Any]]:
    try:
        documents = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if isinstance(d, dict)]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PolicyError(f"{path}: {' '.join(str(error).split())}") from error
    return [document for document in documents if document.get("type") == COMPONENT]


def _line(place: tuple[int | str, ...], said: str) -> str:
    words = said.removeprefix("Value error, ")
    return f"{'.'.join(map(str, place))}: {words}" if place else words
