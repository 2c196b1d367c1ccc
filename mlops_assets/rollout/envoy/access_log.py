"""What the gateway writes down: a JSON line for requests that went wrong, and the file of failed predictions.

Neither line holds an address, a user, a query or a cookie. Add a field here when people on call need it. Keep out
answered predictions: the services log those.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mlops_assets.rollout.envoy.upstreams import ASSIGNED_HEADER, METADATA, Config, Limits, Upstream

ACCESS = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "request_id": "%REQ(x-request-id)%",
    "method": "%REQ(:method)%",
    "path": "%REQ_WITHOUT_QUERY(:path)%",
    "product": f"%METADATA(ROUTE:{METADATA}:product)%",
    "assigned": f"%REQ({ASSIGNED_HEADER})%",
    "served_by": "%RESP(x-served-by)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
    "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
}
OF_PRODUCTS = ("product", "assigned", "served_by")
TRACE = {"trace_id": "%TRACE_ID%"}
# As text, because a number in JSON is asked for. None of its values is the client's: the path is one of ours.
FAILURE = (
    '{"request_id":"%REQ(x-request-id)%","at":%START_TIME(%s.%6f)%,'
    f'"product":"%METADATA(ROUTE:{METADATA}:product)%","assigned":"%REQ({ASSIGNED_HEADER})%",'
    f'"rollout":%METADATA(ROUTE:{METADATA}:rollout)%,"step":%METADATA(ROUTE:{METADATA}:step)%,'
    '"status":%RESPONSE_CODE%,"flags":"%RESPONSE_FLAGS%","path":"%REQ_WITHOUT_QUERY(:path)%"}\n'
)


def request_log(limits: Limits, *, every_request: bool, traced: bool) -> Config:
    """One line on standard output for each request that failed or was slow; for each at all if asked.

    `traced`: with its trace, which the tracer has checked.
    """
    config = _to_stdout(ACCESS | (TRACE if traced else {}))
    if not every_request:
        slow = {"duration_filter": {"comparison": _at_least(round(limits.slow_seconds * 1000))}}
        config["filter"] = {"or_filter": {"filters": [_server_error(), slow]}}
    return config


def door_log() -> Config:
    """One line on standard output for each request through the door that failed. Slow ones wait for events."""
    known = {name: value for name, value in ACCESS.items() if name not in OF_PRODUCTS}
    return _to_stdout({"listener": "door"} | known) | {"filter": _server_error()}


def failure_log(upstreams: Sequence[Upstream], file: Path) -> Config:
    """One line for each request to a product's own paths that nobody could answer."""
    own = "|".join(re.escape(path) for upstream in upstreams for path in upstream.paths)
    kind = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return {
        "name": "envoy.access_loggers.file",
        "filter": {
            "and_filter": {
                "filters": [
                    _server_error(),
                    {"header_filter": {"header": {"name": ASSIGNED_HEADER, "present_match": True}}},
                    {
                        "header_filter": {
                            "header": {
                                "name": ":path",
                                "string_match": {"safe_regex": {"regex": rf"(?:{own})(?:\?.*)?"}},
                            }
                        }
                    },
                ]
            }
        },
        "typed_config": {
            "@type": f"type.googleapis.com/{kind}",
            "path": str(file),
            "log_format": {"text_format_source": {"inline_string": FAILURE}, **_formatters()},
        },
    }


def _to_stdout(fields: Config) -> Config:
    kind = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": f"type.googleapis.com/{kind}",
            "log_format": {"json_format": fields, **_formatters()},
        },
    }


def _formatters() -> Config:
    kind = "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"
    named = {"name": "envoy.formatter.req_without_query", "typed_config": {"@type": f"type.googleapis.com/{kind}"}}
    return {"formatters": [named]}


def _server_error() -> Config:
    return {"status_code_filter": {"comparison": _at_least(500)}}


def _at_least(value: int) -> Config:
    return {"op": "GE", "value": {"default_value": value, "runtime_key": "unused"}}
