"""How the gateway tells an OpenTelemetry collector of requests: which ones, what of them, and where to.

Add here what a span of the gateway should say. Keep out what services tell of the same request. Without `Tracing`
none of this is configured and a request costs nothing more: its trace is then the client's own or the request id,
which the services keep in the log.

A client may bring a `traceparent` of its own, and keeps its trace by that. It can't order by it that a trace is told or
not: that flag is decided anew from the trace's id. Its `tracestate` and `baggage`, which could be anything, go no
further. A span holds no address, no user agent and no query of a client.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from mlops_assets.rollout.envoy.upstreams import METADATA, Config, seconds

CLUSTER = "collector"
SERVICE = "mlops-gateway"
TRACES_PATH = "/v1/traces"
MILLION = 1_000_000
SEND_SECONDS = 2.0
FLUSH_MS = 1000
FLUSH_SPANS = 256
LONGEST_PATH = 128
# What a collector is never told of a client. Envoy's own tags can only be overwritten.
HIDDEN = ("peer.address", "user_agent")
# Carried along by the tracer, and unread by anything behind the gateway.
FOREIGN = ("tracestate", "baggage")


@dataclass(frozen=True)
class Tracing:
    """Where spans are sent, OTLP over HTTP, and of which share of the traces, from 0 to 1.

    Raises:
        ValueError: the endpoint is no http(s) address, or holds a user or a query; the share isn't one.
    """

    endpoint: str
    share: float = 0.1

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give an address like http://127.0.0.1:4318")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("give an address without user, password and query")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share of traces: from 0 to 1, not {self.share:g}")

    @property
    def url(self) -> str:
        """Where spans are posted."""
        plain = self.endpoint.rstrip("/")
        return plain if plain.endswith(TRACES_PATH) else plain + TRACES_PATH


def request_tracing(tracing: Tracing) -> Config:
    """The tracer of the public listener: a span for each chosen request, and one for each try at a service."""
    sampler = "type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig"
    provider = {
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": SERVICE,
        "http_service": {"http_uri": {"uri": tracing.url, "cluster": CLUSTER, "timeout": seconds(SEND_SECONDS)}},
        "sampler": {
            "name": "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
            "typed_config": {
                "@type": sampler,
                "sampling_percentage": {"numerator": round(tracing.share * MILLION), "denominator": "MILLION"},
            },
        },
    }
    product = {"kind": {"route": {}}, "metadata_key": {"key": METADATA, "path": [{"key": "product"}]}}
    return {
        # The sampler alone decides; a client's x-client-trace-id would otherwise count for more.
        "client_sampling": {"value": 0},
        "spawn_upstream_span": True,
        "max_path_tag_length": LONGEST_PATH,
        "custom_tags": [
            {"tag": "http.url", "value": f"%PATH(NQ:PATH):{LONGEST_PATH}%"},
            {"tag": "mlops.product", "metadata": product},
            *({"tag": name, "literal": {"value": "-"}} for name in HIDDEN),
        ],
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": provider},
    }


def collector_cluster(tracing: Tracing) -> Config:
    """How the collector is reached; over TLS only as who the address says."""
    parts = urlsplit(tracing.url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    address = {"socket_address": {"address": host, "port_value": parts.port or (443 if secure else 80)}}
    cluster: Config = {
        "name": CLUSTER,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if secure:
        cluster["transport_socket"] = _tls(host)
    return cluster


def _tls(host: str) -> Config:
    import certifi

    kind = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    known = {"trusted_ca": {"filename": certifi.where()}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"type.googleapis.com/{kind}",
            "sni": host,
            "auto_sni_san_validation": True,
            "common_tls_context": {"validation_context": known},
        },
    }


def runtime_layer() -> Config:
    """Spans are sent together, about every second: by default each fifth one is a request of its own."""
    values = {
        "tracing.opentelemetry.min_flush_spans": FLUSH_SPANS,
        "tracing.opentelemetry.flush_interval_ms": FLUSH_MS,
    }
    return {"layers": [{"name": "tracing", "static_layer": values}]}
