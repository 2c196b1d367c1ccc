"""Scores for people: tables and sentences, as Dagster's metadata shows them and a console could print them.

Values come from files: every cell is escaped. Keep out charts, pages and summaries of all records (`anomaly_report`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from mlops_assets.anomaly_report.summary import dated, escaped, percent
from mlops_assets.batch.compared import Comparison

PREVIEW = 10


class Low(Protocol):
    """One of the lowest scores, kept or to keep."""

    @property
    def at(self) -> datetime:
        """When it was, local time."""

    @property
    def score(self) -> float:
        """Its score."""

    @property
    def reasons(self) -> Sequence[str]:
        """Why, the strongest first."""


def lowest_table(records: Iterable[Low], most: int = PREVIEW) -> str:
    """The lowest scores with their reasons as a Markdown table."""
    rows = [
        f"| {dated(one.at)} | {one.score:.4f} | {escaped('; '.join(one.reasons))} |" for one in list(records)[:most]
    ]
    return "\n".join(["| when | score | why |", "|---|---:|---|", *rows]) if rows else "No records."


def figures(records: int, anomalies: int, scores: Mapping[str, float | None]) -> dict[str, float | int]:
    """What a month or all of them are told by; `scores` without a value are left out."""
    found: dict[str, float | int] = {"dagster/row_count": records, "records": records, "anomalies": anomalies}
    if records:
        found["rate"] = round(anomalies / records, 5)
    return found | {name: round(value, 4) for name, value in scores.items() if value is not None}


def comparison_table(found: Comparison) -> str:
    """Two ways of scoring the same records as a Markdown table."""
    ranks = "–" if found.spearman is None else f"{found.spearman:.3f}"
    rows = {
        "records that both scored": f"{found.records:,}",
        "flagged by both": f"{found.both:,}",
        "flagged by the compatibility forest only": f"{found.only_first:,}",
        "flagged by production only": f"{found.only_second:,}",
        "rank correlation of the scores (Spearman)": ranks,
        "the oddest 1 %: in both of all that are in either": percent(found.top_overlap),
    }
    # Figures first: Dagster cuts off what is too wide.
    return "\n".join(["| | |", "|---:|---|", *(f"| {value} | {name} |" for name, value in rows.items())])


def inline(image: bytes) -> str:
    """A PNG as Markdown that holds it."""
    return f"![chart](data:image/png;base64,{base64.b64encode(image).decode()})"
