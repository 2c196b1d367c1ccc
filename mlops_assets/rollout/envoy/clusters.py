"""How services are reached, watched and left out: one cluster for each service, one for each kind of user.

A user's cluster is an aggregate: the user's own service, then the other one as stand-in; and, when neither is known to
be well, production and then the candidate's service all the same. A service's health is known once, however many
kinds of user it serves. Add here what belongs to the connection to a service. Keep out who goes where (`routes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlops_assets.rollout.envoy.upstreams import Config, Limits, Upstream, seconds, unwatched
from mlops_assets.settings import is_address

ADMIN = "admin"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# Shorter than the services keep an idle connection (75 s): the side that closes is then never mid-request.
IDLE_SECONDS = 30.0
PROBE_SECONDS = 1.0
LOOK_UP_SECONDS = 2.0
# In per cent: with a thousandth of its members, a service still takes everybody.
ANY_MEMBER_DOES = 100_000
FAILURES_UNTIL_EJECTED = 5
EJECTION_LOOK_SECONDS = 0.5
# Envoy's own remedy when hosts are missing is to use all of them alike; ours is an order. And what is learnt of a
# service's health counts at once, not up to a second later together with other news.
HEALTH_COUNTS: Config = {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"}


def product_clusters(upstream: Upstream, limits: Limits) -> list[Config]:
    """The six clusters of a product: each service watched and unwatched, and one for each kind of user."""
    production = _service(upstream.production, upstream.addresses, upstream.production_port, limits)
    candidate = _service(upstream.candidate, upstream.addresses, upstream.candidate_port, limits)
    last = [unwatched(upstream.production), unwatched(upstream.candidate)]
    return [
        *(production | _watch(*limits.production_ejection), candidate | _watch(*limits.candidate_ejection)),
        *(_unwatched(production), _unwatched(candidate)),
        _in_order(upstream.to_production, [upstream.production, upstream.candidate, *last], limits),
        _in_order(upstream.to_candidate, [upstream.candidate, upstream.production, *last], limits),
    ]


def admin_cluster(socket: Path) -> Config:
    """Envoy's own admin interface, for the one path of it that the metrics listener offers."""
    return {
        "name": ADMIN,
        "connect_timeout": "1s",
        "load_assignment": endpoint(ADMIN, {"pipe": {"path": str(socket)}}),
    }


def _service(name: str, addresses: Sequence[str], port: int, limits: Limits) -> Config:
    return {
        "name": name,
        "connect_timeout": seconds(limits.connect_seconds),
        **at_hosts(name, addresses, port),
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
                "common_http_protocol_options": {"idle_timeout": seconds(IDLE_SECONDS)},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
        "circuit_breakers": _breakers(limits),
        "common_lb_config": HEALTH_COUNTS,
    }


def _watch(ejection_seconds: float, longest_seconds: float) -> Config:
    return {
        "health_checks": [
            {
                "timeout": seconds(PROBE_SECONDS),
                "interval": seconds(PROBE_SECONDS),
                "no_traffic_interval": seconds(PROBE_SECONDS),
                "no_traffic_healthy_interval": seconds(PROBE_SECONDS),
                "unhealthy_interval": seconds(PROBE_SECONDS / 2),
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/readyz"},
            }
        ],
        "outlier_detection": {
            # Time-outs, resets and refused connections count as 5xx here. Counted apart, each connection that is
            # accepted would clear the count of a service that accepts and then hangs.
            "split_external_local_origin_errors": False,
            "consecutive_5xx": FAILURES_UNTIL_EJECTED,
            "enforcing_consecutive_5xx": 100,
            "enforcing_success_rate": 0,
            "interval": seconds(EJECTION_LOOK_SECONDS),
            "base_ejection_time": seconds(ejection_seconds),
            "max_ejection_time": seconds(longest_seconds),
            "max_ejection_percent": 100,
            # A service can be ready and fail every prediction: its probe says nothing about its answers.
            "successful_active_health_check_uneject_host": False,
        },
    }


def _unwatched(service: Config) -> Config:
    """The same service as one that is always taken for well: the last resort, not the first."""
    name = unwatched(service["name"])
    return service | {"name": name, "load_assignment": service["load_assignment"] | {"cluster_name": name}}


def _in_order(name: str, clusters: list[str], limits: Limits) -> Config:
    return {
        "name": name,
        "connect_timeout": seconds(limits.connect_seconds),
        "lb_policy": "CLUSTER_PROVIDED",
        "common_lb_config": HEALTH_COUNTS,
        "circuit_breakers": _breakers(limits),
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": clusters,
            },
        },
    }


def _breakers(limits: Limits) -> Config:
    most = limits.concurrency
    # Retries have a limit of their own, 3 unless told: a failed service's whole load must fit.
    threshold = {"max_connections": most, "max_pending_requests": most, "max_requests": most, "max_retries": most}
    return {"thresholds": [threshold]}


def endpoint(name: str, *addresses: Config) -> Config:
    """The addresses of a cluster."""
    found = [{"endpoint": {"address": address}} for address in addresses]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": found}]}


def at_hosts(name: str, hosts: Sequence[str], port: int) -> Config:
    """Where a cluster's members are. Names are looked up again and again: hosts come and go behind them."""
    members = endpoint(name, *({"socket_address": {"address": host, "port_value": port}} for host in hosts))
    # While one member is well, nobody is sent to another service because others of it are not.
    members["policy"] = {"overprovisioning_factor": ANY_MEMBER_DOES}
    if all(is_address(host) for host in hosts):
        return {"load_assignment": members}
    return {
        "load_assignment": members,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "dns_refresh_rate": seconds(LOOK_UP_SECONDS),
    }
