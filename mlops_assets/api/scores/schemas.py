"""What the score routes give: products at a glance, their months, one month with its lowest scores.

Add a field here when a page or a script needs to know it. Keep out where it is read (`records`, `batch.store`) and how
it is told (`views`). A month is a text such as "2023-07"; times of records are local, without a zone; rates are 0 to 1;
a score below 0 is an anomaly.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from mlops_assets.batch.store import Mode


class MonthView(BaseModel):
    """One scored month. `rate` and the scores are null without records; `low_score`: 1 % of the records score lower.

    `release` is null when a forest of its own scored it, as in compatibility. `in_training`: the model that scored the
    month was trained on it.
    """

    month: str
    records: int
    anomalies: int
    rate: float | None
    release: int | None
    in_training: bool
    data_version: int
    min_score: float | None
    max_score: float | None
    mean_score: float | None
    low_score: float | None
    scored_at: datetime
    run_id: str | None
    run_url: str | None


class ProductScores(BaseModel):
    """One product: its newest month, and how many there are of that mode. `report` is the path of its page."""

    product: str
    mode: Mode
    months: int
    newest: MonthView
    report: str


class Scores(BaseModel):
    """Every product that has scored months."""

    products: list[ProductScores]


class Months(BaseModel):
    """A product's months of one mode, oldest first."""

    product: str
    mode: Mode
    months: list[MonthView]


class RecordView(BaseModel):
    """One of the lowest scores of a month, `place` 1 the lowest; `record` has the data set's own columns."""

    place: int
    at: datetime
    score: float
    reasons: list[str]
    record: dict[str, Any]


class MonthDetail(MonthView):
    """A month as a page of its own would show it.

    `groups`: column → value → [records, anomalies]; `hours`: "records" and "anomalies", each 7 weekdays, Monday first,
    of 24 counts. `records_csv` is the path of all its records.
    """

    product: str
    mode: Mode
    groups: dict[str, dict[str, list[int]]]
    hours: dict[str, list[list[int]]]
    lowest: list[RecordView]
    records_csv: str
