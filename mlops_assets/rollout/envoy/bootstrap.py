"""The part of Envoy's configuration that stays while it runs, put together.

Add here what concerns the whole process: admin, statistics, memory. Keep out what concerns a request (`listener`)
or a service (`clusters`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlops_assets.rollout.envoy.clusters import admin_cluster, product_clusters
from mlops_assets.rollout.envoy.door import Door, door_clusters, door_listener
from mlops_assets.rollout.envoy.listener import metrics_listener, public_listener
from mlops_assets.rollout.envoy.tracing import Tracing, collector_cluster, runtime_layer
from mlops_assets.rollout.envoy.upstreams import Config, Limits, Upstream, checked

MONITORS = "envoy.extensions.resource_monitors"
OWNER_ONLY = 0o600
# What dashboards and alerts read; each of the some thousand others would cost memory for nothing.
STATISTICS = (
    r"cluster\.[^.]+\.upstream_rq_(total|active|time|timeout|per_try_timeout|pending_overflow|rx_reset|tx_reset)",
    r"cluster\.[^.]+\.upstream_rq_(retry|retry_success|retry_overflow|retry_limit_exceeded|[1-5]xx)",
    r"cluster\.[^.]+\.upstream_cx_(active|connect_fail|connect_timeout|overflow)",
    r"cluster\.[^.]+\.membership_(healthy|total)",
    r"cluster\.[^.]+\.health_check\.(attempt|failure|healthy)",
    r"cluster\.[^.]+\.outlier_detection\.ejections_(active|enforced_total|enforced_consecutive_5xx)",
    r"cluster\.[^.]+\.circuit_breakers\.default\.(rq_open|cx_open|rq_retry_open)",
    r"http\.gateway\.downstream_rq_(total|active|time|[1-5]xx|timeout|header_timeout|rx_reset|too_large)",
    r"http\.gateway\.downstream_cx_(total|active|overload_disable_keepalive)",
    r"http\.gateway\.rds\.gateway\.(update_success|update_rejected|update_failure|version)",
    r"http\.gateway\.no_route|gateway\.http_local_rate_limit\.(enabled|rate_limited)",
    r"tracing\.opentelemetry\.spans_(sent|dropped)",
    r"http\.door\.(downstream_rq_(total|active|time|[1-5]xx)|downstream_cx_active)",
    r"http\.door\.ext_authz\.door\.(ok|denied|error)|connection_limit\.door\.limited_connections",
    r"http\.gateway\.lua\.errors|overload\..*\.(pressure|active)",
    r"server\.(live|state|uptime|memory_allocated|memory_heap_size|concurrency|total_connections)",
)


def bootstrap_config(
    upstreams: Sequence[Upstream],
    *,
    host: str,
    port: int,
    metrics_port: int,
    admin_socket: Path,
    routes_file: Path,
    failures_log: Path,
    limits: Limits,
    every_request: bool,
    tracing: Tracing | None,
    door: Door | None,
) -> Config:
    """The whole bootstrap configuration."""
    ordered = checked(upstreams)
    public = public_listener(
        ordered, host, port, routes_file, failures_log, limits, every_request=every_request, tracing=tracing
    )
    clusters = [c for u in ordered for c in product_clusters(u, limits)] + [admin_cluster(admin_socket)]
    if tracing is not None:
        clusters.append(collector_cluster(tracing))
    listeners = [public, metrics_listener(host, metrics_port)]
    if door is not None:
        clusters += door_clusters(door)
        listeners.append(door_listener(door, limits))
    return {
        "node": {"id": "gateway", "cluster": "gateway"},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": OWNER_ONLY}}},
        "static_resources": {
            "listeners": listeners,
            "clusters": clusters,
        },
        **({} if tracing is None else {"layered_runtime": runtime_layer()}),
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [_regex(p) for p in STATISTICS]}}},
        "overload_manager": _overload(limits),
    }


def _overload(limits: Limits) -> Config:
    connections = {
        "@type": f"type.googleapis.com/{MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": limits.connections,
    }
    heap = {
        "@type": f"type.googleapis.com/{MONITORS}.fixed_heap.v3.FixedHeapConfig",
        "max_heap_size_bytes": limits.heap_bytes,
    }
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": connections},
            {"name": "envoy.resource_monitors.fixed_heap", "typed_config": heap},
        ],
        "actions": [
            _when_heap_is_at("envoy.overload_actions.shrink_heap", 0.8),
            _when_heap_is_at("envoy.overload_actions.disable_http_keepalive", 0.9),
            _when_heap_is_at("envoy.overload_actions.stop_accepting_requests", 0.95),
        ],
    }


def _when_heap_is_at(action: str, share: float) -> Config:
    trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": share}}
    return {"name": action, "triggers": [trigger]}


def _regex(pattern: str) -> Config:
    return {"safe_regex": {"regex": pattern}}
