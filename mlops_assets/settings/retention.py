"""How long an installation keeps what it makes, in days. What is kept where: `mlops_assets.retention.declared`.

Add a field here when a deployment should be able to keep something longer or shorter. Keep out what a product declares.
"""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

LONGEST = 36_500


class RetentionSettings(BaseSettings):
    """Days after which something goes that nothing refers to any more."""

    # Files of declared pipelines' runs.
    artifact_days: int = Field(default=90, ge=1, le=LONGEST)
    # The code of a commit that no stage has used since.
    checkout_days: int = Field(default=90, ge=1, le=LONGEST)
    # What Dagster and MLflow tell of a run, with the files that its stages handed on, and of a rollout's users.
    run_days: int = Field(default=400, ge=30, le=LONGEST)
    # What runs printed.
    run_log_days: int = Field(default=90, ge=1, le=LONGEST)
    # Hourly files of the prediction log.
    log_file_days: int = Field(default=1100, ge=30, le=LONGEST)
    # What each attempt of a stage used.
    usage_days: int = Field(default=400, ge=14, le=LONGEST)
