"""Where Dagster's tables tell of an asset: when it was last materialized, and whether that is fresh by its own policy.

Add here a column that metrics and pages both show. Keep out which assets are asked for. The table of assets has a time
of its own, which is that of whatever was last said of an asset, also that it is planned.
"""

# `k` is the asset, `made` its newest materialization, `fresh` what Dagster judged last: PASS, WARN or FAIL.
ASSET_STATE = """
dagster.asset_keys AS k
LEFT JOIN LATERAL (
  SELECT e.timestamp, e.run_id FROM dagster.event_logs AS e
  WHERE e.asset_key = k.asset_key AND e.dagster_event_type = 'ASSET_MATERIALIZATION' ORDER BY e.id DESC LIMIT 1
) AS made ON true
LEFT JOIN LATERAL (
  SELECT e.event::jsonb #>> '{dagster_event,event_specific_data,new_state,__enum__}' AS state
  FROM dagster.event_logs AS e
  WHERE e.asset_key = k.asset_key AND e.dagster_event_type = 'FRESHNESS_STATE_CHANGE' ORDER BY e.id DESC LIMIT 1
) AS fresh ON true
"""


def is_fresh(state: str | None) -> bool | None:
    """Whether an asset isn't too old, by `fresh.state`; None without a policy or before its first judgement."""
    return None if state is None else state.rpartition(".")[2] != "FAIL"
