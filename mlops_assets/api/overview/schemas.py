"""What the overview routes give: products by their parts, and the platform's runs, pipelines and health.

Add a field here when the page or a script needs to know it. Keep out where it is read (`reads`) and how it is judged
(`judging`). Times are UTC.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel


class State(StrEnum):
    """How a part is; one line of meaning each, from best to worst."""

    GOOD = "good"  # as it should be
    NONE = "none"  # nothing to say yet
    BUSY = "busy"  # something is going on
    WARN = "warn"  # look at it today
    BAD = "bad"  # users or data suffer now


PartName = Literal["data", "training", "serving", "rollout", "drift", "scores"]


class Part(BaseModel):
    """One part of a product: `said` is its state in words, `at` since when or of when, `page` where more is told."""

    name: PartName
    state: State
    said: str
    at: datetime | None = None
    page: str | None = None


class ProductView(BaseModel):
    """A product at a glance; `state` is that of its worst part."""

    product: str
    title: str
    owner: str
    task: str
    served: bool
    state: State
    parts: list[Part]


class CheckView(BaseModel):
    """The newest result of an asset check; None while it has none."""

    name: str
    passed: bool | None
    blocking: bool
    at: datetime | None


class AssetView(BaseModel):
    """One asset: when it was last materialized, by which run, and its checks. `fresh` by its own freshness policy."""

    key: str
    made_at: datetime | None
    run_id: str | None
    run_url: str | None
    fresh: bool | None
    url: str
    checks: list[CheckView]


class RunView(BaseModel):
    """A run of one of the product's jobs."""

    run_id: str
    job: str
    status: str
    created_at: datetime
    seconds: float | None
    url: str


class ProductDetail(ProductView):
    """A product with its assets in the order of their first materialization, and the newest runs of its jobs."""

    assets: list[AssetView]
    runs: list[RunView]
    dagster_url: str
    mlflow_url: str


class Products(BaseModel):
    """Every declared product."""

    products: list[ProductView]


class RunsView(BaseModel):
    """Runs that ended in the last `hours`, and those that haven't."""

    hours: int
    succeeded: int
    failed: int
    canceled: int
    running: int
    queued: int


class PipelinesView(BaseModel):
    """Declared pipelines. `broken`: deployed, and the newest version doesn't load."""

    draft: int
    deployed: int
    paused: int
    broken: int


class ReportedView(BaseModel):
    """The newest hourly health report in short."""

    status: Literal["healthy", "degraded"]
    made_at: datetime
    issues: list[str]


class Overview(BaseModel):
    """Everything at a glance."""

    state: State
    runs: RunsView
    pipelines: PipelinesView
    health: ReportedView | None
    products: list[ProductView]
