"""What pipelines, stages and runs are called in Dagster: keys of assets, tags of runs, the code location.

Add a tag here when something of a run has to be found again. Keep out what the tags' values mean.
"""

from __future__ import annotations

LOCATION = "pipelines"
# Dagster's own name for the job of any selection of a location's assets.
ASSET_JOB = "__ASSET_JOB"
# First part of every asset key, so that no pipeline can take a product's.
PREFIX = "pipelines"

# Every run of a declared pipeline has this tag with this value; the limit of runs at a time is on it.
DECLARED_TAG, DECLARED = "mlops/declared", "pipeline"
PIPELINE_TAG = "mlops/pipeline"  # the pipeline's id
NAME_TAG = "mlops/pipeline_name"
VERSION_TAG = "mlops/pipeline_version"
TRIGGER_TAG = "mlops/trigger"
WHO_TAG = "mlops/triggered_by"
ENVIRONMENT_TAG = "mlops/environment"
NOTES_TAG = "mlops/notes"

STAGE_TYPE_TAG = "stage"


def asset_key(pipeline: str, stage: str) -> tuple[str, str, str]:
    """The parts of the key of a stage's asset."""
    return PREFIX, pipeline, stage


def schedule_name(pipeline: str) -> str:
    """The name of a pipeline's schedule."""
    return f"{pipeline}_schedule"
