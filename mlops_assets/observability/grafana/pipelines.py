"""The dashboard of declared pipelines: whether they load, run and succeed, and what they cost.

Add a panel here; it stands after the one before it, and the widths of a line add up to 24. Keep out products' runs
(`orchestration`). All runs of declared pipelines are the one job and product `pipelines` in figures that aren't kept
by pipeline.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units

from mlops_assets.observability.grafana import operation_queries, panels
from mlops_assets.observability.grafana.board import Panels, board, choice, firing
from mlops_assets.observability.grafana.measured import (
    Asked,
    Told,
    above,
    bars,
    lines,
    plain,
    rows,
    sizes,
    state,
    told,
)
from mlops_assets.observability.grafana.promql import RANGE, increase, of, quantile, rate, share, total

PIPELINE, KIND, ALL = 'pipeline=~"$pipeline"', 'kind="pipeline"', 'product="pipelines"'
FAILURE = 'outcome="FAILURE"'
FINISHED = "mlops_pipeline_runs_finished_total"


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "pipelines",
        "Pipelines",
        "Do declared pipelines load, run and succeed, and which of them use most?",
        pages=("pipelines", "runs", "artifacts"),
        variables=(choice("pipeline", "Pipeline", of(FINISHED), many=True),),
        parts=(("Now", _now()), ("Runs", _runs()), ("Stages and files", _stages())),
        since="now-24h",
    )


def _now() -> Panels:
    failed = total(increase(FINISHED, PIPELINE, FAILURE, window="24h"))
    ended = total(increase(FINISHED, PIPELINE, window="24h"))
    pipelines = 'limit="pipelines"'
    slots = f"sum({of('mlops_run_slots_used', pipelines)}) / (sum({of('mlops_run_slots', pipelines)}) > 0)"
    active, broken = 'state="active"', 'state="broken"'
    return [
        firing(3, "Alerts that concern the running of pipelines and fire now.", "QueueStuck", "QueueFull",
               "RunOverdue", "CodeLocationBroken"),
        state(told("Active", "Deployed and on their schedule or trigger.", f"sum({of('mlops_pipelines', active)})", 3,
                   height=4), units.NoUnit, plain(), none="none"),
        state(told("Broken", "Deployed, and can't be loaded.", f"sum({of('mlops_pipelines', broken)})", 3, height=4,
                   alerts=("CodeLocationBroken",)), units.NoUnit, above(None, 1), none="none"),
        state(told("Code location", "What all pipelines are loaded by.",
                   f"min({of('mlops_code_location_up')})", 3, height=4, alerts=("CodeLocationBroken",)),
              units.NoUnit, above(None, None), none="unknown",
              words={0: ("not loaded", "red"), 1: ("loaded", "green")}),
        state(told("Failed runs of 24 h", "Share of the chosen pipelines' runs.", share(failed, ended), 3, height=4),
              units.PercentUnit, above(0.1, 0.2), none="no runs"),
        state(told("Longest wait", "Of pipelines' runs in the queue now.",
                   f"max({of('mlops_run_queue_oldest_seconds', KIND)})", 3, height=4,
                   alerts=("QueueStuck", "QueueFull")), units.Seconds, above(20, 30), none="unknown"),
        state(told("Slots in use", "Share of how many pipelines' runs may go at once.", slots, 3, height=4,
                   alerts=("QueueFull",)), units.PercentUnit, above(0.8, 1), none="unknown"),
        state(told("Overdue runs", "Over their time limit by a minute.",
                   f"sum({of('mlops_runs_overdue', KIND)})", 3, height=4, alerts=("RunOverdue",)),
              units.NoUnit, above(1, None), none="unknown"),
    ]  # fmt: skip


def _runs() -> Panels:
    each = (
        Asked(total(increase(FINISHED, PIPELINE, window=RANGE), "pipeline"), "ended"),
        Asked(total(increase(FINISHED, PIPELINE, FAILURE, window=RANGE), "pipeline"), "failed"),
        Asked(f"time() - max by (pipeline) ({of('mlops_pipeline_last_success_timestamp_seconds', PIPELINE)})",
              "since success"),
    )  # fmt: skip
    worst = total(increase(FINISHED, PIPELINE, FAILURE, window=RANGE), "pipeline")
    return [
        bars(told("Runs that ended", "By outcome.", total(increase(FINISHED, PIPELINE), "outcome"), 8,
                  legend="{{outcome}}"), units.Short),
        lines(told("Runs that haven't ended", "By status.", total(of("mlops_runs", KIND), "status"), 8,
                   legend="{{status}}", alerts=("QueueStuck",)), units.Short, stacked=True),
        lines(told("Wait before the start", "95 of 100 runs of the hour before waited no longer.",
                   quantile(0.95, "mlops_run_wait_seconds", KIND, window="1h"), 8, alerts=("QueueFull",)),
              units.Seconds),
        rows(Told("Pipelines", "Those that ran last, in the chosen range.", each, 12, 10), ("pipeline",),
             {"since success": (units.Seconds, plain()), "failed": (units.Short, above(1, None))}, none="no runs"),
        sizes(told("Most failed runs", "In the chosen range; the ten worst.", f"topk(10, {worst}) > 0", 12,
                   legend="{{pipeline}}", height=10), units.Short, above(0, 5), none="none failed"),
    ]  # fmt: skip


def _stages() -> Panels:
    attempts = total(increase("mlops_stages_finished_total", ALL), "outcome")
    cost = total(increase("mlops_cost_total", ALL, window=RANGE), "currency")
    moved = (
        Asked(total(rate("mlops_stage_read_bytes_total", ALL)), "read"),
        Asked(total(rate("mlops_stage_written_bytes_total", ALL)), "written"),
    )
    return [
        bars(told("Attempts of stages", "Of all pipelines, by outcome; LOST: the process ended without a word.",
                  attempts, 8, legend="{{outcome}}", alerts=("StagesLost",)), units.Short),
        lines(told("Duration of stages", "95 of 100 attempts of the hour before took no longer.",
                   quantile(0.95, "mlops_stage_duration_seconds", ALL, window="1h"), 8), units.Seconds),
        lines(told("CPU", "Cores in use by stages of all pipelines.",
                   total(rate("mlops_stage_cpu_seconds_total", ALL)), 8), units.Short),
        lines(Told("Reading and writing", "Bytes a second, of all pipelines.", moved, 8), units.BytesPerSecondSI),
        sizes(told("Kept files", "That runs left, by kind of storage.", of("mlops_artifact_bytes"), 8,
                   legend="{{storage}}"), units.BytesSI, plain(), none="no files"),
        sizes(told("Cost", "Of all pipelines in the chosen range, at the set prices.", cost, 8,
                   legend="{{currency}}"), units.Short, plain(), none="no attempts"),
        panels.rows(
            panels.Shown("What pipelines use", "In the chosen range; those with most CPU time, from the database.",
                         operation_queries.COSTLY_PIPELINES, 12, 10),
            {"seconds": panels.unit_look(units.Seconds), "CPU seconds": panels.unit_look(units.Seconds),
             "peak memory": panels.unit_look(units.BytesSI)},
        ),
        panels.rows(
            panels.Shown("Stages that didn't succeed", "The newest 20 attempts in the chosen range.",
                         operation_queries.FAILED_PIPELINE_STAGES, 12, 10),
            {"started": panels.unit_look(units.DatetimeISO), "seconds": panels.unit_look(units.Seconds)},
        ),
    ]  # fmt: skip
