"""The dashboard of drift: whether products' data is as it was in training, and the share of anomalies in scored months.

Add a panel here; it stands after the one before it, and the widths of a line add up to 24. Keep out single months and
records that were scored (`traffic_anomalies`).
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units

from mlops_assets.observability.grafana import operation_queries, panels
from mlops_assets.observability.grafana.board import Panels, board, choice, firing
from mlops_assets.observability.grafana.measured import Asked, Told, above, lines, plain, rows, sizes, state, told
from mlops_assets.observability.grafana.promql import of

PRODUCT = 'product=~"$product"'
NOTHING = "nothing judged"
DAY_SECONDS = 86_400


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "drift",
        "Drift",
        "Is the products' data as it was in training? A day is judged at 01:30 UTC of the next one.",
        pages=("drift", "scores"),
        variables=(choice("product", "Product", of("mlops_drift_blocks_promotion")),),
        parts=(("Now", _now()), ("Over time", _over_time()), ("Days", _days())),
        since="now-30d",
    )


def _now() -> Panels:
    age = f"time() - max by (product) ({of('mlops_drift_judged_timestamp_seconds', PRODUCT)})"
    return [
        firing(4, "Alerts of drift that fire now, of all products.", "DriftOld", "DriftBlocks", "AnomalyRateHigh"),
        state(told("Products that drifted", "On their newest judged day.",
                   f"sum({of('mlops_drift_drifted', PRODUCT)})", 5, height=4), units.NoUnit, above(1, None),
              none=NOTHING),
        state(told("Promotions that drift blocks", "Until the data is as before or a release knows the new data.",
                   f"sum({of('mlops_drift_blocks_promotion', PRODUCT)})", 5, height=4, alerts=("DriftBlocks",)),
              units.NoUnit, above(1, None), none="no releases"),
        state(told("Oldest judgement", "Since the end of the newest judged day, of the product that waits longest.",
                   f"max({age})", 5, height=4, alerts=("DriftOld",)),
              units.Seconds, above(2 * DAY_SECONDS, 3 * DAY_SECONDS), none=NOTHING),
        state(told("Highest share of anomalies", "In the newest scored month.",
                   f"max({of('mlops_batch_anomaly_rate', PRODUCT)})", 5, height=4, alerts=("AnomalyRateHigh",)),
              units.PercentUnit, above(0.05, 0.1), none="nothing scored"),
    ]  # fmt: skip


def _over_time() -> Panels:
    products = (
        Asked(f"max by (product) ({of('mlops_drift_drifted', PRODUCT)})", "drifted"),
        Asked(f"max by (product) ({of('mlops_drift_columns', PRODUCT)})", "columns"),
        Asked(f"max by (product) ({of('mlops_drift_blocks_promotion', PRODUCT)})", "blocks promotion"),
        Asked(f"time() - max by (product) ({of('mlops_drift_judged_timestamp_seconds', PRODUCT)})", "judged ago"),
    )
    flag = (units.NoUnit, above(1, None))
    return [
        rows(Told("Products", "The newest judged day of each.", products, 12, alerts=("DriftBlocks", "DriftOld")),
             ("product",), {"drifted": flag, "blocks promotion": flag, "judged ago": (units.Seconds, plain())},
             none=NOTHING),
        panels.lines(
            panels.Shown("Strength by day", "Of the column that moved most; it drifted from 1 on, if it is certain.",
                         operation_queries.STRENGTH, 12), units.NoUnit, 2,
        ),
        lines(told("Drifted columns", "On the newest judged day, as time went by.",
                   of("mlops_drift_columns", PRODUCT), 8, legend="{{product}}"), units.Short),
        lines(told("Share of anomalies", "In the newest scored month, as time went by.",
                   of("mlops_batch_anomaly_rate", PRODUCT), 8, legend="{{product}}", alerts=("AnomalyRateHigh",)),
              units.PercentUnit, steps=above(0.05, 0.1)),
        sizes(told("Scored records", "That are kept, by product.", of("mlops_batch_scored_records_total", PRODUCT), 8,
                   legend="{{product}}"), units.Short, plain(), none="nothing scored"),
    ]  # fmt: skip


def _days() -> Panels:
    return [
        panels.rows(
            panels.Shown("Judged days", "Each day's verdict in the chosen range, newest first.",
                         operation_queries.JUDGED_DAYS, 16, 10),
            {"drifted columns": panels.width_look(320), "strength": panels.unit_look(units.NoUnit)},
        ),
        panels.rows(
            panels.Shown("Columns that drifted", "On how many days of the chosen range.",
                         operation_queries.DRIFTED_COLUMNS, 8, 10),
            {"column": panels.width_look(160)},
        ),
    ]  # fmt: skip
