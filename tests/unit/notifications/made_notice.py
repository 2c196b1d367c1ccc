"""A notice for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlops_assets.notifications.notice import Kind, Notice, Severity

AT = datetime(2026, 3, 2, 14, 5, tzinfo=UTC)


def made(**changed: Any) -> Notice:
    """A failed run; whatever is `changed` else."""
    values: dict[str, Any] = {
        "kind": Kind.RUN_FAILED,
        "product": "homes",
        "subject": "homes_train",
        "severity": Severity.WARNING,
        "title": "[homes] homes_train failed",
        "body": "ValueError: bad\nRun 1.",
        "link": "http://127.0.0.1:3000/runs/1",
        "key": "run:1",
        "group": "run_failed:homes_train",
        "at": AT,
    }
    return Notice(**{**values, **changed})
