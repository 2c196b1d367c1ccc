"""What stages used, as the API shows it. Pure: figures in, schemas out.

Add here how a new fact is shown. Keep out reading (`observability.usage.queries`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.api.usage.schemas import (
    AttemptView,
    RunUsage,
    UsageChange,
    UsageChanges,
    UsageItem,
    UsagePage,
    UsageSums,
)
from mlops_assets.observability.usage.changes import Change
from mlops_assets.observability.usage.compared import Comparison
from mlops_assets.observability.usage.figures import GB, HOUR, AttemptUsage, By, Prices
from mlops_assets.observability.usage.queries import Period
from mlops_assets.observability.usage.sums import Found


def page_view(period: Period, by: By, prices: Prices, found: Found, offset: int) -> UsagePage:
    """One page of sums."""
    end = offset + len(found.items)
    return UsagePage(
        since=period.since,
        until=period.until,
        by=by,
        prices=prices,
        all=UsageSums(**_sums(found.every, prices)),
        items=[UsageItem(**_sums(vars(item), prices)) for item in found.items],
        total=found.total,
        next_offset=end if found.items and end < found.total else None,
    )


def changes_view(comparison: Comparison) -> UsageChanges:
    """Two weeks side by side."""
    whole = {name: value for name, value in vars(comparison).items() if name != "changes"}
    return UsageChanges(**whole, changes=[_change_view(change) for change in comparison.changes])


def run_view(run_id: str, attempts: Sequence[AttemptUsage], prices: Prices, dagster_url: str) -> RunUsage:
    """One run's attempts and their sums."""
    views = [AttemptView(**_columns(one), cost=one.cost(prices)) for one in attempts]
    return RunUsage(
        run_id=run_id,
        job=attempts[0].job if attempts else None,
        prices=prices,
        wall_seconds=sum(one.wall_seconds or 0 for one in views),
        cpu_seconds=sum(one.cpu_seconds or 0 for one in views),
        peak_memory_bytes=max((one.peak_memory_bytes or 0 for one in views), default=0),
        read_bytes=sum(one.read_bytes or 0 for one in views),
        written_bytes=sum(one.written_bytes or 0 for one in views),
        cost=sum(one.cost or 0 for one in views),
        attempts=views,
        run_url=f"{dagster_url}/runs/{run_id}",
    )


def _sums(row: Mapping[str, Any], prices: Prices) -> dict[str, Any]:
    byte_seconds = row["byte_seconds"]
    return {
        **row,
        "gb_hours": byte_seconds / GB / HOUR,
        "cost": prices.cost(row["cpu_seconds"], byte_seconds),
    }


def _columns(one: AttemptUsage) -> dict[str, Any]:
    return {name: value for name, value in vars(one).items() if name not in ("run_id", "job")}


def _change_view(change: Change) -> UsageChange:
    one = change.compared
    return UsageChange(**vars(one), ratio=one.ratio, worse=change.worse, p_value=change.p_value, said=change.said)
