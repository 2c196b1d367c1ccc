"""The door: one listener for people, with the control API and console, and Dagster and MLflow behind its sign-in.

Dagster and MLflow ask nobody who they are. So each request to them is first put to the control API (`SIGN_IN_PATH`),
which says who asks and with which role, or refuses; when it doesn't answer, nobody gets in. To the control API itself
requests go as they are: it asks for itself. Add here what else is reached through the door. Keep out who may do what
(the control API's `door`), and what the door answers by itself (`door_replies`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlops_assets.rollout.envoy.access_log import door_log
from mlops_assets.rollout.envoy.clusters import HTTP_OPTIONS, IDLE_SECONDS, at_hosts
from mlops_assets.rollout.envoy.door_replies import door_replies, refusal
from mlops_assets.rollout.envoy.listener import http_filter, http_listener, router, what_clients_may_send
from mlops_assets.rollout.envoy.upstreams import LOOPBACK, Config, Limits, seconds
from mlops_assets.rollout.envoy.users import CLAIMS, header_mutations
from mlops_assets.settings import ROLE_HEADER, WHO_HEADER

NAME = "door"
API, SIGN_IN, DAGSTER, MLFLOW = "door_api", "door_sign_in", "door_dagster", "door_mlflow"
EXT_AUTHZ = "envoy.filters.http.ext_authz"
SIGN_IN_PATH = "/api/v1/door"
# Shows the control API that it is the gateway that asks.
DOOR_HEADER = "x-mlops-door"
UPGRADE_HEADER = "x-mlops-upgrade"
# What the control API decides by; the path and the method it gets anyway.
ASKED_BY = (
    *("authorization", "cookie", "host", "origin", "accept", "content-type", "sec-fetch-mode", "x-request-id"),
    *(UPGRADE_HEADER, "x-envoy-external-address"),
)
# What of its refusal the client gets, besides its status and words.
SAID_BY_REFUSAL = (
    *("content-type", "location", "www-authenticate", "retry-after", "allow", "x-request-id", "cache-control"),
    *("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy"),
)
SIGN_IN_SECONDS = 5.0
CONNECT_SECONDS = 1.0
HEADERS_SECONDS = 10.0
# Longer than between two signs of life of a stream of events, and than any answer is thought about.
QUIET_SECONDS = 300.0
# A websocket is quiet while nothing happens. It ends after an hour, and whoever opens it again is asked again who
# they are.
WEBSOCKET_SECONDS = 3600.0
CONCURRENCY = 512
UPLOAD_SECONDS = 3600.0
# Each may keep a question to Dagster in memory before it is known who asks.
CONNECTIONS = 512
HEADER_KB = 60
# Once more, when what is behind can't have begun to answer: it has just closed the connection, or starts again.
AGAIN: Config = {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 1}
# Whole, because a change must not hide behind what was looked at.
GRAPHQL_BYTES = 1024 * 1024
# No file of Dagster or MLflow needs these; other programs on the way could read them in another way than we do.
ODD = r"/(?:dagster|mlflow)[^?]*(?:[;\\]|%(?:25|3[Bb]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])).*"
# Files that somebody's run or model wrote. A browser that shows one as a page must not take it for one of ours.
FOREIGN_FILES = ("/dagster/logs/", "/dagster/notebook", "/dagster/dagit/", "/dagster/download_debug/")
SANDBOX = "sandbox; frame-ancestors 'self'"


@dataclass(frozen=True)
class Door:
    """Where the door listens, where what is behind it does, and the token that shows that it is the gateway.

    `behind` is the name or address of the host that runs what is behind it.
    """

    host: str
    port: int
    api_port: int
    dagster_port: int
    mlflow_port: int
    inner_token: str = field(repr=False)
    behind: str = LOOPBACK


def door_listener(door: Door, limits: Limits) -> Config:
    """The listener of people and their scripts."""
    own = what_clients_may_send(limits) | {
        "codec_type": "HTTP1",
        "max_request_headers_kb": HEADER_KB,
        # The control API takes a caller's own id if it can be kept, and says which one it is.
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": False,
    }
    manager = {
        "stat_prefix": NAME,
        "early_header_mutation_extensions": header_mutations(
            [
                *({"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in CLAIMS),
                {"append": _set(UPGRADE_HEADER, "%REQ(upgrade)%")},
            ]
        ),
        "http_filters": [_sign_in(door), router()],
        "local_reply_config": door_replies(),
        "access_log": [door_log()],
        "route_config": {"name": NAME, "virtual_hosts": [_host(door)], "response_headers_to_remove": ["server"]},
        "request_headers_timeout": seconds(HEADERS_SECONDS),
        "request_timeout": seconds(UPLOAD_SECONDS),
        "stream_idle_timeout": seconds(QUIET_SECONDS),
        "delayed_close_timeout": "1s",
        "drain_timeout": "1s",
        "common_http_protocol_options": {
            "idle_timeout": seconds(limits.idle_seconds),
            # Flask takes x_mlops_role for x-mlops-role.
            "headers_with_underscores_action": "DROP_HEADER",
        },
        **own,
    }
    listener = http_listener(NAME, door.host, door.port, manager)
    # Clients that take every connection must not lock people out, nor people clients.
    listener["ignore_global_conn_limit"] = True
    listener["filter_chains"][0]["filters"].insert(0, _most_connections())
    return listener


def door_clusters(door: Door) -> list[Config]:
    """The control API for requests and, apart, for who may enter; Dagster; MLflow."""
    ports = {API: door.api_port, SIGN_IN: door.api_port, DAGSTER: door.dagster_port, MLFLOW: door.mlflow_port}
    most = {"max_connections": CONCURRENCY, "max_pending_requests": CONCURRENCY, "max_requests": CONCURRENCY}
    return [
        {
            "name": name,
            "connect_timeout": seconds(CONNECT_SECONDS),
            **at_hosts(name, [door.behind], port),
            "typed_extension_protocol_options": {
                HTTP_OPTIONS: {
                    "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
                    # uvicorn, as Dagster and MLflow start it, closes an idle connection after 5 s.
                    "common_http_protocol_options": {
                        "idle_timeout": seconds(IDLE_SECONDS if port == door.api_port else 3.0)
                    },
                    "explicit_http_config": {"http_protocol_options": {}},
                }
            },
            "circuit_breakers": {"thresholds": [most]},
        }
        for name, port in ports.items()
    ]


def _most_connections() -> Config:
    kind = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
    limit = {"stat_prefix": NAME, "max_connections": CONNECTIONS}
    return {
        "name": "envoy.filters.network.connection_limit",
        "typed_config": {"@type": f"type.googleapis.com/{kind}", **limit},
    }


def _sign_in(door: Door) -> Config:
    """Asks the control API about each request, unless a route says that it need not be asked."""
    return http_filter(
        "ext_authz",
        "ext_authz.v3.ExtAuthz",
        {
            "transport_api_version": "V3",
            "http_service": {
                "server_uri": {
                    "uri": f"http://{door.behind}:{door.api_port}",
                    "cluster": SIGN_IN,
                    "timeout": seconds(SIGN_IN_SECONDS),
                },
                "path_prefix": SIGN_IN_PATH,
                "retry_policy": AGAIN,
                "authorization_request": {"headers_to_add": [{"key": DOOR_HEADER, "value": door.inner_token}]},
                "authorization_response": {
                    "allowed_upstream_headers": _exactly(WHO_HEADER, ROLE_HEADER),
                    "allowed_client_headers": _exactly(*SAID_BY_REFUSAL),
                },
            },
            "allowed_headers": _exactly(*ASKED_BY),
            "failure_mode_allow": False,
            "status_on_error": {"code": "ServiceUnavailable"},
            "stat_prefix": NAME,
        },
    )


def _host(door: Door) -> Config:
    return {"name": NAME, "domains": ["*"], "routes": list(_routes(door))}


def _routes(door: Door) -> Iterator[Config]:
    """The first that fits counts. Every one that isn't opened here asks who it is."""
    yield _opened(refusal({"prefix": SIGN_IN_PATH}, 404, "not found"))
    yield _opened(refusal({"safe_regex": {"regex": ODD}}, 400, "this path can't be used here"))
    for name in ("dagster", "mlflow"):
        yield _opened(_to_folder(name))
    dagster = {"cluster": DAGSTER}
    graphql = dagster | {
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "idle_timeout": seconds(WEBSOCKET_SECONDS),
        "max_stream_duration": {"max_stream_duration": seconds(WEBSOCKET_SECONDS)},
    }
    yield _behind(door, {"path": "/dagster/graphql"}, graphql) | _per_route(
        {"check_settings": {"with_request_body": {"max_request_bytes": GRAPHQL_BYTES, "allow_partial_message": False}}}
    )
    for folder in FOREIGN_FILES:
        yield _behind(door, {"prefix": folder}, dagster, SANDBOX)
    yield _behind(door, {"prefix": "/dagster/"}, dagster)
    # MLflow answers only those who call it by an address of its own; its files name each other relative to its page.
    mlflow = {"cluster": MLFLOW, "prefix_rewrite": "/", "host_rewrite_literal": f"{door.behind}:{door.mlflow_port}"}
    yield _behind(door, {"path": "/mlflow/"}, mlflow)
    static = mlflow | {"prefix_rewrite": "/static-files/"}
    yield _behind(door, {"prefix": "/mlflow/static-files/"}, static)
    # All else that it answers is data, or a file that somebody's run or model wrote.
    yield _behind(door, {"prefix": "/mlflow/"}, mlflow, SANDBOX)
    yield _opened(
        {
            "match": {"prefix": "/"},
            "route": {"cluster": API, "timeout": "0s", "retry_policy": AGAIN},
            "request_headers_to_remove": [UPGRADE_HEADER, "x-forwarded-proto"],
            # By this it believes another host from which address a client came.
            **({"request_headers_to_add": [_set(DOOR_HEADER, door.inner_token)]} if door.behind != LOOPBACK else {}),
        }
    )


def _to_folder(name: str) -> Config:
    # As a path: what is in front of the gateway may have another scheme and another name.
    moved = refusal({"path": f"/{name}"}, 308, "")
    return moved | {"response_headers_to_add": [_set("location", f"/{name}/")]}


def _behind(door: Door, match: Config, action: Config, policy: str = "frame-ancestors 'self'") -> Config:
    """To Dagster or MLflow: as the gateway, and with nothing by which the client could be taken for somebody."""
    return {
        "match": match,
        "route": {"timeout": "0s", "retry_policy": AGAIN, **action},
        "request_headers_to_remove": [
            # The door has looked at the origin; behind it, its own name is unknown.
            *("cookie", "origin", "referer", "x-envoy-external-address", "x-forwarded-proto"),
            UPGRADE_HEADER,
        ],
        "request_headers_to_add": [_set("authorization", f"Bearer {door.inner_token}")],
        "response_headers_to_remove": ["set-cookie", "service-worker-allowed", "clear-site-data"],
        "response_headers_to_add": [
            _set("x-content-type-options", "nosniff"),
            _set("referrer-policy", "same-origin"),
            _add("content-security-policy", policy),
        ],
    }


def _opened(route: Config) -> Config:
    return route | _per_route({"disabled": True})


def _per_route(settings: Config) -> Config:
    kind = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
    return {"typed_per_filter_config": {EXT_AUTHZ: {"@type": f"type.googleapis.com/{kind}", **settings}}}


def _exactly(*names: str) -> Config:
    return {"patterns": [{"exact": name, "ignore_case": True} for name in names]}


def _set(name: str, value: str) -> Config:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _add(name: str, value: str) -> Config:
    return {"header": {"key": name, "value": value}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
