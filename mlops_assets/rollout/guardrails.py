"""Per-request guardrails: is the candidate's share of bad requests too large for its traffic?

E-processes over plain counts, so that every look may decide and an outage that hits both arms ends nothing. Add
a guardrail here when a bad request has a new meaning. Keep out where requests are counted (`evidence`) and what
a tripped guardrail does (`decide`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mlops_assets.rollout import policy
from mlops_assets.rollout.facts import Guardrail

ERRORS = "errors"  # requests that the arm's service didn't answer, relative to production
SLOW = "slow"  # requests slower than production's own p95, relative to production
ERROR_SHARE = "error_share"  # the candidate's errors among its requests, while production keeps the limit

LARGEST = 1e300  # what an e-value is capped at, so that it survives JSON
LOG_LARGEST = math.log(LARGEST)
# How many times the odds of a bad request exceed the limit, under the alternatives that are mixed evenly: from just
# above the limit, which takes long to tell, to "every request fails", which has to be told in minutes.
ODDS = (1.25, 2.0, 4.0, 8.0, 16.0, 60.0, 1000.0)

FIRST_EDGE_MS = 0.05
EDGE_RATIO = 1.1
LAST_BUCKET = 160
ROUNDING = 1e-9
SLOW_QUANTILE = 0.95
SHARE_GRID = 200  # measured shares are rounded up to whole 1/200
MIN_FOR_QUANTILE = 30  # production's requests that fix the limit; any limit is fair, since both arms meet it


@dataclass(frozen=True)
class Traffic:
    """Requests of one ramp step on one UTC day, by the arm that the gateway assigned; `share` is the candidate's
    as told. Errors and slow requests are counted among the requests.
    """

    step: int
    share: float
    production_requests: int = 0
    candidate_requests: int = 0
    production_errors: int = 0
    candidate_errors: int = 0
    production_slow: int = 0
    candidate_slow: int = 0


def null_share(share: float, rate_ratio: float) -> float:
    """The largest innocent share of bad requests: `rate_ratio` times the share of traffic.

    Near a share of 1 that has no room, so there production's bad requests may shrink to half their share at most
    (or 1/rate_ratio, if that is less): 0.75 at a share of a half and a ratio of 1.5, whichever way it is reached.
    """
    return min(rate_ratio * share, 1 - (1 - share) / max(2.0, rate_ratio))


def e_value(counts: Sequence[tuple[float, int, int]], rate_ratio: float) -> float:
    """Evidence that the candidate has too many of the bad requests; `counts` (share, production's, candidate's).

    One entry a ramp step. Each alternative multiplies its likelihood ratios over the steps, then alternatives are
    averaged: one nonnegative supermartingale while in each step the chance that a bad request is the candidate's
    is at most `null_share`. So it reaches 1/alpha at any time with probability alpha or less. Capped at 1e300.
    """
    return _mixture([(null_share(share, rate_ratio), bad, other) for share, other, bad in counts])


def absolute_e_value(traffic: Iterable[Traffic], max_error_share: float) -> float:
    """Evidence that the candidate fails more than `max_error_share` of its requests.

    Days and steps in which production itself kept the limit count; in the others something else is broken.
    """
    requests = errors = 0
    for block in traffic:
        if block.production_requests > 0 and block.production_errors <= max_error_share * block.production_requests:
            requests += block.candidate_requests
            errors += block.candidate_errors
    return _mixture([(max_error_share, errors, requests - errors)])


def judge(
    traffic: Sequence[Traffic], limits: policy.Guardrails, spans: Mapping[str, float], slow_known: bool = True
) -> tuple[Guardrail, ...]:
    """Every guardrail over the traffic since the rollout began.

    `spans` are real seconds from the candidate's first to its last bad request, under `ERRORS` and `SLOW`; a
    missing one is 0. `slow_known` is false while production's p95 isn't fixed yet: then slowness isn't judged.
    """
    limit = 1 / limits.alpha
    errors = sum(t.production_errors for t in traffic), sum(t.candidate_errors for t in traffic)
    slow = sum(t.production_slow for t in traffic), sum(t.candidate_slow for t in traffic)
    by_step = _by_step(traffic)
    failed = [(share, bad[0], bad[1]) for share, bad in by_step]
    late = [(share, bad[2], bad[3]) for share, bad in by_step]
    span = spans.get(ERRORS, 0.0)
    absolute = absolute_e_value(traffic, limits.max_error_share)
    judged = [
        Guardrail(ERRORS, e_value(failed, limits.rate_ratio), limit, *errors, span),
        Guardrail(ERROR_SHARE, absolute, limit, *errors, span),
    ]
    if slow_known:
        judged.append(Guardrail(SLOW, e_value(late, limits.rate_ratio), limit, *slow, spans.get(SLOW, 0.0)))
    return tuple(judged)


def latency_bucket(ms: float) -> int:
    """The bucket of a latency: the first whose upper edge isn't below it, rounding apart."""
    if ms <= FIRST_EDGE_MS:
        return 0
    return min(math.ceil(math.log(ms / FIRST_EDGE_MS) / math.log(EDGE_RATIO) - ROUNDING), LAST_BUCKET)


def upper_edge_ms(bucket: int) -> float:
    """The largest latency of a bucket, in milliseconds."""
    return FIRST_EDGE_MS * EDGE_RATIO**bucket


def production_p95_bucket(histogram: Mapping[int, int]) -> int | None:
    """The bucket that holds production's 95th percentile, of bucket → requests; None below 30 requests."""
    total = sum(histogram.values())
    if total < MIN_FOR_QUANTILE:
        return None
    below = 0
    for bucket in sorted(histogram):
        below += histogram[bucket]
        if below >= SLOW_QUANTILE * total:
            return bucket
    raise AssertionError("a histogram's quantile lies in one of its buckets")


def slow_requests(histogram: Mapping[int, int], bucket: int) -> int:
    """Requests above the upper edge of `bucket`."""
    return sum(count for b, count in histogram.items() if b > bucket)


def _by_step(traffic: Iterable[Traffic]) -> list[tuple[float, list[int]]]:
    """(share, bad requests) of each step; the share is the told one, or that of its requests if that is larger.

    Users are split, so a busy one brings an arm more than a user's share of requests, bad ones among them. A
    larger share only ever lowers the e-value, whatever the counts, so it stays one.
    """
    sums: dict[int, tuple[float, list[int]]] = {}
    for t in traffic:
        _, totals = sums.setdefault(t.step, (t.share, [0] * 6))
        counts = (t.production_errors, t.candidate_errors, t.production_slow, t.candidate_slow)
        for index, count in enumerate((*counts, t.production_requests, t.candidate_requests)):
            totals[index] += count
    steps = []
    for share, totals in sums.values():
        requests = totals[4] + totals[5]
        busy = math.ceil(SHARE_GRID * totals[5] / requests) / SHARE_GRID if requests else 0.0
        steps.append((max(share, min(busy, 1 - 1 / SHARE_GRID)), totals))
    return steps


def _mixture(blocks: Sequence[tuple[float, int, int]]) -> float:
    """The mixture over `ODDS` of blocks (limit, bad, good), by log-sum-exp."""
    logs = [0.0] * len(ODDS)
    for limit, bad, good in blocks:
        if bad or good:
            for index, (gain, loss) in enumerate(_ratios(limit)):
                logs[index] += bad * gain + good * loss
    top = max(logs)
    if top > LOG_LARGEST:
        return LARGEST
    total = sum(math.exp(log - top) for log in logs)
    return min(math.exp(top) * total / len(ODDS), LARGEST)


@lru_cache(maxsize=4096)
def _ratios(limit: float) -> tuple[tuple[float, float], ...]:
    """For each alternative, the log likelihood ratio of a bad event and of a good one."""
    odds = limit / (1 - limit)
    loss = [math.log((1 + odds) / (1 + times * odds)) for times in ODDS]
    return tuple((math.log(times) + good, good) for times, good in zip(ODDS, loss, strict=True))
