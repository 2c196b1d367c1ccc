"""All scored months at a glance: charts, a page and a summary, drawn anew from what is kept, and tracked.

Add here what else tells of all months. Keep out how it is drawn (`anomaly_report`) and Dagster (`assets`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.batch import files, presented, store
from mlops_assets.batch.scoring import groups_of
from mlops_assets.storage.database import Database, ScoredMonth
from mlops_assets.storage.files import Storage
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import dagster as dg
    import pandas as pd

    from mlops_assets.training.tracking import Tracking

FOLDER = "overview"
KIND = "scores"
PAGE, SUMMARY = "scores.html", "summary.md"
Heard = Callable[[str], object]


@dataclass(frozen=True)
class Figures:
    """Of all scored records; `…_after` of the months that no model was trained on."""

    records: int
    anomalies: int
    records_after: int
    anomalies_after: int

    @property
    def rate(self) -> float:
        """Share of anomalies of all records, 0-1; 0 without records."""
        return self.anomalies / self.records if self.records else 0.0

    @property
    def rate_after(self) -> float | None:
        """Share of anomalies of the months after training, 0-1."""
        return self.anomalies_after / self.records_after if self.records_after else None


@dataclass(frozen=True)
class Report:
    """What is shown of scored records: PNG charts by name, the page with hover, the summary as Markdown."""

    charts: dict[str, bytes]
    page: bytes
    summary: str

    def contents(self) -> dict[str, bytes]:
        """The files of the report by their names."""
        charts = {f"{name}.png": image for name, image in self.charts.items()}
        return {**charts, PAGE: self.page, SUMMARY: self.summary.encode()}


@dataclass(frozen=True)
class Overview:
    """The report on all months that production scored, its facts, and where its files lie."""

    report: Report
    figures: Figures
    facts: dict[str, str]
    releases: tuple[int, ...]
    data_version: int
    folder: str


def draw_overview(product: Product, database: Database, storage: Storage, heard: Heard) -> Overview | None:
    """Draw what production has scored, and keep the files; None when nothing is scored yet."""
    months = store.overview(database, product.name)
    if not months:
        return None
    heard(f"{len(months)} scored months: reading their records")
    scored = presented.frame(product, months, store.lowest(database, product.name), storage, heard)
    told = figures(months)
    releases = tuple(sorted({month.release for month in months if month.release is not None}))
    facts = {
        "Release": ", ".join(map(str, releases)),
        "Data": f"V{max(month.data_version for month in months)}",
        "Months": f"{months[0].month:%Y-%m} to {months[-1].month:%Y-%m}",
        "Trained on": _trained(months),
    }
    made = report(scored, f"{product.title}: scores", facts, product, heard)
    folder = storage.at(product.name, files.FOLDER, FOLDER)
    for name, content in made.contents().items():
        folder.write_bytes(name, content)
    return Overview(made, told, facts, releases, max(month.data_version for month in months), folder.url)


def report(scored: pd.DataFrame, title: str, facts: Mapping[str, str], product: Product, heard: Heard) -> Report:
    """Charts, page and summary of scored records as `presented` has them."""
    from mlops_assets.anomaly_report import charts, interactive, summary

    heard(f"drawing {len(scored):,} records")
    groups = groups_of(product)
    drawn = charts.all_charts(scored, groups)
    heard(f"{len(drawn)} charts drawn; now the page")
    page = interactive.page(scored, title, facts, groups)
    return Report(drawn, page, summary.as_markdown(scored, groups))


def figures(months: Sequence[ScoredMonth]) -> Figures:
    """Of all these months together."""
    after = [month for month in months if not month.in_training]
    return Figures(
        records=sum(month.records for month in months),
        anomalies=sum(month.anomalies for month in months),
        records_after=sum(month.records for month in after),
        anomalies_after=sum(month.anomalies for month in after),
    )


def track(product: Product, done: Overview, tracking: Tracking, context: dg.AssetExecutionContext) -> str:
    """Log the report, its figures and what they are of to MLflow; the run's page.

    `anomaly_rate` is that of the months after training, as soon as there is one: the model chose the others' itself.
    """
    told = done.figures
    rate = told.rate if told.rate_after is None else told.rate_after
    with tracking.run(product.experiment_name, context, {"product": product.name, "kind": KIND}) as run:
        run.log_params({"release": ", ".join(map(str, done.releases)), "data_version": done.data_version})
        run.log_metrics(
            {
                "anomaly_rate": rate,
                "anomaly_rate_overall": told.rate,
                "records": told.records,
                "n_anomalies": told.anomalies,
            }
        )
        log_report(run, done.report)
        active = run.active_run()
        return tracking.run_page(active.info.experiment_id, active.info.run_id)


def log_report(run: Any, made: Report) -> None:
    """Log the files of a report to the open MLflow run, below `scores`."""
    with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
        for name, content in made.contents().items():
            (Path(folder) / name).write_bytes(content)
        run.log_artifacts(folder, artifact_path=files.FOLDER)


def _trained(months: Sequence[ScoredMonth]) -> str:
    """The months that scored themselves, as far as they are known here."""
    seen = [month.month for month in months if month.in_training]
    return f"{min(seen):%Y-%m} to {max(seen):%Y-%m}" if seen else "none of these months"
