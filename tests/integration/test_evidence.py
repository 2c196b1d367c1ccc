"""What a look sees of a log: exact counts, whose answer counts for whom, and the same from raw rows."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from uuid import UUID

import pytest

from inference.ship_rows import LogDatabase
from inference.timed_connection import TimedConnection
from mlops_assets.rollout.facts import Evidence
from mlops_assets.rollout.guardrails import ERRORS, SLOW
from mlops_assets.storage.database import Database
from tests.integration.rollouts import POLICY, Rollout, begun


@pytest.fixture
def rollout(database: Database) -> Rollout:
    return begun(database)


def guardrail(evidence: Evidence, name: str) -> object:
    return next(g for g in evidence.guardrails if g.name == name)


def test_an_empty_log_is_evidence_of_nothing(rollout: Rollout) -> None:
    found = rollout.evidence()
    assert (found.production.requests, found.candidate.requests, found.watermark) == (0, 0, 0)
    assert (found.effect, found.slow_ms, found.sample_ratio.p_value) == (None, None, 1.0)
    assert found.hours == pytest.approx(30)
    assert Evidence.from_json(found.to_json()) == found


def test_requests_users_and_milliseconds_are_counted_by_arm(rollout: Rollout) -> None:
    for n in range(8):
        rollout.log.predict("production", f"user{n % 4}", ms=10.0)
    rollout.log.predict("candidate", "other", ms=30.0)
    rollout.log.predict("candidate", None, ms=10.0)
    batch = rollout.log.ship()
    found = rollout.evidence()
    production, candidate = found.production, found.candidate
    assert (production.requests, production.units, production.mean_ms, production.errors) == (8, 4, 10.0, 0)
    assert (candidate.requests, candidate.units, candidate.mean_ms, candidate.errors) == (2, 2, 20.0, 0)
    assert found.watermark == batch
    ratio = found.sample_ratio
    assert (ratio.production, ratio.candidate, ratio.expected_share) == (4, 2, 0.2)


def test_an_answer_by_the_other_service_or_by_nobody_is_the_assigned_arms_error(rollout: Rollout) -> None:
    began = rollout.log.at
    rollout.log.predict("candidate", "a", variant="production")
    rollout.log.predict("candidate", "b", variant="standby", version=1)
    rollout.log.predict("candidate", "c", version=1)  # its service still held another release
    rollout.log.predict("candidate", "d")
    rollout.log.predict("production", "e", variant="candidate")
    rollout.log.predict("production", "f")
    rollout.log.at = began + timedelta(seconds=90)
    rollout.log.fail("candidate")
    rollout.log.ship()
    found = rollout.evidence()
    assert (found.candidate.requests, found.candidate.errors) == (5, 4)
    assert (found.production.requests, found.production.errors) == (2, 1)
    errors = guardrail(found, ERRORS)
    # The one that nobody could answer says nothing against the candidate alone.
    assert (errors.production_bad, errors.candidate_bad, errors.span_seconds) == (1, 3, 2.0)


def test_forced_requests_and_other_rollouts_and_products_count_nowhere(rollout: Rollout, database: Database) -> None:
    other = begun(database, "other")
    other.rate_both(3, 4.0, 2.0)
    other.log.ship()
    rollout.log.predict("forced", "op", variant="candidate")
    rollout.log.rate("candidate", "before", 1.0, rollout=rollout.log.rollout + 1)
    rollout.log.predict("production", "nobody", rollout=None, step=None)
    rollout.log.rate("production", "x", 4.0)
    rollout.log.ship()
    found = rollout.evidence()
    assert (found.production.requests, found.production.ratings, found.candidate.requests) == (1, 1, 0)
    assert found.candidate.ratings == 0
    assert other.evidence().production.ratings == 12


def test_ratings_count_for_known_users_of_the_release_that_answered(rollout: Rollout) -> None:
    rollout.log.rate("candidate", "a", 5.0)
    rollout.log.rate("candidate", "a", 3.0)
    rollout.log.rate("candidate", None, 1.0)
    rollout.log.rate("candidate", "b", 1.0, variant="production")
    rollout.log.rate("production", "c", 2.0)
    rollout.log.ship()
    found = rollout.evidence()
    assert (found.candidate.ratings, found.candidate.raters, found.candidate.mean_rating) == (2, 1, 4.0)
    assert (found.production.ratings, found.production.raters, found.production.mean_rating) == (1, 1, 2.0)


def test_the_newest_rating_of_an_answer_is_valid(rollout: Rollout) -> None:
    answer = rollout.log.rate("candidate", "a", 1.0)
    late = rollout.log.at + timedelta(hours=1)
    rollout.log.feedback(answer, "rating", 5.0, at=late)
    rollout.log.feedback(answer, "rating", 2.0, at=late - timedelta(minutes=1))
    rollout.log.feedback(answer, "too_high")
    rollout.log.ship()
    found = rollout.evidence().candidate
    assert (found.ratings, found.mean_rating) == (1, 5.0)
    assert (found.accurate, found.too_high, found.too_low) == (0, 1, 0)


def test_the_effect_is_stratified_by_step_and_day(rollout: Rollout) -> None:
    """Ratings rise by a star overnight and the candidate gets most of its users then: no difference at all."""
    first = rollout.log.at
    for n in range(12):
        rollout.log.rate("production", f"p{n}", 3.0 + n % 2)
        if n < 4:
            rollout.log.rate("candidate", f"c{n}", 3.0 + n % 2)
    rollout.log.at = first + timedelta(days=1)
    for n in range(12):
        rollout.log.rate("candidate", f"d{n}", 4.0 + n % 2)
        if n < 4:
            rollout.log.rate("production", f"q{n}", 4.0 + n % 2)
    rollout.log.ship()
    found = rollout.evidence()
    assert found.effect is not None
    assert found.candidate.mean_rating - found.production.mean_rating == pytest.approx(0.5)
    assert found.effect.theta == pytest.approx(0.0, abs=1e-12)
    assert found.effect.raters == 32


def test_slow_is_measured_against_productions_own_limit_once_it_is_fixed(rollout: Rollout) -> None:
    for n in range(200):
        rollout.log.predict("production", f"p{n}", ms=10.0 if n < 195 else 100.0)
    for n in range(50):
        rollout.log.predict("candidate", f"c{n}", ms=200.0)
    rollout.log.predict("candidate", "c", ms=9.0)
    rollout.log.ship()
    first = rollout.evidence()
    assert first.slow_ms == pytest.approx(10.0, rel=0.1)
    assert first.slow_ms >= 10.0
    assert (first.production.slow, first.candidate.slow) == (5, 50)
    slow = guardrail(first, SLOW)
    assert (slow.tripped, slow.candidate_bad, slow.span_seconds) == (True, 50, 49.0)
    fixed = rollout.evidence(slow_ms=150.0)
    assert (fixed.slow_ms, fixed.production.slow, fixed.candidate.slow) == (150.0, 0, 50)


def test_actual_prices_count_in_one_window_for_both(rollout: Rollout) -> None:
    policy = POLICY.model_copy(update={"error_maturity_days": 2.0})
    began = rollout.log.at
    for arm, price in (("production", 80.0), ("candidate", 125.0)):
        answer = rollout.log.predict(arm, arm)
        rollout.log.feedback(answer, "actual_price", price, at=began + timedelta(days=1))
        rollout.log.feedback(answer, "actual_price", 1.0, at=began + timedelta(days=3))
    young = rollout.log.predict("candidate", "young", at=began + timedelta(days=4))
    rollout.log.feedback(young, "actual_price", 50.0, at=began + timedelta(days=4, hours=1))
    rollout.log.ship()
    early = rollout.evidence(policy, now=began + timedelta(days=1))
    assert (early.production.prices, early.candidate.prices, early.candidate.mean_price_error) == (0, 0, None)
    found = rollout.evidence(policy, now=began + timedelta(days=5))
    assert (found.production.prices, found.production.mean_price_error) == (1, 0.25)
    assert (found.candidate.prices, found.candidate.mean_price_error) == (1, 0.2)
    assert found.candidate.ratings == 0


def test_a_user_of_two_steps_is_one_user_and_each_step_has_its_share(rollout: Rollout) -> None:
    for n in range(4):
        rollout.log.predict("production", f"p{n}")
    rollout.log.predict("candidate", "c")
    rollout.log.ship()
    rollout.ledger.share(rollout.product, 0.5, actor="kim", reason="more")
    rollout.log.step = rollout.state.step
    for user in ("p0", "p1", None):
        rollout.log.predict("production", user)
    for user in ("c", "p2", "p3"):
        rollout.log.predict("candidate", user)
    rollout.log.ship()
    found = rollout.evidence()
    assert (found.production.units, found.candidate.units) == (5, 3)
    ratio = found.sample_ratio
    assert (ratio.expected_share, ratio.production, ratio.candidate) == (0.5, 3, 3)
    assert rollout.evidence(watermark=found.watermark) == found


def test_raw_rows_up_to_the_watermark_tell_the_same_as_the_counts_did(rollout: Rollout) -> None:
    answers = rollout.rate_both(40, 3.5, 4.0)
    for n in range(300):
        arm = "candidate" if n % 5 == 0 else "production"
        user = None if n % 7 == 0 else f"{arm}{n % 60}"
        fallback = {"variant": "production"} if n % 50 == 0 and arm == "candidate" else {}
        rollout.log.predict(arm, user, ms=1.0 + (n * 37 % 101) ** 1.5 / 7, **fallback)
    rollout.log.fail("candidate")
    rollout.log.feedback(answers[0], "accurate")
    rollout.log.ship()
    before = rollout.evidence()
    # Later batches: a changed rating, more traffic, a failure. The past look must not see them.
    rollout.log.feedback(answers[0], "rating", 1.0, at=rollout.log.at + timedelta(hours=1))
    rollout.rate_both(5, 1.0, 1.0)
    rollout.log.fail("candidate")
    rollout.log.ship()
    replayed = rollout.evidence(watermark=before.watermark, slow_ms=None)
    assert replayed == before
    after = rollout.evidence()
    assert after.candidate.mean_rating != before.candidate.mean_rating
    assert rollout.evidence(watermark=after.watermark) == after


def test_without_a_candidate_there_is_no_evidence(rollout: Rollout) -> None:
    rollout.ledger.rollback(rollout.product, actor="kim", reason="no")
    with pytest.raises(ValueError, match="compares no candidate"):
        rollout.evidence()


def test_what_the_shipper_counted_is_what_it_wrote(rollout: Rollout, database: Database) -> None:
    """The real shipper, lines in a mess: late, repeated, without a step, of a user who changes sides."""
    draw = random.Random(3)
    log = LogDatabase(TimedConnection(database.engine.url.render_as_string(hide_password=False), name="test"))
    began = rollout.began.timestamp()
    for batch in range(4):
        lines = []
        for n in range(250):
            arm = draw.choice(["production"] * 4 + ["candidate", "candidate", "forced"])
            answered = draw.choice([arm] * 9 + ["production"]) if arm != "forced" else "candidate"
            prediction = str(uuid7(began + 40_000 * batch + n, 1000 * batch + n))
            lines.append(
                {"k": "p", "id": prediction, "product": rollout.product, "at": began + draw.uniform(0, 90_000),
                 "variant": answered, "version": {"production": 1, "candidate": 2}[answered], "assigned": arm,
                 "rollout": 1, "step": draw.choice([0, 0, 0, 1, None]), "user": draw.choice([None, f"u{n % 90}"]),
                 "features": {}, "output": {"estimate": 90.0}, "ms": draw.expovariate(0.05), "request_id": None,
                 "sample": False}
            )  # fmt: skip
            if n % 5 == 0:
                lines.append(
                    {"k": "f", "id": str(uuid7(began + n, 9000 + 1000 * batch + n)), "product": rollout.product,
                     "prediction_id": prediction, "at": began + draw.uniform(0, 99_000), "type": "rating",
                     "value": float(draw.randint(1, 5)), "text": None}
                )  # fmt: skip
        data = "".join(json.dumps(line) + "\n" for line in lines + lines[:40]).encode()
        log.ship(data)
        log.ship(data)
        found = rollout.evidence()
        assert found.candidate.requests > 0
        assert rollout.evidence(watermark=found.watermark) == found
        if batch == 1:
            half = found
    log.close()
    assert rollout.evidence(watermark=half.watermark) == half


def uuid7(seconds: float, number: int) -> UUID:
    return UUID(int=int(seconds * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | number)
