"""What the drift routes give: products at a glance, the heat map of column and day, a day's whole verdict.

Add a field here when the page or a script needs to know it. Keep out where it is read (`records`) and how it is told
(`views`). Days are UTC; shares are 0 to 1; a strength is an effect divided by the least that counts, 0 where it isn't
significant.
"""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel

from mlops_assets.drift.facts import Distance, Kind, Role, Verdict
from mlops_assets.drift.policy import DriftPolicy


class DayView(BaseModel):
    """One day that was compared; `drifted` names its columns, the strongest first."""

    day: date
    status: str
    strength: float
    drifted: list[str]
    release: int
    rows: int
    has_report: bool
    computed_at: datetime


class BlockView(BaseModel):
    """A block of promotions in the ledger, or its lifting."""

    seq: int
    at: datetime
    blocked: bool
    reason: str
    actor: str


class ProductDrift(BaseModel):
    """One product at a glance. `days` are its newest ones, oldest first; `upcoming` says what follows from them."""

    product: str
    title: str
    newest: DayView | None
    days: list[DayView]
    block: str | None
    upcoming: list[str]


class Drifts(BaseModel):
    """Every product that is served."""

    products: list[ProductDrift]


class CellView(BaseModel):
    """One column on one day; `said` is its verdict in a sentence."""

    day: date
    status: str
    strength: float
    effect: float | None
    p_value: float | None
    said: str


class ColumnView(BaseModel):
    """One row of the heat map; `limit` is the least effect that counts, as on the newest day."""

    name: str
    kind: Kind
    role: Role
    distance: Distance
    limit: float
    cells: list[CellView]


class DriftDetail(ProductDrift):
    """A product as its page shows it: the days from `first` to `last`, and all its blocks, newest first.

    `earlier` and `later` are what to ask for as `until` to see the days before and after these; None: there are none.
    """

    first: date | None
    last: date | None
    earlier: date | None
    later: date | None
    columns: list[ColumnView]
    blocks: list[BlockView]
    policy: DriftPolicy


class VerdictView(BaseModel):
    """Everything that is known of one day.

    `report` is the path of the full report, None when it is gone or was never made: `report_note` says which.
    """

    product: str
    title: str
    strength: float
    drifted: list[str]
    verdict: Verdict
    candidate_release: int | None
    candidate_status: str | None
    report: str | None
    report_note: str
    run_id: str | None
    run_url: str | None
    computed_at: datetime
