"""Where a trace leads: pages of MLflow, Dagster and the console. Pure; nothing is asked, so a link may lead to nothing.

Add a link here when a fact of a trace has a page of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from mlops_assets.notifications.links import Links
from mlops_assets.observability.trace.facts import AnswerTrace
from mlops_assets.settings import Settings


@dataclass(frozen=True)
class TraceLinks:
    """Addresses of what a trace names; None where there is nothing to lead to."""

    trace: str
    rollout: str
    mlflow_run: str | None = None
    mlflow_model: str | None = None
    dagster_run: str | None = None
    drift: str | None = None
    drift_report: str | None = None


def links_of(trace: AnswerTrace, settings: Settings) -> TraceLinks:
    """The links of a trace, as people reach the installation."""
    pages, mlflow = Links.of(settings), settings.mlflow_url
    product, release = trace.answer.product, trace.release
    day = trace.drift.day if trace.drift is not None else None
    run, model = (release.mlflow_run_id, release.model_version) if release is not None else (None, None)
    dagster_run = release.dagster_run_id if release is not None else None
    report = f"{pages.api}/drift/{_part(product)}/{day}/report" if trace.drift and trace.drift.has_report else None
    return TraceLinks(
        trace=f"{pages.api}/trace/{_part(trace.answer.id)}",
        rollout=pages.rollouts(),
        mlflow_run=f"{mlflow}/#/runs/{_part(run)}" if run else None,
        mlflow_model=f"{mlflow}/#/models/{_part(product)}/versions/{_part(model)}" if model else None,
        dagster_run=pages.run(dagster_run) if dagster_run else None,
        drift=pages.drift(product, day) if day is not None else None,
        drift_report=report,
    )


def _part(text: str) -> str:
    return quote(text, safe="")
