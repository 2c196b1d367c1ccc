"""Many simulated rollouts side by side: the evidence of each at every look, and what `decide` makes of it.

Keep out how traffic is made (`simulated_traffic`) and which questions are asked (`simulate`). Imports numpy at
once: import this module where it is needed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlops_assets.rollout import guardrails
from mlops_assets.rollout.confidence import half_width
from mlops_assets.rollout.decide import Verdict, decide
from mlops_assets.rollout.facts import Arm, Effect, Evidence, Guardrail, SampleRatio
from mlops_assets.rollout.guardrails import ERRORS, SLOW, Traffic
from mlops_assets.rollout.phases import comparing_phase, next_share
from mlops_assets.rollout.policy import HOURS_PER_DAY, SECONDS_PER_HOUR, RolloutPolicy
from mlops_assets.rollout.running_effect import Effects, RunningEffect
from mlops_assets.rollout.sample_ratio import StepUnits, sample_ratio
from mlops_assets.rollout.simulated_traffic import Interval, Source

FINAL = frozenset({Verdict.PROMOTE, Verdict.ROLL_BACK, Verdict.EXPIRE})


class Batch:
    """Rollouts of one source under one policy, each with its step, its day's traffic and its verdict."""

    def __init__(self, policy: RolloutPolicy, source: Source, guarded: bool, stratified: bool, clustered: bool) -> None:
        runs = source.runs
        self._policy, self._source = policy, source
        self._guarded, self._stratified = guarded, stratified
        self._ratings = RunningEffect(runs, source.bucket, clustered)
        self._share = np.full(runs, policy.steps[0])
        self._step = [0] * runs
        self._step_at = [0.0] * runs
        self._day = 0
        # Counts as `Traffic` takes them: requests, errors and slow requests, production first in each pair.
        self._today = np.zeros((runs, 6), dtype=np.int64)
        self._since = np.zeros((runs, 6), dtype=np.int64)
        self._closed: list[list[Traffic]] = [[] for _ in range(runs)]
        self._units: list[list[StepUnits]] = [[] for _ in range(runs)]
        self._first_bad, self._last_bad = np.full((runs, 2), np.inf), np.full((runs, 2), -np.inf)
        self.going = list(range(runs))
        self.verdicts: list[Verdict | None] = [None] * runs
        self.hours = [0.0] * runs

    def look(self, begin: float, hours: float) -> None:
        """Let the interval of `hours` from hour `begin` on pass, then decide about every rollout that goes on."""
        if int(begin // HOURS_PER_DAY) != self._day:
            self._day = int(begin // HOURS_PER_DAY)
            self._close(np.ones(len(self._share), dtype=bool))
        interval = self._source.draw(begin, hours, self._share)
        self._ratings.add(interval, self._share)
        self._today += np.concatenate([interval.requests, interval.errors, interval.slow], axis=1)
        self._note_bad(interval, begin, hours)
        effects = self._ratings.look(self._share)
        evidence = self._evidence(begin + hours, effects)
        advanced = np.zeros(len(self._share), dtype=bool)
        going = []
        for run, seen in zip(self.going, evidence, strict=True):
            phase = comparing_phase(float(self._share[run]), self._policy.steps)
            verdict = Verdict(decide(phase, self._step[run], False, seen, self._policy).verdict)
            self.hours[run] = begin + hours
            if verdict in FINAL:
                self.verdicts[run] = verdict
                continue
            going.append(run)
            advanced[run] = verdict is Verdict.ADVANCE
        self.going = going
        if advanced.any():
            self._advance(advanced, begin + hours)

    def _advance(self, which: np.ndarray, now: float) -> None:
        self._close(which, step_ends=True)
        for run in np.flatnonzero(which).tolist():
            share = next_share(float(self._share[run]), self._policy.steps)
            assert share is not None
            self._share[run] = share
            self._step[run] += 1
            self._step_at[run] = now

    def _close(self, which: np.ndarray, step_ends: bool = False) -> None:
        """End the day, or the step, of the runs `which`: a stratum of ratings and a block of traffic each."""
        if self._stratified:
            self._ratings.close(which, self._share)
        for run in np.flatnonzero(which).tolist():
            if step_ends:
                self._units[run].append(self._present_units(run))
            self._closed[run] = _merged([*self._closed[run], self._block(run)], self._policy)
        self._since[which] += self._today[which]
        self._today[which] = 0

    def _note_bad(self, interval: Interval, begin: float, hours: float) -> None:
        """When the candidate's first and last error and slow request came, at random within the interval."""
        bad = np.stack([interval.errors[:, 1], interval.slow[:, 1]], axis=1)
        some = bad > 0
        if not some.any():
            return
        to_first, to_last = self._source.edges(bad)
        self._first_bad = np.where(some, np.minimum(self._first_bad, begin + hours * to_first), self._first_bad)
        self._last_bad = np.where(some, begin + hours * to_last, self._last_bad)

    def _evidence(self, now: float, effects: Effects) -> list[Evidence]:
        policy, world = self._policy, self._source.world
        totals = self._since + self._today
        seen = []
        for run in self.going:
            counts = totals[run].tolist()
            ratings, raters = effects.ratings[run].tolist(), effects.raters[run].tolist()
            sums = effects.rating_sums[run].tolist()
            arms = [
                Arm(
                    requests=counts[arm],
                    errors=counts[2 + arm],
                    slow=counts[4 + arm],
                    units=counts[arm],
                    ratings=int(ratings[arm]),
                    raters=int(raters[arm]),
                    mean_rating=sums[arm] / ratings[arm] if ratings[arm] else None,
                    mean_ms=world.candidate_ms if arm else world.production_ms,
                )
                for arm in (0, 1)
            ]
            seen.append(
                Evidence(
                    hours=now,
                    step_hours=now - self._step_at[run],
                    production=arms[0],
                    candidate=arms[1],
                    effect=_effect(effects, run, policy),
                    guardrails=self._guardrails(run) if self._guarded else (),
                    sample_ratio=self._sample_ratio(run),
                )
            )
        return seen

    def _guardrails(self, run: int) -> tuple[Guardrail, ...]:
        spans = (self._last_bad[run] - self._first_bad[run]) * SECONDS_PER_HOUR
        known = {name: float(s) for name, s in zip((ERRORS, SLOW), spans, strict=True) if s >= 0}
        return guardrails.judge([*self._closed[run], self._block(run)], self._policy.guardrails, known)

    def _sample_ratio(self, run: int) -> SampleRatio:
        units = self._present_units(run)
        if not self._guarded:
            return SampleRatio(1.0, units.share, units.production, units.candidate)
        return sample_ratio([*self._units[run], units], self._step[run], planned=len(self._policy.steps))

    def _present_units(self, run: int) -> StepUnits:
        """Every request is a unit here."""
        step, today = self._step[run], self._today[run]
        before = [t for t in self._closed[run] if t.step == step]
        production = int(today[0]) + sum(t.production_requests for t in before)
        candidate = int(today[1]) + sum(t.candidate_requests for t in before)
        return StepUnits(step, float(self._share[run]), production, candidate)

    def _block(self, run: int) -> Traffic:
        return Traffic(self._step[run], float(self._share[run]), *self._today[run].tolist())


def _effect(effects: Effects, run: int, policy: RolloutPolicy) -> Effect | None:
    if not effects.known[run]:
        return None
    se, units = float(effects.se[run]), int(effects.units[run])
    half = half_width(se, units, policy.expected_raters, policy.alpha)
    return Effect(float(effects.theta[run]), se, half, units, float(effects.production[run]))


def _merged(blocks: list[Traffic], policy: RolloutPolicy) -> list[Traffic]:
    """The blocks with those of one step added up that count alike in the absolute guardrail."""
    limit = policy.guardrails.max_error_share
    sums: dict[tuple[int, bool], Traffic] = {}
    for block in blocks:
        key = block.step, block.production_errors <= limit * block.production_requests
        sums[key] = _added(sums[key], block) if key in sums else block
    return list(sums.values())


def _added(one: Traffic, other: Traffic) -> Traffic:
    return replace(
        one,
        production_requests=one.production_requests + other.production_requests,
        candidate_requests=one.candidate_requests + other.candidate_requests,
        production_errors=one.production_errors + other.production_errors,
        candidate_errors=one.candidate_errors + other.candidate_errors,
        production_slow=one.production_slow + other.production_slow,
        candidate_slow=one.candidate_slow + other.candidate_slow,
    )
