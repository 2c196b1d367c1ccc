"""How requests are taken in: the public listener with its limits and filters, and the one for metrics.

Add a filter or a limit of the client's side here. Keep out where requests go (`routes`, `clusters`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlops_assets.rollout.envoy.access_log import failure_log, request_log
from mlops_assets.rollout.envoy.clusters import ADMIN
from mlops_assets.rollout.envoy.replies import RETRY_AFTER, local_replies
from mlops_assets.rollout.envoy.tracing import Tracing, request_tracing
from mlops_assets.rollout.envoy.upstreams import FEEDBACK_PATH, ROUTES_NAME, Config, Limits, Upstream, seconds
from mlops_assets.rollout.envoy.users import early_mutations, user_filter

HTTP = "envoy.extensions.filters.http"
ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}, "runtime_key": "unused"}
METRICS_PATH = "/stats/prometheus"
CONNECTION_BUFFER_BYTES = 64 * 1024


def public_listener(
    upstreams: Sequence[Upstream],
    host: str,
    port: int,
    routes_file: Path,
    failures_log: Path,
    limits: Limits,
    *,
    every_request: bool,
    tracing: Tracing | None,
) -> Config:
    """The listener of all clients."""
    traced = tracing is not None
    manager = {
        "stat_prefix": ROUTES_NAME,
        "rds": {
            "route_config_name": ROUTES_NAME,
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": {"path": str(routes_file)},
                "initial_fetch_timeout": "5s",
            },
        },
        "early_header_mutation_extensions": early_mutations(traced=traced),
        "http_filters": [_rate_limit(limits), user_filter(), _body_limit(limits), router()],
        "access_log": [
            request_log(limits, every_request=every_request, traced=traced),
            failure_log(upstreams, failures_log),
        ],
        "local_reply_config": local_replies(limits),
        **what_clients_may_send(limits),
        **_how_long_clients_may_take(limits),
        **({} if tracing is None else {"tracing": request_tracing(tracing)}),
    }
    return http_listener(ROUTES_NAME, host, port, manager)


def metrics_listener(host: str, port: int) -> Config:
    """Prometheus metrics, and nothing else of the admin interface they come from."""
    get = {"name": ":method", "string_match": {"exact": "GET"}}
    manager = {
        "stat_prefix": "metrics",
        "http_filters": [router(stats=False)],
        "server_header_transformation": "PASS_THROUGH",
        "local_reply_config": local_replies(Limits()),
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "metrics",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"path": METRICS_PATH, "headers": [get]}, "route": {"cluster": ADMIN}},
                        {
                            "match": {"prefix": "/"},
                            "direct_response": {"status": 404, "body": {"inline_string": "not found"}},
                        },
                    ],
                }
            ]
        },
    }
    # Metrics are wanted most when clients have taken every connection.
    return http_listener("metrics", host, port, manager) | {"ignore_global_conn_limit": True}


def http_listener(name: str, host: str, port: int, manager: Config) -> Config:
    """A listener of HTTP with this connection manager."""
    kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    chain = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {"@type": f"type.googleapis.com/{kind}", **manager},
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": host, "port_value": port}},
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "filter_chains": [{"filters": [chain]}],
    }


def what_clients_may_send(limits: Limits) -> Config:
    """Which paths, headers and protocols are taken, and what a client can't claim."""
    return {
        "codec_type": "AUTO",
        "max_request_headers_kb": limits.header_kb,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        # Nobody is inside: no client may steer retries or time-outs with x-envoy-* headers, or bring a request id.
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "skip_xff_append": True,
        "always_set_request_id_in_response": True,
        "server_header_transformation": "PASS_THROUGH",
        "request_id_extension": {
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
            }
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 64 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
    }


def _how_long_clients_may_take(limits: Limits) -> Config:
    return {
        "request_timeout": seconds(limits.receive_seconds),
        "request_headers_timeout": seconds(limits.headers_seconds),
        "stream_idle_timeout": seconds(limits.stream_idle_seconds),
        "delayed_close_timeout": "1s",
        "drain_timeout": "1s",
        "common_http_protocol_options": {
            "idle_timeout": seconds(limits.idle_seconds),
            "headers_with_underscores_action": "DROP_HEADER",
        },
    }


def _rate_limit(limits: Limits) -> Config:
    # Looked for anywhere in the path: a query behind it, or a product before it, evades nothing.
    feedback = {"name": ":path", "string_match": {"contains": FEEDBACK_PATH}}
    match = {"header_value_match": {"descriptor_key": "path", "descriptor_value": "feedback", "headers": [feedback]}}
    entry = {"key": "path", "value": "feedback"}
    return http_filter(
        "local_ratelimit",
        "local_ratelimit.v3.LocalRateLimit",
        {
            "stat_prefix": ROUTES_NAME,
            "token_bucket": _bucket(limits.requests_per_second),
            "rate_limits": [{"actions": [match]}],
            "descriptors": [{"entries": [entry], "token_bucket": _bucket(limits.feedback_per_second)}],
            "filter_enabled": ALWAYS,
            "filter_enforced": ALWAYS,
            "response_headers_to_add": [RETRY_AFTER],
        },
    )


def _bucket(per_second: int) -> Config:
    return {"max_tokens": per_second, "tokens_per_fill": per_second, "fill_interval": "1s"}


def _body_limit(limits: Limits) -> Config:
    # Holds the request until it is complete: a slow client keeps none of a service's time, and a service's worker
    # isn't bothered with a body that turns out too large.
    return http_filter("buffer", "buffer.v3.Buffer", {"max_request_bytes": limits.body_bytes})


def router(*, stats: bool = True) -> Config:
    """The last HTTP filter, which sends a request to its cluster."""
    return http_filter("router", "router.v3.Router", {"suppress_envoy_headers": True, "dynamic_stats": stats})


def http_filter(name: str, kind: str, config: Config) -> Config:
    """One of Envoy's own HTTP filters."""
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"type.googleapis.com/{HTTP}.{kind}", **config},
    }
