"""What an answer of the control API holds, for tests; an answer of another status fails with its text."""

from __future__ import annotations

from typing import Any

import httpx


def answered(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The body of an answer with this status."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """A problem with this status."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answered(answer, status)


def fields(answer: httpx.Response, status: int = 422) -> list[str]:
    """The fields that a problem names."""
    return [error["field"] for error in problem(answer, status)["errors"]]
