"""What a dashboard asks the platform's tables about scored months.

Add a query here for another panel about scores. Keep out MLflow's tables (`tracking_queries`). `${name:sqlstring}` is
a dashboard variable as a quoted SQL text. A month counts as soon as a part of it lies in the chosen range; times of day
are local, so nothing here converts between zones. Series have a column `time` and come in its order.
"""

# ruff: noqa: S608 (every part of a query is a constant; variables are quoted by Grafana)
from __future__ import annotations

# A share of a handful of records says nothing: values of fewer are counted together.
LEAST_RECORDS = 50
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_PRODUCT = "product = ${product:sqlstring}"
_MODE = "mode = ${mode:sqlstring}"
_RANGE = "month + interval '1 month' > $__timeFrom() AND month <= $__timeTo()"
_PICKED = f"WHERE {_PRODUCT} AND {_MODE} AND {_RANGE}"
_RATE = "sum(anomalies)::float8 / nullif(sum(records), 0)"

PRODUCTS = "SELECT DISTINCT product FROM mlops.scored_month ORDER BY product"

# Production comes first, and so is chosen first.
MODES = f"""SELECT mode FROM mlops.scored_month
WHERE {_PRODUCT}
GROUP BY mode
ORDER BY mode <> 'production', mode"""

TOTALS = f"""SELECT count(*) AS months, coalesce(sum(records), 0) AS records, coalesce(sum(anomalies), 0) AS anomalies,
  {_RATE} AS "anomaly rate"
FROM mlops.scored_month
{_PICKED}"""

RECORDS_BY_MONTH = f"""SELECT month::timestamp AS "time", records, anomalies
FROM mlops.scored_month
{_PICKED}
ORDER BY month"""

RATE_BY_MONTH = f"""SELECT month::timestamp AS "time",
  CASE WHEN NOT in_training THEN anomalies::float8 / nullif(records, 0) END AS "after training",
  CASE WHEN in_training THEN anomalies::float8 / nullif(records, 0) END AS "in training"
FROM mlops.scored_month
{_PICKED}
ORDER BY month"""

SCORES_BY_MONTH = f"""SELECT month::timestamp AS "time", max_score AS highest, mean_score AS mean,
  low_score AS "lowest 1 %", min_score AS lowest
FROM mlops.scored_month
{_PICKED}
ORDER BY month"""

RATE_BY_MODE = f"""SELECT month::timestamp AS "time", mode AS metric,
  anomalies::float8 / nullif(records, 0) AS value
FROM mlops.scored_month
WHERE {_PRODUCT} AND {_RANGE}
ORDER BY month, mode"""

MODES_IN_ALL = f"""SELECT mode, count(*) AS months, sum(records) AS records, sum(anomalies) AS anomalies,
  {_RATE} AS "anomaly rate",
  min(min_score) AS lowest, sum(mean_score * records) / nullif(sum(records), 0) AS mean, max(max_score) AS highest
FROM mlops.scored_month
WHERE {_PRODUCT} AND {_RANGE}
GROUP BY mode
ORDER BY mode <> 'production', mode"""

RELEASES = f"""SELECT coalesce('release ' || release, 'fitted to all rows') AS "scored by",
  CASE WHEN in_training THEN 'yes' ELSE 'no' END AS "in training",
  count(*) AS months, to_char(min(month), 'YYYY-MM') AS first, to_char(max(month), 'YYYY-MM') AS last,
  sum(records) AS records, sum(anomalies) AS anomalies, {_RATE} AS "anomaly rate", max(scored_at) AS "scored at"
FROM mlops.scored_month
{_PICKED}
GROUP BY release, in_training
ORDER BY release DESC NULLS LAST, in_training"""

LOWEST = f"""SELECT to_char(at, 'YYYY-MM-DD HH24:MI') AS "at (local time)", score,
  array_to_string(reasons, '; ') AS reasons
FROM mlops.scored_record
WHERE {_PRODUCT} AND {_MODE} AND $__timeFilter(at)
ORDER BY score, at, place
LIMIT 20"""


def by_group(column: str, word: str) -> str:
    """Share of anomalies for each value of a column that `scored_month.groups` counts; rare values together."""
    for name in (column, word):
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name of a column")
    return f"""WITH value AS (
  SELECT g.key AS name, sum((g.value ->> 0)::bigint) AS records, sum((g.value ->> 1)::bigint) AS anomalies
  FROM mlops.scored_month, jsonb_each(groups -> '{column}') AS g
  {_PICKED}
  GROUP BY g.key
)
SELECT CASE WHEN records < {LEAST_RECORDS} THEN '(fewer than {LEAST_RECORDS} each)' ELSE name END AS {word},
  sum(records) AS records, sum(anomalies) AS anomalies, {_RATE} AS "anomaly rate"
FROM value
GROUP BY 1
ORDER BY "anomaly rate" DESC NULLS LAST, 1"""


def by_hour() -> str:
    """Share of anomalies on each weekday, Monday first, in each hour of the day, 00 to 23."""
    hours = ",\n".join(f'  max(rate) FILTER (WHERE hour = {hour}) AS "{hour:02}"' for hour in range(24))
    days = ", ".join(f"'{day}'" for day in WEEKDAYS)
    return f"""WITH cell AS (
  SELECT day, hour,
    sum((hours -> 'anomalies' -> day ->> hour)::bigint)::float8
      / nullif(sum((hours -> 'records' -> day ->> hour)::bigint), 0) AS rate
  FROM mlops.scored_month, generate_series(0, 6) AS day, generate_series(0, 23) AS hour
  {_PICKED}
  GROUP BY day, hour
)
SELECT (ARRAY[{days}])[day + 1] AS weekday,
{hours}
FROM cell
GROUP BY day
ORDER BY day"""
