"""Expressions for Prometheus, put together from names that are really exported: a typo raises when a dashboard is made.

Add a name to `OTHERS` when a dashboard asks for what a service, Envoy, Prometheus or a recording rule exports; ours are
all in `observability.exporter.metrics`. Keep out panels (`measured`) and dashboards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mlops_assets.observability.exporter.metrics import METRICS, Kind

# Grafana's own words: as long as a point of the chart and no shorter than four scrapes; and the chosen range.
STEP, RANGE = "$__rate_interval", "$__range"
ENDINGS = ("_bucket", "_sum", "_count")
# What Prometheus gives every series of a target.
TARGET = ("job", "instance", "program")
_ARM = ("product", "variant")
_SIDE = (*_ARM, "side")

OTHERS: Final[Mapping[str, tuple[str, ...]]] = {
    # Prometheus and Alertmanager.
    "up": _ARM,
    "scrape_duration_seconds": (),
    "ALERTS": ("alertname", "alertstate", "severity", "product"),
    "prometheus_rule_evaluation_failures_total": ("rule_group",),
    "prometheus_notifications_dropped_total": (),
    "prometheus_tsdb_head_series": (),
    "alertmanager_notifications_failed_total": ("integration",),
    # A service.
    "predictions_total": _ARM,
    "prediction_errors_total": (*_ARM, "status"),
    **{f"prediction_duration_seconds{ending}": _ARM for ending in ENDINGS},
    **{f"prediction_batch_duration_seconds{ending}": _ARM for ending in ENDINGS},
    "feedback_total": (*_ARM, "type"),
    "model_swaps_total": (*_ARM, "outcome"),
    "model_info": (*_ARM, "version"),
    "journal_lost_lines_total": _ARM,
    "process_resident_memory_bytes": _ARM,
    "process_cpu_seconds_total": _ARM,
    # The gateway. `side`: what users got, or what one service answered.
    "envoy_cluster_upstream_rq_xx": (*_SIDE, "envoy_response_code_class"),
    "envoy_cluster_upstream_rq_time_bucket": _SIDE,
    "envoy_cluster_upstream_rq_per_try_timeout": _SIDE,
    "envoy_cluster_upstream_rq_retry": _SIDE,
    "envoy_cluster_membership_healthy": _SIDE,
    "envoy_http_local_rate_limit_rate_limited": (),
    "envoy_http_rds_update_rejected": (),
    "envoy_http_rds_update_failure": (),
    # Rules of deploy/prometheus/rules, and the objectives that `mlops up --monitoring` writes.
    **{f"product:gateway_failure_share:ratio{window}": ("product",) for window in ("1h", "6h", "3d")},
    **{f"product:predictions_slow_share:ratio{window}": ("product",) for window in ("1h", "6h", "3d")},
    "product:availability_objective:share": ("product",),
    "product:latency_objective:share": ("product", "le"),
}
_WHERE = re.compile(r'(\w+)(?:=~|!~|!=|=)"[^"\\]*"')


def known() -> dict[str, tuple[str, ...]]:
    """Every series name that may be asked for, with its labels."""
    found = dict(OTHERS)
    for metric in METRICS.values():
        for ending in ENDINGS if metric.kind is Kind.HISTOGRAM else ("",):
            found[metric.name + ending] = metric.labels
    return found


_KNOWN = known()


def of(name: str, *where: str) -> str:
    """The series of this name that meet all conditions, each like `status="QUEUED"`.

    Raises:
        ValueError: nothing exports such a series, or a condition is none or of a label that it hasn't got.
    """
    if name not in _KNOWN:
        raise ValueError(f"{name}: nothing exports this")
    for condition in where:
        found = _WHERE.fullmatch(condition)
        labels = (*_KNOWN[name], *TARGET, *(("le",) if name.endswith("_bucket") else ()))
        if found is None or found[1] not in labels:
            raise ValueError(f"{condition}: no condition for {name}, whose labels are {', '.join(labels)}")
    return f"{name}{{{', '.join(where)}}}" if where else name


def rate(name: str, *where: str, window: str = STEP) -> str:
    """Rise of a counter in a second, over a window."""
    return f"rate({of(name, *where)}[{window}])"


def increase(name: str, *where: str, window: str = STEP) -> str:
    """Rise of a counter over a window."""
    return f"increase({of(name, *where)}[{window}])"


def total(expression: str, *by: str) -> str:
    """The sum, for each value of these labels."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def share(part: str, whole: str) -> str:
    """A part of a whole, 0 to 1; nothing where there is no whole, and 0 where there is no part."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def quantile(share: float, histogram: str, *where: str, by: tuple[str, ...] = (), window: str = STEP) -> str:
    """A quantile of a histogram, for each value of the labels; nothing where nothing was measured."""
    measured = total(rate(f"{histogram}_bucket", *where, window=window), *by, "le")
    # Of nothing it is no number, which isn't at least 0.
    return f"histogram_quantile({share:g}, {measured}) >= 0"


def mean(histogram: str, *where: str, by: tuple[str, ...] = (), window: str = STEP) -> str:
    """The mean of a histogram, for each value of the labels; nothing where nothing was measured."""
    whole = total(increase(f"{histogram}_sum", *where, window=window), *by)
    return f"{whole} / ({total(increase(f'{histogram}_count', *where, window=window), *by)} > 0)"
