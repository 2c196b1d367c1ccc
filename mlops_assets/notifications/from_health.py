"""The health report as a notice: told once when issues appear or get worse, once when all are gone. Pure.

An issue is over when several reports in a row don't have it, so one that comes and goes is told once and not each hour.
Keep out how reports are made (`observability.health.judge`) and kept (`observability.health.store`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mlops_assets.notifications.links import Links
from mlops_assets.notifications.notice import Kind, Notice, Severity, moment, titled

MOST_TOLD = 8


@dataclass(frozen=True)
class Finding:
    """One issue of a report. `name` and `subject` make it the same in another report."""

    name: str
    severity: Severity
    subject: str
    message: str
    cause: str
    action: str

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.subject


@dataclass(frozen=True)
class OpenIssue:
    """An issue that people were told of at `since`. The newest `absent` reports didn't have it."""

    name: str
    subject: str
    severity: Severity
    since: datetime
    absent: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.subject

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "subject": self.subject,
            "severity": str(self.severity),
            "since": self.since.isoformat(),
            "absent": self.absent,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> OpenIssue:
        since = datetime.fromisoformat(told["since"])
        return cls(told["name"], told["subject"], Severity(told["severity"]), since, int(told["absent"]))


@dataclass(frozen=True)
class Change:
    """What a report changed: the issues that are open now, those that are `new` or worse, and since when it is over.

    `ended` is the time of the first of the issues if the last of them are over now, else None.
    """

    open: tuple[OpenIssue, ...]
    new: tuple[Finding, ...] = ()
    ended: datetime | None = None


def compare(before: Iterable[OpenIssue], findings: Sequence[Finding], well_reports: int, at: datetime) -> Change:
    """The open issues before, and what a report made at `at` found, together."""
    known = {issue.key: issue for issue in before}
    found = {finding.key: finding for finding in findings}
    new = tuple(
        finding
        for key, finding in found.items()
        if key not in known or finding.severity.rank > known[key].severity.rank
    )
    still = [
        replace(issue, absent=0 if key in found else issue.absent + 1)
        for key, issue in known.items()
        if key in found or issue.absent + 1 < well_reports
    ]
    worse = {finding.key: finding.severity for finding in new}
    after = [replace(issue, severity=worse.get(issue.key, issue.severity)) for issue in still]
    after += [OpenIssue(one.name, one.subject, one.severity, at) for one in new if one.key not in known]
    ended = min((issue.since for issue in known.values()), default=None) if not after else None
    return Change(tuple(after), new, ended)


def notice(change: Change, findings: Sequence[Finding], number: int, at: datetime, links: Links) -> Notice | None:
    """What people should hear of report `number`, if anything: the new issues first, or that all are gone."""
    if change.new:
        return _degraded(change, findings, number, at, links)
    return _well(change.ended, number, at, links) if change.ended is not None else None


def _degraded(change: Change, findings: Sequence[Finding], number: int, at: datetime, links: Links) -> Notice:
    new = sorted(change.new, key=lambda one: -one.severity.rank)
    others = [one for one in findings if one not in change.new]
    worst = new[0]
    more = f" and {len(new) - 1} more" if len(new) > 1 else ""
    lines = [line for one in new[:MOST_TOLD] for line in _lines(one)]
    if len(new) > MOST_TOLD:
        lines.append(f"… and {len(new) - MOST_TOLD} more new issues")
    if others:
        lines.append(f"Known before: {', '.join(dict.fromkeys(_named(one) for one in others[:MOST_TOLD]))}")
    return _notice(worst.severity, f"{_named(worst)}{more}", "\n".join(lines), number, at, links)


def _lines(one: Finding) -> list[str]:
    return [f"{one.severity}: {one.message}.", f"Likely: {one.cause}.", f"Do: {one.action}"]


def _named(one: Finding) -> str:
    return f"{one.name} ({one.subject})" if one.subject else one.name


def _well(since: datetime, number: int, at: datetime, links: Links) -> Notice:
    body = f"None of the issues since {moment(since)} is left."
    return _notice(Severity.INFO, "healthy again", body, number, at, links)


def _notice(severity: Severity, words: str, body: str, number: int, at: datetime, links: Links) -> Notice:
    """Each is a group of its own: what is a repeat is decided here, by the open issues."""
    return Notice(
        kind=Kind.HEALTH,
        product=None,
        subject="health",
        severity=severity,
        title=titled(None, words if severity is Severity.INFO else f"degraded: {words}"),
        body=body,
        link=links.health(),
        key=f"{Kind.HEALTH}:{number}",
        group=f"{Kind.HEALTH}:{number}",
        at=at,
    )
