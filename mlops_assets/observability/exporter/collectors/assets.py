"""Assets of products and the platform: newest success, freshness by Dagster's own judgement, newest check results.

Keep out assets of declared pipelines: `pipelines` tells of these.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from mlops_assets.observability.asset_state import ASSET_STATE, is_fresh
from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.source import Source, rows
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.pipelines.naming import PREFIX

EVERY_SECONDS = 15.0
STEP = 5_000

_ASSETS = f"""
SELECT k.asset_key AS key, extract(epoch FROM made.timestamp::timestamptz)::float8 AS made, fresh.state
FROM {ASSET_STATE} WHERE k.asset_key NOT LIKE :pipelines ORDER BY made DESC NULLS LAST
"""  # noqa: S608 of a constant
_CHECKS = """
SELECT id, asset_key AS key, check_name AS name, execution_status AS status,
  evaluation_event::jsonb #>> '{dagster_event,event_specific_data,severity,__enum__}' AS severity
FROM dagster.asset_check_executions
WHERE (id > :after OR id = ANY(:planned)) AND asset_key NOT LIKE :pipelines ORDER BY id LIMIT :step
"""
PLANNED = "PLANNED"
# Executions that took their number before others and were shown after them are among so many.
OVERLAP = 200
# A check that was planned so many executions ago and has no result will never have one.
MOST_PLANNED = 1_000
MOST_CHECKS = 5_000


@dataclass(frozen=True)
class Result:
    """The newest result of a check; `id` numbers its execution."""

    id: int
    passed: bool
    severity: str


def collector(source: Source) -> Collector:
    """Looks every fifteen seconds."""
    return Collector("assets", of_group("assets"), EVERY_SECONDS, LookAtAssets(source))


class LookAtAssets:
    """Remembers the newest result of each check, and which executions had none yet."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._after = 0
        self._planned: list[int] = []
        self._results: dict[tuple[str, str], Result] = {}

    def __call__(self, sheet: Sheet) -> None:
        """Raises SQLAlchemyError."""
        for row in self._source.rows(_ASSETS, {"pipelines": f'["{PREFIX}"%'}):
            asset = asset_name(row.key)
            sheet.put("mlops_asset_last_materialization_timestamp_seconds", row.made, asset=asset)
            fresh = is_fresh(row.state)
            sheet.put("mlops_asset_stale", None if fresh is None else not fresh, asset=asset)
        while self._read_checks() >= STEP:
            pass
        for (key, name), result in sorted(self._results.items(), key=lambda item: -item[1].id):
            labels = {"asset": asset_name(key), "check": name, "severity": result.severity}
            sheet.put("mlops_asset_check_passed", result.passed, **labels)

    def _read_checks(self) -> int:
        asked = {"after": self._after - OVERLAP, "planned": self._planned, "pipelines": f'["{PREFIX}"%', "step": STEP}
        with self._source.asking() as connection:
            found = rows(connection, _CHECKS, asked)
        planned = []
        for row in found:
            if row.status == PLANNED:
                planned.append(row.id)
            elif (before := self._results.get((row.key, row.name))) is None or before.id <= row.id:
                severity = str(row.severity).rpartition(".")[2]
                self._results[row.key, row.name] = Result(row.id, row.status == "SUCCEEDED", severity)
        self._after = max([self._after, *(row.id for row in found)])
        self._planned = planned[-MOST_PLANNED:]
        while len(self._results) > MOST_CHECKS:
            self._results.pop(min(self._results, key=lambda check: self._results[check].id))
        return len(found)


def asset_name(key: str) -> str:
    """`house_prices/dataset` of Dagster's `["house_prices", "dataset"]`."""
    try:
        parts = json.loads(key)
    except ValueError:
        return ""
    return "/".join(map(str, parts)) if isinstance(parts, list) else ""
