"""The dashboard of rollouts: who serves whom, how a comparison goes, and what was decided by whom.

Add a panel here; it stands after the one before it, and the widths of a line add up to 24. Keep out the evidence of a
look, which the console shows.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units

from mlops_assets.observability.grafana import operation_queries, panels
from mlops_assets.observability.grafana.board import Panels, board, choice, firing
from mlops_assets.observability.grafana.measured import (
    above,
    bars,
    lines,
    plain,
    rows,
    sizes,
    state,
    timeline,
    told,
)
from mlops_assets.observability.grafana.promql import RANGE, increase, of, quantile, rate, share, total

PRODUCT = 'product=~"$product"'
CANDIDATE = 'variant="candidate"'
ARM = ("product", "variant")
LEGEND = "{{product}} {{variant}}"
QUIET = "no traffic"
# How long a release may take to be loaded, and a look to come; as the alerts have it.
STUCK_SECONDS, LOOK_SECONDS = 2700, 7500
LOADING = 'phase=~"shadow|promoting"'
GOING = 'phase=~"shadow|ramp|hold|promoting|watch"'


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "rollout",
        "Rollouts",
        "Which release serves whom, how does the comparison go, and who decided what?",
        pages=("rollouts", "drift"),
        variables=(choice("product", "Product", of("mlops_rollout_phase")),),
        parts=(("Now", _now()), ("Comparison", _comparison()), ("Releases and decisions", _decisions())),
        since="now-7d",
    )


def _now() -> Panels:
    loading = f"({of('mlops_rollout_phase', PRODUCT, LOADING)} == 1)"
    waited = f"max({of('mlops_rollout_phase_seconds', PRODUCT)} and on (product) {loading})"
    failed = total(rate("prediction_errors_total", PRODUCT, CANDIDATE, 'status=~"5.."', window="5m"))
    answered = total(rate("predictions_total", PRODUCT, CANDIDATE, window="5m"))
    return [
        firing(4, "Alerts of rollouts that fire now, of all products.", "CandidateStuck", "LooksMissing",
               "CandidateErrors"),
        state(told("Rollouts that go on", "From the moment a candidate is loaded until it is decided and watched.",
                   f"sum({of('mlops_rollout_phase', PRODUCT, GOING)})", 4, height=4), units.NoUnit, plain(),
              none="none"),
        state(told("Candidates' share", "Of users, the largest of the chosen products.",
                   f"max({of('mlops_rollout_candidate_share', PRODUCT)})", 4, height=4), units.PercentUnit, plain(),
              none="none"),
        state(told("Waiting to be loaded", "Longest time that a release has been about to be loaded.", waited, 4,
                   height=4, alerts=("CandidateStuck",)), units.Seconds, above(600, STUCK_SECONDS), none="none"),
        state(told("Since the newest look", "Of the comparison that was looked at longest ago; one is due every hour.",
                   f"max({of('mlops_rollout_look_age_seconds', PRODUCT)})", 4, height=4, alerts=("LooksMissing",)),
              units.Seconds, above(4500, LOOK_SECONDS), none="none"),
        state(told("Candidates' failures", "Share of their predictions of 5 minutes; a guardrail ends it soon.",
                   share(failed, f"({answered} + {failed})"), 4, height=4, alerts=("CandidateErrors",)),
              units.PercentUnit, above(0.005, 0.01), none=QUIET),
    ]  # fmt: skip


def _comparison() -> Panels:
    phases = f"max by (product, phase) ({of('mlops_rollout_phase', PRODUCT)}) == 1"
    feedback = total(increase("mlops_feedback_logged_total", PRODUCT), *ARM, "kind")
    failed = total(rate("prediction_errors_total", PRODUCT, 'status=~"5.."'), *ARM)
    answered = total(rate("predictions_total", PRODUCT), *ARM)
    return [
        timeline(told("Phases", "The phase that each product's rollout was in.", phases, 24,
                      legend="{{product}} {{phase}}", alerts=("CandidateStuck",)), {1: ("in it", "blue")},
                 none="no rollouts"),
        lines(told("Candidate's share", "Of users, by product.", of("mlops_rollout_candidate_share", PRODUCT), 8,
                   legend="{{product}}"), units.PercentUnit),
        lines(told("Logged predictions", "A second, by variant, as they come into the database.",
                   total(rate("mlops_predictions_logged_total", PRODUCT), *ARM), 8, legend=LEGEND),
              units.RequestsPerSecond),
        bars(told("Logged feedback", "By variant and kind.", feedback, 8, legend=f"{LEGEND} {{{{kind}}}}"),
             units.Short),
        lines(told("Failed predictions by variant", "Share that ended in an error of the service.",
                   share(failed, f"({answered} + {failed})"), 8, legend=LEGEND, alerts=("CandidateErrors",)),
              units.PercentUnit, steps=above(0.005, 0.01)),
        lines(told("Time to predict by variant", "95 of 100 single predictions took no longer.",
                   quantile(0.95, "prediction_duration_seconds", PRODUCT, by=ARM), 8, legend=LEGEND), units.Seconds),
        sizes(told("Stars", "Mean rating of the last 24 h, by variant.", of("mlops_rating_mean", PRODUCT), 8,
                   legend=LEGEND), units.Short, plain(), none="no ratings"),
    ]  # fmt: skip


def _decisions() -> Panels:
    roles = f"max by (product, role, release) ({of('mlops_release_info', PRODUCT)})"
    ages = f"max by (product, role) ({of('mlops_release_age_seconds', PRODUCT)})"
    acts = total(increase("mlops_rollout_transitions_total", PRODUCT, window=RANGE), "product", "action")
    return [
        rows(told("Releases", "Which release has which role.", roles, 8, legend="now"),
             ("product", "role", "release"), {}, none="no releases"),
        sizes(told("Age of releases", "Since each was trained.", ages, 8, legend="{{product}} {{role}}"),
              units.Seconds, plain(), none="no releases"),
        sizes(told("Decisions", "In the chosen range, by kind.", f"{acts} > 0", 8, legend="{{product}} {{action}}"),
              units.Short, plain(), none="none"),
        panels.rows(
            panels.Shown("Ledger", "The newest 30 decisions in the chosen range: what, by whom and why.",
                         operation_queries.DECISIONS, 24, 10),
            {"at": panels.unit_look(units.DatetimeISO), "share": panels.unit_look(units.PercentUnit),
             "reason": panels.width_look(420)},
        ),
    ]  # fmt: skip
