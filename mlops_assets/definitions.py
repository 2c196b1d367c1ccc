"""What Dagster loads: every product and platform part declared under `defs/`, and the resources they share."""

from pathlib import Path

import dagster as dg

from mlops_assets.resources import shared_resources


@dg.definitions
def defs() -> dg.Definitions:
    declared = dg.load_from_defs_folder(path_within_project=Path(__file__))
    shared = dg.Definitions(resources=shared_resources(), executor=dg.in_process_executor)
    return dg.Definitions.merge(declared, shared)
