"""Decisions of the release ledger as notices: what changed, why, by whom, what had been seen. Pure.

Add an event here when people should hear of it. Keep out which decisions are new (`collect`).
"""

from __future__ import annotations

from typing import Any, Protocol

from mlops_assets.notifications.links import Links
from mlops_assets.notifications.notice import Kind, Notice, moment, severity_of, titled
from mlops_assets.rollout.state import Event

KINDS = {
    Event.FIRST_RELEASE: Kind.PROMOTION,
    Event.STARTED: Kind.CANDIDATE,
    Event.PROMOTED: Kind.PROMOTION,
    Event.ROLLED_BACK: Kind.ROLLBACK,
    Event.EXPIRED: Kind.EXPIRY,
    Event.BLOCKED: Kind.BLOCKED,
    Event.UNBLOCKED: Kind.UNBLOCKED,
}
MOST_REASONS = 4


class Entry(Protocol):
    """What is read of a row of the ledger."""

    product: Any
    seq: Any
    event: Any
    production: Any
    candidate: Any
    candidate_share: Any
    label: Any
    actor: Any
    reason: Any
    details: Any
    created_at: Any


def notice(entry: Entry, links: Links) -> Notice | None:
    """The notice of a decision; None for one that people needn't hear of."""
    kind = KINDS.get(entry.event)
    if kind is None:
        return None
    subject, words, happened = _told(Event(entry.event), entry)
    lines = [happened, *_reasons(entry), f"Decided by {entry.actor}, {moment(entry.created_at)}."]
    lines += _figures(entry.details.get("evidence"))
    return Notice(
        kind=kind,
        product=entry.product,
        subject=subject,
        severity=severity_of(kind),
        title=titled(entry.product, words),
        body="\n".join(lines),
        link=links.rollouts(),
        key=f"ledger:{entry.product}:{entry.seq}",
        # Each release is news of its own; only the same thing happening to the same release again is a repeat.
        group=f"{kind}:{entry.product}:{subject}",
        at=entry.created_at,
    )


def _told(event: Event, entry: Entry) -> tuple[str, str, str]:
    """Subject, the title's words, and what happened in a sentence."""
    production, withdrawn = f"release {entry.production}", entry.details.get("withdrawn")
    label = f" ({entry.label})" if entry.label else ""
    if event is Event.FIRST_RELEASE:
        return production, f"{production} is the first to serve", f"Release {entry.production}{label} is production."
    if event is Event.STARTED:
        subject = f"release {entry.candidate}"
        share = f"{entry.candidate_share:.0%}"
        return (
            subject,
            f"candidate {entry.candidate} serves {share} of the users",
            f"Release {entry.candidate} is compared with release {entry.production}, which serves the others.",
        )
    if event is Event.PROMOTED:
        previous = entry.details.get("previous")
        instead = f", in place of release {previous}" if previous is not None else ""
        return production, f"{production} promoted", f"Release {entry.production}{label} is production{instead}."
    if event is Event.ROLLED_BACK:
        happened = f"Release {withdrawn} was withdrawn; release {entry.production} serves everybody."
        return f"release {withdrawn}", f"release {withdrawn} rolled back", happened
    if event is Event.EXPIRED:
        happened = f"Release {withdrawn} got no verdict in time; release {entry.production} stays production."
        return f"release {withdrawn}", f"candidate {withdrawn} expired", happened
    if event is Event.BLOCKED:
        return "promotion", "drift blocks promotion", "No candidate is promoted while the live data differs so."
    return "promotion", "drift no longer blocks promotion", "Looks may promote a candidate again."


def _reasons(entry: Entry) -> list[str]:
    """The recorded reasons, the decisive ones first; else the one sentence that every decision has."""
    found = [str(reason) for reason in entry.details.get("reasons") or []] or [str(entry.reason)]
    more = [f"… and {len(found) - MOST_REASONS} more reasons"] if len(found) > MOST_REASONS else []
    return [f"Why: {reason}" for reason in [*found[:MOST_REASONS], *more]]


def _figures(evidence: dict[str, Any] | None) -> list[str]:
    """Both variants' figures at the look that decided."""
    if not evidence:
        return []
    lines = []
    for name in ("candidate", "production"):
        arm = evidence.get(name) or {}
        requests, errors = int(arm.get("requests") or 0), int(arm.get("errors") or 0)
        share = f" ({errors / requests:.2%})" if requests else ""
        lines.append(
            f"{name}: {requests:,} requests, {errors:,} errors{share}, {int(arm.get('ratings') or 0):,} ratings"
        )
    return lines
