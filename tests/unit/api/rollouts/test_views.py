"""How rows of the ledger become what the API shows, and what is said about the future."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops_assets.api.rollouts.outlook import named, orders, upcoming
from mlops_assets.api.rollouts.views import MOST_POINTS, WORDS, ledger_page, look_view, points, policy_of, release_view
from mlops_assets.rollout.decide import Verdict
from mlops_assets.rollout.facts import Arm, Effect, Evidence
from mlops_assets.rollout.ledger import State
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.storage.database import LedgerEntry, Release

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = RolloutPolicy(steps=(0.05, 0.2), step_hours=12, min_hours=24, max_days=7, watch_hours=6)
LABELS = {1: ["BO1"], 2: ["CO1"]}
RAMP = State(
    "homes", 5, 1, 2, 0.05, rollout=1, phase=Phase.RAMP, step=1, started_at=T0, step_at=T0 + timedelta(hours=1),
    phase_at=T0,
)  # fmt: skip


def entry(seq: int, verdict: str = "continue", **details: Any) -> LedgerEntry:
    """A recorded look."""
    effect = Effect(theta=0.1 * seq, se=0.1, half=0.2, raters=seq, production_mean=4.0)
    seen = Evidence(hours=1.0, step_hours=1.0, effect=effect)
    recorded = {"evidence": seen.to_json(), "verdict": verdict, "reasons": ["because"]} | details
    return LedgerEntry(
        product="homes", seq=seq, event="look", production=1, candidate=2, candidate_share=0.2, rollout=1,
        phase="hold", paused=False, label=None, actor="platform", reason="because", details=recorded,
        created_at=T0 + timedelta(hours=seq),
    )  # fmt: skip


def told(
    state: State, policy: RolloutPolicy = POLICY, evidence: Evidence | None = None
) -> list[tuple[float | None, str]]:
    """(hours after T0, words) of what comes."""
    steps = upcoming(state, policy, evidence, None)
    return [(None if step.at is None else (step.at - T0).total_seconds() / 3600, step.what) for step in steps]


def test_a_ramp_tells_look_step_earliest_promotion_and_expiry_in_order() -> None:
    found = told(RAMP, evidence=Evidence(1.0, 1.0, candidate=Arm(raters=12)))
    assert [hours for hours, _ in found] == [1, 13, 24, 168]
    words = [what for _, what in found]
    assert "look" in words[0]
    assert "rises to 20%" in words[1]
    assert "50 raters" in words[2]
    assert "there are 12" in words[2]


def test_the_last_step_rises_no_more_and_a_faster_clock_brings_all_nearer() -> None:
    last = replace(RAMP, candidate_share=0.2, phase=Phase.HOLD)
    assert not any("rises" in what for _, what in told(last))
    assert [hours for hours, _ in told(last, POLICY.scaled(24))] == [pytest.approx(h / 24) for h in (1, 24, 168)]


def test_the_reference_rule_has_no_earliest_promotion() -> None:
    policy = POLICY.model_copy(update={"policy": "threshold"})
    assert not any("waits for the evidence" in what for _, what in told(RAMP, policy))


def test_pause_and_drift_come_first() -> None:
    found = told(replace(RAMP, paused=True, drift_block="sizes moved"))
    assert [hours for hours, _ in found[:2]] == [None, None]
    assert "Paused" in found[0][1]
    assert "sizes moved" in found[1][1]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State("homes"), "first release"),
        (State("homes", 1, 1), "next release"),
        (replace(RAMP, phase=Phase.SHADOW, candidate_share=0.0, started_at=None), "gets 5% of the users"),
        (replace(RAMP, phase=Phase.PROMOTING, production=2, candidate=None), "holds release 2"),
        (replace(RAMP, phase=Phase.WATCH, production=2, candidate=None), "release 2 is settled"),
        (replace(RAMP, phase=Phase.EXPIRED, candidate=None), "next release"),
    ],
)
def test_every_phase_says_what_comes(state: State, words: str) -> None:
    assert any(words in what for _, what in told(state))


def possible(state: State) -> set[str]:
    return {name for name, order in orders(state, POLICY, LABELS).items() if order.possible}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State("homes"), set()),
        (State("homes", 1, 1), {"pause", "promote"}),
        (RAMP, {"pause", "share", "promote", "rollback"}),
        (replace(RAMP, paused=True), {"resume", "share", "promote", "rollback"}),
        (replace(RAMP, phase=Phase.SHADOW, candidate_share=0.0), {"pause", "promote", "rollback"}),
        (replace(RAMP, phase=Phase.WATCH, production=2, candidate=None, previous=1), {"pause", "promote", "rollback"}),
    ],
)
def test_only_what_the_ledger_would_take_is_offered(state: State, expected: set[str]) -> None:
    assert possible(state) == expected


def test_an_order_names_the_releases_it_moves() -> None:
    now = orders(RAMP, POLICY, LABELS)
    assert now["promote"].effect.startswith("Release 2 (CO1) becomes production for everybody")
    assert now["rollback"].effect.startswith("Release 2 (CO1) is withdrawn: its users go back to release 1 (BO1)")
    watch = replace(RAMP, phase=Phase.WATCH, production=2, candidate=None, previous=1)
    assert orders(watch, POLICY, LABELS)["rollback"].effect.startswith("Release 1 (BO1) becomes production again")
    assert (named(7, LABELS), named(None, LABELS)) == ("release 7", "no release")


def test_a_release_shows_the_metrics_of_its_gates_or_else_all() -> None:
    release = Release(
        product="homes", version=2, run_id="r", dataset_version=4, uri="u", created_at=T0, archived_at=None,
        manifest={"metrics": {"mae": 3, "r2": 0.5}, "dataset": {"sample": True}},
    )  # fmt: skip
    shown = release_view(release, LABELS, ("mae", "absent"))
    assert (shown.metrics, shown.labels, shown.sample_data, shown.data_version) == ({"mae": 3.0}, ["CO1"], True, 4)
    assert release_view(release, {}, ()).metrics == {"mae": 3.0, "r2": 0.5}
    release.manifest = None
    assert release_view(release, {}, ("mae",)).metrics == {}


def test_a_look_is_told_in_words_and_an_unknown_verdict_as_it_is() -> None:
    assert look_view(None) is None
    shown = look_view(entry(1, "hold"))
    assert shown is not None
    assert (shown.words, shown.reasons, shown.at) == (WORDS[Verdict.HOLD], ["because"], T0 + timedelta(hours=1))
    newer = look_view(entry(1, "ponder"))
    assert newer is not None
    assert newer.words == "ponder"


def test_every_verdict_has_words() -> None:
    assert set(WORDS) == set(Verdict)


def test_many_looks_are_thinned_but_first_last_and_decisive_ones_stay() -> None:
    looks = [entry(seq, "advance" if seq == 777 else "continue") for seq in range(1, 1501)]
    shown = [point.seq for point in points(looks)]
    assert len(shown) <= MOST_POINTS + 2
    assert {1, 777, 1500} <= set(shown)
    assert shown == sorted(shown)
    assert [point.seq for point in points(looks[:3])] == [1, 2, 3]


def test_a_point_has_the_range_and_the_margin_in_stars() -> None:
    (point,) = points([entry(2, policy={"margin": 0.01})])
    assert (point.theta, point.low, point.high) == (pytest.approx(0.2), pytest.approx(0.0), pytest.approx(0.4))
    assert point.margin == pytest.approx(0.04)
    blank = entry(3)
    blank.details = blank.details | {"evidence": Evidence(1.0, 1.0).to_json()}
    assert points([blank])[0].theta is None


def test_the_policy_is_that_of_the_newest_look() -> None:
    used = POLICY.scaled(60)
    assert policy_of(entry(1, policy=used.model_dump(mode="json")), POLICY) == used
    assert policy_of(entry(1), POLICY) == POLICY
    assert policy_of(None, None) == RolloutPolicy()


def test_a_page_says_whether_there_is_more() -> None:
    rows = [entry(seq) for seq in (9, 8, 7)]
    assert ledger_page(rows, 2).next_before == 8
    assert ledger_page(rows, 3).next_before is None
    assert ledger_page([], 3).entries == []
