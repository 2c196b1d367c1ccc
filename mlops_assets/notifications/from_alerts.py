"""Alerts of Prometheus as notices, from what Alertmanager posts: one when an alert fires, one when it is over. Pure.

Add here the words of an alert. Keep out who may post (`api.alerts`), which alerts there are (`deploy/prometheus/rules`)
and who is told (`channels`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mlops_assets.notifications.notice import Kind, Notice, Severity, moment, titled

MOST_ALERTS = 2000
PRODUCT = re.compile(r"[a-z][a-z0-9_]{0,62}")
# What the words of an alert say already, or what only matters where alerts are routed.
SAID = frozenset({"alertname", "severity", "product", "told_by", "instance"})
MOST_LABELS = 12

Text = Annotated[str, Field(max_length=10_000)]
Labels = Annotated[dict[Annotated[str, Field(max_length=200)], Text], Field(max_length=100)]


class Alert(BaseModel):
    """One alert in its present state. What Alertmanager says beside that is left unread."""

    status: Literal["firing", "resolved"]
    labels: Labels
    annotations: Labels = {}
    starts_at: datetime = Field(alias="startsAt")
    ends_at: datetime | None = Field(default=None, alias="endsAt")
    fingerprint: str = Field(pattern=r"^[0-9a-f]{1,64}$")


class Post(BaseModel):
    """What Alertmanager's webhook sends: the alerts of a group, those that fire and those that just ended."""

    version: Literal["4"]
    alerts: Annotated[list[Alert], Field(min_length=1, max_length=MOST_ALERTS)]


def notices(alerts: Iterable[Alert], now: datetime) -> list[Notice]:
    """A notice for each; alerts that are posted again, as they are every hour, have the key of the first time."""
    return [_notice(alert, now) for alert in alerts]


def _notice(alert: Alert, now: datetime) -> Notice:
    labels, words = alert.labels, alert.annotations
    name = labels.get("alertname") or "Alert"
    product, since = _product(labels.get("product")), _utc(alert.starts_at)
    over = alert.status == "resolved"
    summary = words.get("summary") or name
    ended = min(_utc(alert.ends_at or now), now)
    lines = [words.get("description", ""), _told(labels)]
    lines.append(f"From {moment(since)} to {moment(ended)}." if over else f"Since {moment(since)}.")
    lines.append(f"What to do: {words['runbook']}" if words.get("runbook") and not over else "")
    return Notice(
        kind=Kind.ALERT,
        product=product,
        subject=name,
        severity=_severity(labels.get("severity", "")),
        title=titled(product, f"{name} is over: {summary}" if over else f"{name}: {summary}"),
        body="\n".join(line for line in lines if line),
        link=None,
        key=f"{Kind.ALERT}:{alert.fingerprint}:{since.isoformat()}:{alert.status}",
        # Firing and ending have groups of their own: the first end within a cooldown is told as the first alert was.
        group=f"{Kind.ALERT}:{name}:{alert.fingerprint}:{alert.status}",
        at=ended if over else since,
    )


def _severity(said: str) -> Severity:
    """The end of an alert is as urgent as the alert: who was told of one is told of the other."""
    return Severity(said) if said in set(Severity) else Severity.WARNING


def _product(said: str | None) -> str | None:
    return said if said is not None and PRODUCT.fullmatch(said) else None


def _told(labels: Labels) -> str:
    said = {name: value for name, value in labels.items() if name not in SAID and (name, value) != ("job", "platform")}
    shown = sorted(said.items())[:MOST_LABELS]
    return ", ".join(f"{name} {value}" for name, value in shown)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
