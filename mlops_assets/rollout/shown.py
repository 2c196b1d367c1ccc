"""A look for people: tables and sentences, as Dagster's metadata and checks show them.

Keep out pictures (`chart`) and the console (`commands`).
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from mlops_assets.rollout.facts import Arm, Evidence
from mlops_assets.rollout.looking import LookResult
from mlops_assets.rollout.policy import RolloutPolicy

Check = tuple[bool, str, dict[str, Any]]

ROWS = (
    "requests", "not answered by its service", "slow", "users", "ratings", "raters", "mean rating", "mean ms",
    "called accurate", "called too high", "called too low", "actual prices", "mean error against actual prices",
)  # fmt: skip


def arms(evidence: Evidence) -> str:
    """Both arms as a Markdown table."""
    rows = ["| | production | candidate |", "|---|---:|---:|"]
    for name, production, candidate in zip(ROWS, _cells(evidence.production), _cells(evidence.candidate), strict=True):
        rows.append(f"| {name} | {production} | {candidate} |")
    return "\n".join(rows)


def _cells(arm: Arm) -> list[str]:
    counts = (arm.requests, arm.errors, arm.slow, arm.units, arm.ratings, arm.raters)
    flags = (arm.accurate, arm.too_high, arm.too_low, arm.prices)
    return [
        *(f"{n:,}" for n in counts),
        _number(arm.mean_rating, ".2f"),
        _number(arm.mean_ms, ".1f"),
        *(f"{n:,}" for n in flags),
        _number(arm.mean_price_error, ".1%"),
    ]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def verdict(result: LookResult) -> dict[str, Any]:
    """Metadata of a look: verdict, reasons, the difference with its band, and e-values."""
    if result.evidence is None or result.decision is None:
        return {"said": result.said}
    effect = result.evidence.effect
    found: dict[str, Any] = {
        "verdict": result.verdict,
        "recorded": result.recorded,
        "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in result.decision.reasons)),
        "phase": str(result.state.phase),
        "counts": dg.MetadataValue.md(arms(result.evidence)),
    }
    if effect is not None:
        found |= {
            "theta": round(effect.theta, 4),
            "low": round(effect.low, 4),
            "high": round(effect.high, 4),
            "raters": effect.raters,
        }
    return found | {f"e_value_{g.name}": g.e_value for g in result.evidence.guardrails}


def sample_ratio(result: LookResult, policy: RolloutPolicy) -> Check:
    """Whether users are split as told."""
    if result.evidence is None:
        return True, result.said, {}
    ratio = result.evidence.sample_ratio
    told = "" if ratio.expected_share is None else f", {ratio.expected_share:.0%} expected"
    said = f"{ratio.candidate:,} users of the candidate, {ratio.production:,} of production in this step{told}"
    return (
        ratio.p_value >= policy.min_sample_ratio_p,
        said,
        {"p_value": ratio.p_value, "limit": f"≥ {policy.min_sample_ratio_p:g}"},
    )


def guardrails(result: LookResult) -> Check:
    """Whether every per-request limit is kept."""
    if result.evidence is None:
        return True, result.said, {}
    judged = result.evidence.guardrails
    tripped = [g.name for g in judged if g.tripped]
    said = f"tripped: {', '.join(tripped)}" if tripped else f"kept: {', '.join(g.name for g in judged)}"
    rows = ["| guardrail | e-value | limit | candidate | production |", "|---|---:|---:|---:|---:|"]
    rows += [
        f"| {g.name} | {g.e_value:.3g} | {g.limit:g} | {g.candidate_bad:,} | {g.production_bad:,} |" for g in judged
    ]
    return not tripped, said, {"guardrails": dg.MetadataValue.md("\n".join(rows))}
