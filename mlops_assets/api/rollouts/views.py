"""Rows of the ledger as the API shows them. Pure: rows and a policy in, schemas out.

Add here how a new fact is shown. Keep out reading (`records`, the ledger) and words about the future (`outlook`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mlops_assets.api.rollouts.schemas import EntryView, LedgerPage, LookView, PointView, ReleaseView
from mlops_assets.rollout.decide import Verdict
from mlops_assets.rollout.facts import Evidence
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.storage.database import LedgerEntry, Release

MOST_POINTS = 400

WORDS = {
    Verdict.CONTINUE: "No verdict yet: the comparison goes on.",
    Verdict.ADVANCE: "The step passed: the candidate gets a larger share.",
    Verdict.PROMOTE: "The candidate is good enough: it becomes production.",
    Verdict.ROLL_BACK: "The candidate is worse or broken: it is withdrawn.",
    Verdict.EXPIRE: "No verdict in time: production stays.",
    Verdict.HOLD: "Waiting: something stands in the way, or there is nothing to compare.",
}


def release_view(
    release: Release,
    labels: Mapping[int, Sequence[str]],
    headline: Iterable[str],
    since: datetime | None = None,
) -> ReleaseView:
    """A release with the metrics named in `headline`; all of its metrics if none of those is there."""
    manifest = release.manifest or {}
    measured = {name: float(value) for name, value in (manifest.get("metrics") or {}).items()}
    chosen = {name: measured[name] for name in headline if name in measured}
    return ReleaseView(
        version=release.version,
        labels=list(labels.get(release.version, ())),
        created_at=release.created_at,
        since=since,
        data_version=release.dataset_version,
        sample_data=bool((manifest.get("dataset") or {}).get("sample", False)),
        run_id=release.run_id,
        archived=release.archived_at is not None,
        metrics=chosen or measured,
    )


def look_view(entry: LedgerEntry | None) -> LookView | None:
    """A recorded look; None if there is none."""
    if entry is None:
        return None
    verdict = str(entry.details.get("verdict", ""))
    return LookView(
        at=entry.created_at,
        verdict=verdict,
        words=WORDS.get(Verdict(verdict), verdict) if verdict in set(Verdict) else verdict,
        reasons=[str(reason) for reason in entry.details.get("reasons", ())],
        evidence=Evidence.from_json(entry.details["evidence"]),
    )


def policy_of(entry: LedgerEntry | None, declared: RolloutPolicy | None) -> RolloutPolicy:
    """The policy that the newest look used, which may run on a faster clock than the declared one."""
    used = entry.details.get("policy") if entry is not None else None
    if used:
        return RolloutPolicy.model_validate(used)
    return declared or RolloutPolicy()


def points(looks: Sequence[LedgerEntry]) -> list[PointView]:
    """The chart's points, at most a few hundred: looks that decided something are all kept."""
    every = max(1, -(-len(looks) // MOST_POINTS))
    last = len(looks) - 1
    undecided = {Verdict.CONTINUE.value, Verdict.HOLD.value}
    return [
        _point(entry)
        for index, entry in enumerate(looks)
        if index % every == 0 or index == last or entry.details.get("verdict") not in undecided
    ]


def _point(entry: LedgerEntry) -> PointView:
    seen = Evidence.from_json(entry.details["evidence"])
    margin = (entry.details.get("policy") or {}).get("margin", 0.0)
    point = PointView(
        at=entry.created_at,
        seq=entry.seq,
        verdict=str(entry.details.get("verdict", "")),
        event=entry.event,
        share=entry.candidate_share,
    )
    effect = seen.effect
    if effect is None:
        return point
    found = {"theta": effect.theta, "low": effect.low, "high": effect.high, "raters": effect.raters}
    return point.model_copy(update=found | {"margin": margin * effect.production_mean})


def ledger_page(entries: Sequence[LedgerEntry], limit: int) -> LedgerPage:
    """A page of `limit` decisions out of a read of `limit` + 1."""
    shown = entries[:limit]
    more = len(entries) > limit
    return LedgerPage(entries=[_entry(entry) for entry in shown], next_before=shown[-1].seq if more and shown else None)


def _entry(entry: LedgerEntry) -> EntryView:
    fields: dict[str, Any] = {name: getattr(entry, name) for name in EntryView.model_fields if name != "at"}
    return EntryView(at=entry.created_at, **fields)
