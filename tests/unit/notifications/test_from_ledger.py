"""What people read of a decision."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlops_assets.notifications.from_ledger import notice
from mlops_assets.notifications.links import Links
from mlops_assets.notifications.notice import Kind, Severity
from mlops_assets.rollout.state import Event
from tests.unit.notifications.made_notice import AT

LINKS = Links("http://api", "http://dagster")


def entry(event: Event, **changed: Any) -> SimpleNamespace:
    values: dict[str, Any] = {
        "product": "homes",
        "seq": 17,
        "event": str(event),
        "production": 5,
        "candidate": None,
        "candidate_share": 0.0,
        "label": None,
        "actor": "kim",
        "reason": "better",
        "details": {},
        "created_at": AT,
    }
    return SimpleNamespace(**{**values, **changed})


@pytest.mark.parametrize(
    ("event", "changed", "kind", "severity", "title", "says"),
    [
        (
            Event.FIRST_RELEASE,
            {"label": "BO1"},
            Kind.PROMOTION,
            Severity.INFO,
            "[homes] release 5 is the first to serve",
            "Release 5 (BO1) is production.",
        ),
        (
            Event.STARTED,
            {"candidate": 6, "candidate_share": 0.2},
            Kind.CANDIDATE,
            Severity.INFO,
            "[homes] candidate 6 serves 20% of the users",
            "Release 6 is compared with release 5",
        ),
        (
            Event.PROMOTED,
            {"label": "BO3", "details": {"previous": 4}},
            Kind.PROMOTION,
            Severity.INFO,
            "[homes] release 5 promoted",
            "Release 5 (BO3) is production, in place of release 4.",
        ),
        (
            Event.ROLLED_BACK,
            {"details": {"withdrawn": 6}},
            Kind.ROLLBACK,
            Severity.WARNING,
            "[homes] release 6 rolled back",
            "Release 6 was withdrawn; release 5 serves everybody.",
        ),
        (
            Event.EXPIRED,
            {"details": {"withdrawn": 6}},
            Kind.EXPIRY,
            Severity.WARNING,
            "[homes] candidate 6 expired",
            "Release 6 got no verdict in time",
        ),
        (Event.BLOCKED, {}, Kind.BLOCKED, Severity.WARNING, "[homes] drift blocks promotion", "Why: better"),
        (Event.UNBLOCKED, {}, Kind.UNBLOCKED, Severity.INFO, "[homes] drift no longer blocks promotion", "Why: better"),
    ],
)
def test_a_decision_in_words(
    event: Event, changed: dict[str, Any], kind: Kind, severity: Severity, title: str, says: str
) -> None:
    told = notice(entry(event, **changed), LINKS)
    assert told is not None
    assert (told.kind, told.severity, told.title, told.key) == (kind, severity, title, "ledger:homes:17")
    assert says in told.body
    assert "Decided by kim, 2026-03-02 14:05 UTC." in told.body
    assert told.link == "http://api/rollouts"


@pytest.mark.parametrize(
    "event",
    [
        Event.CANDIDATE,
        Event.LOOK,
        Event.ADVANCED,
        Event.WATCHING,
        Event.SETTLED,
        Event.PAUSED,
        Event.RESUMED,
        Event.SHARE,
    ],
)
def test_other_decisions_are_nothing_to_hear_of(event: Event) -> None:
    assert notice(entry(event), LINKS) is None


def test_every_event_is_told_or_left_out_on_purpose() -> None:
    told = [event for event in Event if notice(entry(event, details={"withdrawn": 1}), LINKS) is not None]
    assert len(told) == 7
    assert len(Event) == 15


def test_a_look_s_reasons_and_figures_are_shown() -> None:
    evidence = {
        "candidate": {"requests": 1200, "errors": 6, "ratings": 80},
        "production": {"requests": 4800, "errors": 0, "ratings": 300},
    }
    details = {"previous": 4, "reasons": [f"reason {n}" for n in range(7)], "evidence": evidence}
    told = notice(entry(Event.PROMOTED, details=details), LINKS)
    assert told is not None
    assert "Why: reason 0" in told.body
    assert "… and 3 more reasons" in told.body
    assert "candidate: 1,200 requests, 6 errors (0.50%), 80 ratings" in told.body
    assert "production: 4,800 requests, 0 errors (0.00%), 300 ratings" in told.body


def test_another_release_is_news_of_its_own_and_the_same_one_a_repeat() -> None:
    def group(production: int, seq: int) -> str:
        told = notice(entry(Event.PROMOTED, production=production, seq=seq), LINKS)
        assert told is not None
        return told.group

    assert group(5, 1) == group(5, 9)
    assert group(5, 1) != group(6, 2)
