"""Quality gates: declared limits against the hold-out's metrics, as pure decisions.

Add a kind of limit here together with its field in `spec.Gate`. Keep out how metrics come about (`evaluate`,
`scores`) and what a failed gate stops (`checks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.training import scores
from mlops_assets.training.spec import Gate

if TYPE_CHECKING:
    import pandas as pd

SHOWN_SEGMENTS = 5


@dataclass(frozen=True)
class Verdict:
    """One gate's outcome. `production` is production's value of the same metric on the same rows, if it has one."""

    gate: Gate
    passed: bool
    value: float | None
    production: float | None
    message: str

    @property
    def limit(self) -> str:
        """The limit in words."""
        if self.gate.worse_than_production is not None:
            return f"at most {self.gate.worse_than_production:.1%} worse than production"
        low = f"≥ {self.gate.minimum:g}" if self.gate.minimum is not None else ""
        high = f"≤ {self.gate.maximum:g}" if self.gate.maximum is not None else ""
        return " and ".join(part for part in (low, high) if part)


def judge(
    gate: Gate,
    metrics: Mapping[str, float],
    segments: Mapping[str, pd.DataFrame],
    production: Mapping[str, float] | None,
) -> Verdict:
    """Apply one gate. A metric that wasn't measured fails its gate: nothing passes unseen.

    `segments` are the evaluation's tables by column; `production` None means nothing is in production.
    """
    beside = production.get(gate.metric) if production else None
    if gate.segment is not None:
        return _by_segment(gate, segments.get(gate.segment), beside)
    value = metrics.get(gate.metric)
    if value is None:
        return Verdict(gate, False, None, beside, f"{gate.metric} wasn't measured; there are {_listed(metrics)}")
    if gate.worse_than_production is not None:
        return _against_production(gate, value, beside)
    passed = _inside(gate, value)
    word = "within" if passed else "outside"
    verdict = Verdict(gate, passed, value, beside, "")
    return Verdict(gate, passed, value, beside, f"{gate.metric} {value:.4g} is {word} {verdict.limit}")


def _inside(gate: Gate, value: float) -> bool:
    above = gate.minimum is None or value >= gate.minimum
    below = gate.maximum is None or value <= gate.maximum
    return above and below


def _against_production(gate: Gate, value: float, production: float | None) -> Verdict:
    assert gate.worse_than_production is not None
    if production is None:
        return Verdict(gate, True, value, None, f"{gate.metric} {value:.4g}; nothing in production to compare with")
    margin = abs(production) * gate.worse_than_production
    worst = production - margin if scores.higher_is_better(gate.metric) else production + margin
    passed = value == worst or scores.better(gate.metric, value, worst)
    word = "not worse" if passed else "worse"
    message = (
        f"{gate.metric} {value:.4g} is {word} than production's {production:.4g} "
        f"by more than {gate.worse_than_production:.1%}"
    )
    return Verdict(gate, passed, value, production, message)


def _by_segment(gate: Gate, table: pd.DataFrame | None, production: float | None) -> Verdict:
    if table is None or gate.metric not in table.columns:
        return Verdict(gate, False, None, production, f"{gate.metric} wasn't measured by {gate.segment}")
    counted = table[table["rows"] >= gate.segment_min_rows]
    if counted.empty:
        message = f"no {gate.segment} has {gate.segment_min_rows} rows: nothing to judge"
        return Verdict(gate, True, None, production, message)
    values = dict(zip(counted[gate.segment].astype(str), counted[gate.metric].astype(float), strict=True))
    outside = {name: value for name, value in values.items() if not _inside(gate, value)}
    worst_first = sorted(values, key=lambda name: values[name], reverse=not scores.higher_is_better(gate.metric))
    worst = values[worst_first[0]]
    shown = ", ".join(f"{name} {values[name]:.4g}" for name in worst_first[:SHOWN_SEGMENTS])
    word = f"{len(outside)} of {len(values)} outside" if outside else f"all {len(values)} within"
    return Verdict(gate, not outside, worst, production, f"{gate.metric} by {gate.segment}: {word}; worst: {shown}")


def _listed(metrics: Mapping[str, float]) -> str:
    return ", ".join(sorted(metrics)) or "none"
