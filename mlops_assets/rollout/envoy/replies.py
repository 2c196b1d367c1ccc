"""What the gateway answers by itself: every refusal as JSON `{"detail": …}`, without Envoy's inner words.

Add a status here when its words should be ours. Keep out answers of services: they pass untouched.
"""

from __future__ import annotations

from mlops_assets.rollout.envoy.upstreams import Config, Limits

RETRY_AFTER = {"header": {"key": "retry-after", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def local_replies(limits: Limits) -> Config:
    """One JSON body for all; words of our own where Envoy's say nothing to a client or too much."""
    details = {
        408: "the request did not arrive in time",
        413: f"the body has more than {limits.body_bytes} bytes",
        426: "HTTP/1.1 or HTTP/2 is needed",
        429: "too many requests",
        431: f"the headers have more than {limits.header_kb} KB",
        503: "no service can answer at present",
        504: "no service answered in time",
    }
    overflow = {"response_flag_filter": {"flags": ["UO"]}}
    mappers = [_mapper(overflow, "too many requests at once", retry=True)]
    mappers += [_mapper(_status(status), detail, retry=status == 503) for status, detail in details.items()]
    return {
        "mappers": mappers,
        "body_format": {"json_format": {"detail": "%LOCAL_REPLY_BODY%"}, "content_type": "application/json"},
    }


def _mapper(condition: Config, detail: str, *, retry: bool) -> Config:
    added = [RETRY_AFTER] if retry else []
    return {"filter": condition, "body": {"inline_string": detail}, "headers_to_add": added}


def _status(status: int) -> Config:
    return {
        "status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": "unused"}}}
    }
