"""The dashboard of serving: what users get, by product and variant, and whether the objectives hold.

Add a panel here; it stands after the one before it, and the widths of a line add up to 24. Keep out who is compared
with whom (`rollout`). A product without traffic has no shares and no latencies; it shows that, never an error.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard, units

from mlops_assets.observability.grafana.board import Panels, board, choice, firing
from mlops_assets.observability.grafana.measured import (
    Asked,
    Told,
    above,
    bars,
    below,
    lines,
    plain,
    rows,
    sizes,
    state,
    told,
)
from mlops_assets.observability.grafana.promql import RANGE, STEP, increase, of, quantile, rate, share, total

PRODUCT, VARIANT = 'product=~"$product"', 'variant=~"$variant"'
USERS, SERVICE = 'side="users"', 'side="service"'
SERVICES, GATEWAY = 'job="services"', 'job="gateway"'
ARM = ("product", "variant")
QUIET = "no traffic"
AVAILABILITY = ("AvailabilityFastBurn", "AvailabilityBurn", "AvailabilitySlowBurn")
LATENCY = ("LatencyFastBurn", "LatencyBurn", "LatencySlowBurn")
ALERTS = (
    *("ServiceDown", "ServiceNotReady", "GatewayDown", "RoutesRefused", "AnswersFailing", "PredictionsFailing"),
    *("TrafficLimited", "ModelSwapFailed", "ShipperSilent", "PredictionLogBehind", "PredictionLogLost"),
    *(*AVAILABILITY, *LATENCY),
)


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "serving",
        "Serving",
        "What do users get, how fast, and from which variant? The first lines say whether it is well.",
        pages=("rollouts", "health", "trace"),
        variables=(
            choice("product", "Product", of("up", SERVICES)),
            choice("variant", "Variant", of("up", SERVICES)),
        ),
        parts=(
            ("Now", _now()),
            ("Objectives", _objectives()),
            ("Users, at the gateway", _gateway()),
            ("Services, by variant", _services()),
            ("Prediction log and programs", _programs()),
        ),
        since="now-3h",
    )


def _failed(window: str, *by: str) -> str:
    """Share of users' requests that got an error of the server."""
    counted = "envoy_cluster_upstream_rq_xx"
    failed = total(rate(counted, USERS, PRODUCT, 'envoy_response_code_class="5"', window=window), *by)
    return share(failed, total(rate(counted, USERS, PRODUCT, window=window), *by))


def _gateway_seconds(part: float, window: str, *by: str) -> str:
    # Envoy measures milliseconds.
    return f"({quantile(part, 'envoy_cluster_upstream_rq_time', USERS, PRODUCT, by=by, window=window)}) / 1000"


def _now() -> Panels:
    down = f"sum({of('up', SERVICES, PRODUCT)} == bool 0)"
    unready = of("envoy_cluster_membership_healthy", SERVICE, PRODUCT, 'variant="production"')
    released = of("mlops_release_info", 'role="production"')
    requests = total(rate("envoy_cluster_upstream_rq_xx", USERS, PRODUCT, window="5m"))
    waits = of("mlops_prediction_log_backlog_seconds")
    return [
        firing(4, "Alerts of serving that fire now, of all products.", *ALERTS),
        state(told("Gateway", "Every answer passes it.", f"min({of('up', GATEWAY)})", 4, height=4,
                   alerts=("GatewayDown", "RoutesRefused")),
              units.NoUnit, below(1), none="unknown", words={0: ("down", "red"), 1: ("up", "green")}),
        state(told("Services that don't answer", "Of the chosen products, both variants.", down, 4, height=4,
                   alerts=("ServiceDown",)), units.NoUnit, above(None, 1), none="no services"),
        state(told("Production services that aren't ready", "As the gateway sees it, of products with a release.",
                   f"sum(({unready} == bool 0) and on (product) {released})", 4, height=4,
                   alerts=("ServiceNotReady",)), units.NoUnit, above(None, 1), none="no releases"),
        state(told("Failed answers", "Share of users' requests of 5 minutes that got an error of the server.",
                   _failed("5m"), 4, height=4, alerts=("AnswersFailing", *AVAILABILITY)),
              units.PercentUnit, above(0.01, 0.05), none=QUIET),
        state(told("95 of 100 answers within", "As the gateway measured in 5 minutes.", _gateway_seconds(0.95, "5m"),
                   4, height=4, alerts=LATENCY), units.Seconds, above(0.1, 0.5), none=QUIET),
        state(told("Requests", "Of users, a second, over 5 minutes.", f"{requests} > 0", 6, height=4),
              units.RequestsPerSecond, plain(), none=QUIET),
        state(told("Prediction log behind", "How long the oldest answer waits to be written to the database.", waits,
                   6, height=4, alerts=("PredictionLogBehind", "ShipperSilent")),
              units.Seconds, above(30, 60), none="no log yet"),
        state(told("Lost lines of the log", "In the chosen range; the disk took none for too long.",
                   total(increase("journal_lost_lines_total", PRODUCT, window=RANGE)), 6, height=4,
                   alerts=("PredictionLogLost",)), units.Short, above(None, 1), none=QUIET),
        state(told("Refused for being too many", "Requests of 5 minutes that got a 429.",
                   total(increase("envoy_http_local_rate_limit_rate_limited", window="5m")), 6, height=4,
                   alerts=("TrafficLimited",)), units.Short, above(1, 100), none=QUIET),
    ]  # fmt: skip


def _objectives() -> Panels:
    parts = {
        "Availability": ("gateway_failure_share", "availability", "requests that failed", AVAILABILITY),
        "Latency": ("predictions_slow_share", "latency", "predictions that were too slow", LATENCY),
    }
    found: list[Builder[dashboard.Panel]] = []
    for title, (part, kind, what, alerts) in parts.items():
        allowed = f"on (product) group_left () (1 - max by (product) ({of(f'product:{kind}_objective:share')}))"
        burnt = {window: f"{of(f'product:{part}:ratio{window}', PRODUCT)} / {allowed}" for window in ("1h", "6h", "3d")}
        rates = tuple(Asked(burnt[window], f"{{{{product}}}} over {window}") for window in ("1h", "6h"))
        found.append(
            sizes(told(f"{title}: budget left", f"Of the objective's share of {what}, over 3 days.",
                       f"1 - {burnt['3d']}", 8, legend="{{product}}", alerts=alerts),
                  units.PercentUnit, below(0.1, 0.5), none=QUIET)
        )  # fmt: skip
        found.append(
            lines(Told(f"{title}: burn rate", f"How many times too fast {what} use the budget up; 1 is just in time.",
                       rates, 16, alerts=alerts), units.Short, steps=above(6, 14.4))
        )  # fmt: skip
    return found


def _gateway() -> Panels:
    requests = total(rate("envoy_cluster_upstream_rq_xx", USERS, PRODUCT), "product", "envoy_response_code_class")
    seconds = tuple(
        Asked(_gateway_seconds(part, STEP, "product"), f"{{{{product}}}} {part:.0%}") for part in (0.5, 0.95, 0.99)
    )
    again = (
        Asked(total(rate("envoy_cluster_upstream_rq_retry", USERS, PRODUCT), "product"), "{{product}} again"),
        Asked(total(rate("envoy_cluster_upstream_rq_per_try_timeout", USERS, PRODUCT), "product"),
              "{{product}} out of time"),
    )  # fmt: skip
    healthy = of("envoy_cluster_membership_healthy", SERVICE, PRODUCT, VARIANT)
    refused = f"{rate('envoy_http_rds_update_rejected')} + {rate('envoy_http_rds_update_failure')}"
    return [
        lines(told("Requests by product", "A second, by the class of the answer's status.", requests, 8,
                   legend="{{product}} {{envoy_response_code_class}}xx", alerts=("AnswersFailing",)),
              units.RequestsPerSecond, stacked=True),
        lines(told("Failed answers by product", "Share that got an error of the server.", _failed(STEP, "product"),
                   8, legend="{{product}}", alerts=("AnswersFailing",)),
              units.PercentUnit, steps=above(0.01, 0.25)),
        lines(Told("Time to answer", "What users wait at the gateway, all paths.", seconds, 8, alerts=LATENCY),
              units.Seconds),
        lines(Told("Tries", "Asked again, or given up after its time limit, a second.", again, 8),
              units.RequestsPerSecond),
        lines(told("Services in use", "1 while the gateway takes the service for well, by product and variant.",
                   f"max by (product, variant) ({healthy})", 8, legend="{{product}} {{variant}}",
                   alerts=("ServiceNotReady",)), units.Short),
        lines(told("Routes refused", "Updates that the gateway didn't take over, a second.", f"sum({refused})", 8,
                   alerts=("RoutesRefused",)), units.Short, steps=above(None, 0.001)),
    ]  # fmt: skip


def _services() -> Panels:
    failed = total(rate("prediction_errors_total", PRODUCT, VARIANT, 'status=~"5.."'), *ARM)
    answered = total(rate("predictions_total", PRODUCT, VARIANT), *ARM)
    seconds = tuple(
        Asked(quantile(part, "prediction_duration_seconds", PRODUCT, VARIANT, by=ARM),
              f"{{{{product}}}} {{{{variant}}}} {part:.0%}") for part in (0.5, 0.95, 0.99)
    )  # fmt: skip
    batch = quantile(0.95, "prediction_batch_duration_seconds", PRODUCT, VARIANT, by=ARM)
    serving = f"max by (product, variant, version) ({of('model_info', PRODUCT, VARIANT)} == 1)"
    arm = "{{product}} {{variant}}"
    return [
        lines(told("Predictions", "A second; a batch counts its rows.", answered, 8, legend=arm),
              units.RequestsPerSecond),
        lines(told("Failed predictions", "Share that ended in an error of the service.",
                   share(failed, f"({answered} + {failed})"), 8, legend=arm,
                   alerts=("PredictionsFailing", "CandidateErrors")), units.PercentUnit, steps=above(0.01, 0.05)),
        lines(Told("Time to predict", "Of single requests, in the service.", seconds, 8, alerts=LATENCY),
              units.Seconds),
        bars(told("Errors", "By HTTP status; 422 is a client's mistake.",
                  total(increase("prediction_errors_total", PRODUCT, VARIANT), *ARM, "status"), 8,
                  legend=f"{arm} {{{{status}}}}", alerts=("PredictionsFailing",)), units.Short),
        lines(told("Time of batches", "95 of 100 took no longer.", batch, 8, legend=arm), units.Seconds),
        bars(told("Feedback", "Taken by services, by type.",
                  total(increase("feedback_total", PRODUCT, VARIANT), *ARM, "type"), 8,
                  legend=f"{arm} {{{{type}}}}"), units.Short),
        rows(told("What serves", "The release that each service answers with.", serving, 12, legend="serves"),
             (*ARM, "version"), {}, none="no release"),
        bars(told("Releases put in service", "Tries to load one, by outcome.",
                  total(increase("model_swaps_total", PRODUCT, VARIANT), *ARM, "outcome"), 12,
                  legend=f"{arm} {{{{outcome}}}}", alerts=("ModelSwapFailed",)), units.Short),
    ]  # fmt: skip


def _programs() -> Panels:
    memory = of("process_resident_memory_bytes", SERVICES, PRODUCT, VARIANT)
    cpu = rate("process_cpu_seconds_total", SERVICES, PRODUCT, VARIANT)
    log = (
        Asked(of("mlops_prediction_log_backlog_seconds"), "oldest answer waits"),
        Asked(of("mlops_prediction_log_shipper_age_seconds"), "shipper is silent"),
    )
    return [
        lines(Told("Prediction log", "How long its oldest answer waits for the database, and since when the shipper "
                   "hasn't told of itself.", log, 12, alerts=("PredictionLogBehind", "ShipperSilent")),
              units.Seconds, steps=above(30, 60)),
        lines(told("Backlog of the prediction log", "Answered and not in the database yet.",
                   of("mlops_prediction_log_backlog_bytes"), 12, legend="waiting", alerts=("PredictionLogBehind",)),
              units.BytesSI),
        lines(told("Memory of services", "Resident.", total(memory, *ARM), 12, legend="{{product}} {{variant}}"),
              units.BytesSI),
        lines(told("CPU of services", "Cores in use.", total(cpu, *ARM), 12, legend="{{product}} {{variant}}"),
              units.Short),
    ]  # fmt: skip
