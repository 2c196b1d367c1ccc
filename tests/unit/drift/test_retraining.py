"""When lasting drift asks for training: the pure rule, condition by condition, and what it says is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from mlops_assets.drift.facts import Status
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.retraining import Seen, Situation, rule
from mlops_assets.drift.store import Judged
from mlops_assets.rollout.state import State

POLICY = DriftPolicy()
NOW = datetime(2026, 3, 10, 6, tzinfo=UTC)
TODAY = date(2026, 3, 10)


def day(before: int, status: Status = Status.DRIFTED, release: int = 4) -> Judged:
    drifted = ("size", "town") if status is Status.DRIFTED else ()
    return Judged(TODAY - timedelta(days=before), release, status, 1.5, drifted)


DUE = Situation(
    state=State("shop", production=4),
    days=(day(1), day(2), day(3)),
    release=5,
    released_at=NOW - timedelta(hours=100),
    labels=200,
)


def asked(found: Situation, cursor: str | None = None, now: datetime = NOW, labels: bool = True) -> Seen:
    return rule(found, POLICY, cursor, now, labels)


def test_lasting_drift_with_new_labels_asks_once() -> None:
    seen = asked(DUE)
    assert seen.run_key == "shop-drift-2026-03-09-5"
    expected = "the last 3 judged days drifted, 2026-03-09 in size, town; 200 actual values came after release 5"
    assert seen.said == expected
    again = asked(DUE, seen.cursor, NOW + timedelta(hours=1000 / 60))
    assert (again.run_key, again.cursor) == (None, seen.cursor)
    assert again.said.endswith("training was asked for")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"days": ()}, "release 4 saw it on 0 of the last 3 judged days"),
        ({"days": (day(1), day(2))}, "on 2 of the last 3 judged days"),
        ({"days": (day(1), day(2, Status.OK), day(3))}, "on 2 of the last 3 judged days"),
        ({"days": (day(1), day(2), day(3, release=3))}, "release 4 saw it on 2 of the last 3 judged days"),
        ({"days": (day(4), day(5), day(6))}, "2026-03-06, is 4 days ago, 3 at most"),
        ({"released_at": NOW - timedelta(hours=70)}, "waiting 2.0 h of the 72 h cooldown since release 5"),
        (
            {"rolled_back_at": NOW - timedelta(hours=2)},
            "waiting 70.0 h of the 72 h cooldown since the rollback, which asks for training itself",
        ),
        ({"state": State("shop", production=4, candidate=5)}, "candidate 5 is to be judged first"),
        ({"labels": 199}, "no new labelled data to learn from: 199 of 200 actual values since release 5"),
    ],
)
def test_what_is_missing_is_told(change: dict[str, object], said: str) -> None:
    seen = asked(replace(DUE, **change))  # type: ignore[arg-type]
    assert seen.run_key is None
    assert said in seen.said


def test_everything_that_is_missing_is_told_at_once() -> None:
    poor = replace(DUE, state=State("shop", production=4, candidate=5), released_at=NOW, labels=0)
    said = asked(poor).said
    assert all(part in said for part in ("candidate 5", "72.0 h of the 72 h", "0 of 200 actual values"))


def test_days_up_to_three_days_old_count() -> None:
    assert asked(replace(DUE, days=(day(3), day(4), day(5)))).run_key is not None


def test_a_new_data_version_is_enough_for_a_product_without_labels() -> None:
    none = replace(DUE, labels=0)
    assert "no data version since release 5" in asked(none, labels=False).said
    seen = asked(replace(none, new_version=7), labels=False)
    assert seen.run_key is not None
    assert seen.said.endswith("data version V7 came after release 5")


def test_another_day_or_release_is_a_new_request_after_the_cooldown_of_the_last() -> None:
    first = asked(DUE)
    tomorrow = replace(DUE, days=(day(0), day(1), day(2)))
    waits = asked(tomorrow, first.cursor, NOW + timedelta(hours=20))
    assert (waits.run_key, waits.cursor) == (None, first.cursor)
    assert "waiting 52.0 h of the 72 h cooldown since the last request" in waits.said
    days = (day(-2), day(-1), day(0))
    assert asked(replace(DUE, days=days), first.cursor, NOW + timedelta(hours=73)).run_key == "shop-drift-2026-03-12-5"


def test_without_a_cooldown_other_conditions_still_hold() -> None:
    policy = POLICY.model_copy(update={"retrain_cooldown_hours": 0})
    fresh = replace(DUE, released_at=NOW)
    assert rule(fresh, policy, None, NOW, True).run_key is not None
    assert rule(replace(fresh, labels=0), policy, None, NOW, True).run_key is None
