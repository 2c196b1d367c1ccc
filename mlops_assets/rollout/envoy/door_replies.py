"""What the door answers by itself: problems as the control API words them, and a readable page to a browser.

Add a status here when its words should be ours. Keep out answers of the control API, of Dagster and of MLflow.
"""

from __future__ import annotations

from html import escape
from http import HTTPStatus

from mlops_assets.rollout.envoy.replies import RETRY_AFTER
from mlops_assets.rollout.envoy.upstreams import Config

DETAILS = {
    400: "the request can't be read, or its path can't be used here",
    403: "this can't be done here",
    404: "there is nothing here",
    408: "the request did not arrive in time",
    413: "the body is too large",
    426: "HTTP/1.1 or HTTP/2 is needed",
    431: "the headers are too large",
    502: "what is behind this page answered with something that can't be passed on",
    503: "what is behind this page doesn't answer at present; try again, and see `mlops status`",
    504: "what is behind this page took too long",
}
NO_SIGN_IN = "who is asking can't be checked at present: the control API or its database doesn't answer; try again"
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def door_replies() -> Config:
    """A problem for each status, or a page to a browser that opens one; what the control API said passes as it is."""
    asked = {"response_flag_filter": {"flags": ["UAEX"]}}
    unsure = {"and_filter": {"filters": [asked, _status(503)]}}
    mappers = [*_both(unsure, 503, NO_SIGN_IN)]
    mappers.append(
        {
            "filter": asked,
            "body_format_override": {
                "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
                "content_type": "application/problem+json",
            },
        }
    )
    for status, detail in DETAILS.items():
        mappers += _both(_status(status), status, detail)
    return {"mappers": mappers}


def refusal(match: Config, status: int, detail: str) -> Config:
    """A route that the door answers itself."""
    body = {"body": {"inline_string": detail}} if detail else {}
    return {"match": match, "direct_response": {"status": status, **body}}


def _both(condition: Config, status: int, detail: str) -> list[Config]:
    title = HTTPStatus(status).phrase
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<h1>{title}</h1><p>{escape(detail[:1].upper() + detail[1:])}.</p>"
        '<p><a href="/">To the console</a></p></html>\n'
    )
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    opens_page = {"and_filter": {"filters": [condition, *_navigates()]}}
    added = [
        {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for name, value in HEADERS.items()
    ] + ([RETRY_AFTER] if status == 503 else [])
    return [
        {
            "filter": opens_page,
            "headers_to_add": added,
            "body_format_override": {"text_format_source": {"inline_string": page}, "content_type": "text/html"},
        },
        {
            "filter": condition,
            "headers_to_add": added,
            "body_format_override": {"json_format": problem, "content_type": "application/problem+json"},
        },
    ]


def _navigates() -> list[Config]:
    return [
        {"header_filter": {"header": {"name": ":method", "string_match": {"exact": "GET"}}}},
        {"header_filter": {"header": {"name": "accept", "string_match": {"contains": "text/html"}}}},
    ]


def _status(status: int) -> Config:
    return {
        "status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": "unused"}}}
    }
