"""How jobs are scheduled, by UTC and from the start, and until when what they make is fresh. In Dagster's terms.

Add here a shape of schedule that two capabilities need. Keep out when something is due.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg

# Of a nightly stage's retries, of one that waits for others, and of a daemon that was started again.
LATE = timedelta(hours=3)


def running_schedule(job: Any, cron: str, description: str | None = None) -> dg.ScheduleDefinition:
    """`<job>_schedule`, which runs unless somebody turns it off."""
    return dg.ScheduleDefinition(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )


def scheduled_asset(asset: dg.AssetsDefinition, cron: str, description: str) -> dg.Definitions:
    """An asset that stands alone, its job, named after its key, and the job's schedule."""
    job = dg.define_asset_job("_".join(asset.key.path), selection=[asset], description=description)
    return dg.Definitions(assets=[asset], jobs=[job], schedules=[running_schedule(job, cron)])


def fresh_daily(cron: str) -> dg.FreshnessPolicy:
    """What a schedule of `cron`, once a day at a full minute, makes: stale if it isn't there three hours later.

    What was never made isn't stale.
    """
    minute, hour, *days = cron.split()
    deadline = " ".join([minute, str((int(hour) + LATE // timedelta(hours=1)) % 24), *days])
    return dg.FreshnessPolicy.cron(deadline_cron=deadline, lower_bound_delta=LATE)
