"""deploy/METRICS.md: every metric of the exporter in words, made from the contract in `metrics.py`.

Keep out single metrics: what is said of one stands there.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlops_assets.observability.exporter.metrics import GROUPS, METRICS, Kind, Metric

TITLES = {
    "runs": "Runs",
    "stages": "Stages",
    "automation": "Daemons, schedules, sensors, code locations",
    "assets": "Assets and checks",
    "rollouts": "Releases, rollouts, predictions",
    "drift": "Drift and scored months",
    "pipelines": "Declared pipelines",
    "storage": "Database and disk",
    "machine": "Machine, programs, notices, health",
    "exporter": "The exporter itself",
}
INTRODUCTION = """\
# Metrics of the platform

Made from `mlops_assets/observability/exporter/metrics.py` by `mlops metrics --docs`; don't edit it here.

The program `metrics` tells these at `http://127.0.0.1:9464/metrics` (`MLOPS_METRICS_PORT`), in the text format of
Prometheus and in OpenMetrics; `mlops metrics` prints what it tells now. It reads the database, not the running
processes, so runs that crashed, wait or hang count. Services and gateway tell of their requests themselves.

- Times are in seconds, moments in seconds since 1970, sizes in bytes.
- Runs and stages of all declared pipelines are one job, `pipelines`, and one stage, `declared`, of the product
  `pipelines`; those that ran last are told apart under *Declared pipelines*.
- Runs' kinds are `product`, `pipeline` and `platform`; runs end as `SUCCESS`, `FAILURE` or `CANCELED`, stages also as
  `RETRY` (it failed and is tried again) or `LOST` (its process died).
- A label's value is a name of at most 100 plain characters; anything else is `other`. A metric has at most as many
  series as stand here; the rest is left out and counted in `mlops_series_dropped_total`.
- Counters stay when rows are removed from the database, also over a restart of the exporter.
- A collector that can't look keeps what it found for five minutes; then its metrics are left out.
"""


def document() -> str:
    """The whole file."""
    lines = sum(most_lines(metric) for metric in METRICS.values())
    parts = [INTRODUCTION, f"{len(METRICS)} metrics, at most {lines:,} lines of text.\n"]
    for group, metrics in GROUPS.items():
        parts += [f"## {TITLES[group]}\n", *_table(metrics), ""]
    return "\n".join(parts)


def most_lines(metric: Metric) -> int:
    """How many lines of text a metric can have."""
    sets = metric.most if metric.labels else 1
    return sets * (len(metric.buckets) + 3 if metric.kind is Kind.HISTOGRAM else 1)


def _table(metrics: Iterable[Metric]) -> list[str]:
    rows = ["| Metric | Kind | Labels | Series | What it says |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        said = metric.help
        if metric.buckets:
            said += f" Buckets up to {', '.join(f'{bound:g}' for bound in metric.buckets)}."
        series = metric.most if metric.labels else 1
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {series} | {said} |")
    return rows
