"""Who serves, and where each product's rollout stands, read from the ledger.

Keep out what was answered (`prediction_log`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.source import Source, rows
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.rollout.phases import COMPARING, Phase

EVERY_SECONDS = 15.0
# Told by `prediction_log`.
LOGGED = ("mlops_predictions_", "mlops_feedback_", "mlops_rating_", "mlops_prediction_log_")
ROLES = ("production", "candidate", "previous")

# The newest row of each product is its state.
_STATES = """
SELECT l.product, l.phase, l.candidate_share AS share, l.production, l.candidate, l.previous,
  extract(epoch FROM now() - coalesce(l.phase_at, l.created_at))::float8 AS phase_seconds,
  extract(epoch FROM now() - coalesce((
    SELECT e.created_at FROM mlops.ledger AS e
    WHERE e.product = l.product AND e.rollout = l.rollout AND jsonb_exists(e.details, 'evidence')
    ORDER BY e.seq DESC LIMIT 1), l.started_at))::float8 AS look_age
FROM (SELECT DISTINCT product FROM mlops.release) AS known, LATERAL (
  SELECT * FROM mlops.ledger AS e WHERE e.product = known.product ORDER BY e.seq DESC LIMIT 1) AS l
ORDER BY l.product
"""
_RELEASES = """
SELECT product, version, extract(epoch FROM now() - created_at)::float8 AS age
FROM mlops.release WHERE uri IS NOT NULL AND (product, version) IN (
  SELECT * FROM unnest(CAST(:products AS text[]), CAST(:versions AS integer[])))
"""
_ACTIONS = "SELECT product, event, count(*) AS entries FROM mlops.ledger GROUP BY 1, 2 ORDER BY max(id) DESC"


def collector(source: Source) -> Collector:
    """Looks every fifteen seconds."""

    def look(sheet: Sheet) -> None:
        with source.asking() as connection:
            states = rows(connection, _STATES)
            serving = [(s.product, v) for s in states for v in (s.production, s.candidate, s.previous) if v is not None]
            asked = {"products": [p for p, _ in serving], "versions": [v for _, v in serving]}
            ages = {(row.product, row.version): row.age for row in rows(connection, _RELEASES, asked)}
            actions = rows(connection, _ACTIONS)
        for state in states:
            _put_state(sheet, state, ages)
        for row in actions:
            sheet.put("mlops_rollout_transitions_total", row.entries, product=row.product, action=row.event)

    return Collector("rollouts", of_group("rollouts", but=LOGGED), EVERY_SECONDS, look)


def _put_state(sheet: Sheet, state: Row[Any], ages: dict[tuple[str, int], float]) -> None:
    product = state.product
    for role in ROLES:
        release = getattr(state, role)
        if release is not None:
            sheet.put("mlops_release_info", 1, product=product, role=role, release=release)
            sheet.put("mlops_release_age_seconds", ages.get((product, release)), product=product, role=role)
    for phase in Phase:
        sheet.put("mlops_rollout_phase", state.phase == phase, product=product, phase=phase)
    sheet.put("mlops_rollout_phase_seconds", state.phase_seconds, product=product)
    sheet.put("mlops_rollout_candidate_share", state.share, product=product)
    if state.phase in COMPARING:
        sheet.put("mlops_rollout_look_age_seconds", state.look_age, product=product)
