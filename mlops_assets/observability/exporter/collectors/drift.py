"""What the daily comparisons with the training data said, and the share of anomalies in scored months.

Keep out how a day is judged.
"""

from __future__ import annotations

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.source import Source, rows
from mlops_assets.observability.exporter.families import Sheet

EVERY_SECONDS = 30.0

# A day is judged when there were enough rows to say something of it; its end is what it tells about.
_JUDGED = """
SELECT DISTINCT ON (product) product, status, cardinality(drifted) AS drifted,
  extract(epoch FROM day + 1)::float8 AS until
FROM mlops.drift_verdict WHERE status IN ('ok', 'drifted') ORDER BY product, day DESC
"""
_BLOCKED = """
SELECT known.product, newest.drift_block IS NOT NULL AS blocks
FROM (SELECT DISTINCT product FROM mlops.release) AS known, LATERAL (
  SELECT drift_block FROM mlops.ledger AS e WHERE e.product = known.product ORDER BY e.seq DESC LIMIT 1) AS newest
"""
_SCORED = """
SELECT product, sum(records) AS records,
  (array_agg(anomalies::float8 / nullif(records, 0) ORDER BY month DESC) FILTER (WHERE records > 0))[1] AS rate
FROM mlops.scored_month WHERE mode = 'production' GROUP BY product
"""


def collector(source: Source) -> Collector:
    """Looks every half minute."""

    def look(sheet: Sheet) -> None:
        with source.asking() as connection:
            for row in rows(connection, _JUDGED):
                sheet.put("mlops_drift_judged_timestamp_seconds", row.until, product=row.product)
                sheet.put("mlops_drift_drifted", row.status == "drifted", product=row.product)
                sheet.put("mlops_drift_columns", row.drifted, product=row.product)
            for row in rows(connection, _BLOCKED):
                sheet.put("mlops_drift_blocks_promotion", row.blocks, product=row.product)
            for row in rows(connection, _SCORED):
                sheet.put("mlops_batch_anomaly_rate", row.rate, product=row.product)
                sheet.put("mlops_batch_scored_records_total", row.records, product=row.product)

    return Collector("drift", of_group("drift"), EVERY_SECONDS, look)
