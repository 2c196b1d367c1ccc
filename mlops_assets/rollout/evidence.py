"""The evidence of a look, read from the prediction log in one transaction, so that it is one picture of one moment.

A look reads the log's running counts; a replay reads the raw rows up to the look's watermark and must find the
same. Add a fact here when `facts` has it. Keep out SQL (`counting`, `ratings`) and judgement (`decide`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, text

from mlops_assets.rollout import counting, guardrails, ratings
from mlops_assets.rollout.confidence import effect
from mlops_assets.rollout.counting import Answered, Counts
from mlops_assets.rollout.facts import Arm, Effect, Evidence, SampleRatio
from mlops_assets.rollout.guardrails import ERRORS, SLOW, Traffic
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.ratings import Ratings
from mlops_assets.rollout.sample_ratio import StepUnits, sample_ratio
from mlops_assets.rollout.state import State
from mlops_assets.storage.database import Database

PRODUCTION, CANDIDATE = "production", "candidate"
ARMS = (PRODUCTION, CANDIDATE)
# Raw rows of a large rollout take longer than the database's usual limit for a statement.
REPLAY_SECONDS = 600
MS_DIGITS = 2


def read_evidence(
    database: Database,
    state: State,
    policy: RolloutPolicy,
    now: datetime,
    *,
    slow_ms: float | None,
    candidate_problem: str | None,
    watermark: int | None = None,
) -> Evidence:
    """What the log holds of the rollout in `state` at `now` (UTC, aware).

    Args:
        slow_ms: production's p95 as an earlier look of the rollout fixed it; None lets this one fix it.
        candidate_problem: what is wrong with the candidate's service, if somebody knows.
        watermark: None for everything that is in the log, by its running counts. A replay gives the watermark of
            the look: then all comes from raw rows up to that batch.

    Raises:
        ValueError: no rollout is under way in `state`.
    """
    if state.rollout is None or state.candidate is None or state.started_at is None:
        raise ValueError(f"{state.product} compares no candidate")
    raw = watermark is not None
    with _one_picture(database, slow=raw) as connection:
        if watermark is None:
            watermark = counting.newest_batch(connection, state)
        counts = counting.count(connection, state, watermark, raw=raw)
        rated = ratings.read_ratings(connection, state, watermark)
        flags = ratings.read_flags(connection, state, watermark)
        maturity = timedelta(days=policy.error_maturity_days / policy.time_scale)
        prices = ratings.read_price_errors(connection, state, watermark, now, maturity)
    if slow_ms is None:
        slow_ms = _slow_limit_ms(counts, policy.guardrails.least_slow_ms)
    production, candidate = (_arm(name, counts, slow_ms, rated, flags, prices) for name in ARMS)
    judged = guardrails.judge(
        _traffic(counts, slow_ms), policy.guardrails, _spans(counts, slow_ms), slow_known=slow_ms is not None
    )
    return Evidence(
        hours=_hours(policy, state.started_at, now),
        step_hours=_hours(policy, state.step_at or state.started_at, now),
        production=production,
        candidate=candidate,
        effect=_effect(rated, policy),
        guardrails=judged,
        sample_ratio=_sample_ratio(counts, state, policy),
        slow_ms=slow_ms,
        candidate_problem=candidate_problem,
        drift_block=state.drift_block,
        watermark=watermark,
    )


@contextmanager
def _one_picture(database: Database, *, slow: bool) -> Iterator[Connection]:
    with database.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            if slow:
                limit = {"limit": f"{REPLAY_SECONDS}s"}
                connection.execute(text("SELECT set_config('statement_timeout', :limit, true)"), limit)
            yield connection


def _hours(policy: RolloutPolicy, since: datetime, now: datetime) -> float:
    return max(0.0, policy.hours((now - since).total_seconds()))


def _slow(row: Answered, slow_ms: float | None) -> bool:
    return row.own and slow_ms is not None and guardrails.upper_edge_ms(row.bucket) > slow_ms


def _slow_limit_ms(counts: Counts, least_ms: float) -> float | None:
    """Upper edge of the bucket with production's 95th percentile; None while it answered too few requests."""
    histogram: dict[int, int] = {}
    for row in counts.answered:
        if row.own and row.assigned == PRODUCTION:
            histogram[row.bucket] = histogram.get(row.bucket, 0) + row.requests
    bucket = guardrails.production_p95_bucket(histogram)
    return None if bucket is None else max(guardrails.upper_edge_ms(bucket), least_ms)


def _arm(
    name: str,
    counts: Counts,
    slow_ms: float | None,
    rated: Ratings,
    flags: Mapping[tuple[str, str], int],
    prices: Mapping[str, tuple[int, float]],
) -> Arm:
    answered = [row for row in counts.answered if row.assigned == name]
    own = sum(row.requests for row in answered if row.own)
    total = sum(row.requests for row in answered)
    nobody = sum(row.requests for row in counts.unanswered if row.assigned == name)
    number, raters, mean = rated.of(candidate=name == CANDIDATE)
    n_prices, error = prices.get(name, (0, None))
    return Arm(
        requests=total + nobody,
        errors=total - own + nobody,
        slow=sum(row.requests for row in answered if _slow(row, slow_ms)),
        units=counts.users.get(name, 0),
        ratings=number,
        raters=raters,
        mean_rating=mean,
        # The log keeps milliseconds in 4 bytes, its counts in 8: more digits would differ between the two.
        mean_ms=round(sum(row.sum_ms for row in answered if row.own) / own, MS_DIGITS) if own else None,
        accurate=flags.get((name, "accurate"), 0),
        too_high=flags.get((name, "too_high"), 0),
        too_low=flags.get((name, "too_low"), 0),
        mean_price_error=error,
        prices=n_prices,
    )


def _effect(rated: Ratings, policy: RolloutPolicy) -> Effect | None:
    return effect(
        rated.arm,
        rated.stratum,
        rated.user,
        rated.value,
        alpha=policy.alpha,
        expected_raters=policy.expected_raters,
    )


def _traffic(counts: Counts, slow_ms: float | None) -> list[Traffic]:
    """Requests and bad requests of each step and UTC day, in order.

    Those that nobody could answer are left out: what both services fail at is no sign against one of them, and one
    client that asks for it again and again must not end a rollout.
    """
    sums: dict[tuple[int, date], dict[str, int]] = {}

    def add(step: int, day: date, arm: str, requests: int, errors: int, slow: int) -> None:
        block = sums.setdefault((step, day), {})
        for what, n in (("requests", requests), ("errors", errors), ("slow", slow)):
            block[f"{arm}_{what}"] = block.get(f"{arm}_{what}", 0) + n

    for row in counts.answered:
        late = row.requests if _slow(row, slow_ms) else 0
        add(row.step, row.day, row.assigned, row.requests, 0 if row.own else row.requests, late)
    return [
        Traffic(step, counts.shares[step], **sums[step, day]) for step, day in sorted(sums) if step in counts.shares
    ]


def _spans(counts: Counts, slow_ms: float | None) -> dict[str, float]:
    """Seconds from the candidate's first bad request of a kind, among those that count, to its last."""
    answered = [row for row in counts.answered if row.assigned == CANDIDATE]
    bad = {
        ERRORS: [(row.first_at, row.last_at) for row in answered if not row.own],
        SLOW: [(row.first_at, row.last_at) for row in answered if _slow(row, slow_ms)],
    }
    return {
        name: (max(last for _, last in times) - min(first for first, _ in times)).total_seconds()
        for name, times in bad.items()
        if times
    }


def _sample_ratio(counts: Counts, state: State, policy: RolloutPolicy) -> SampleRatio:
    steps = sorted({step for step, _ in counts.units} & counts.shares.keys())
    units = [
        StepUnits(
            step,
            counts.shares[step],
            production=counts.units.get((step, PRODUCTION), 0),
            candidate=counts.units.get((step, CANDIDATE), 0),
        )
        for step in steps
    ]
    return sample_ratio(units, state.step, planned=len(policy.steps))
