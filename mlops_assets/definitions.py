"""What Dagster loads: every product and platform part declared under `defs/`, and the resources they share.

Folder by folder instead of `load_from_defs_folder`, which also imports every installed library that offers
components, only to list them: more than half of the time that loading takes.
"""

from pathlib import Path

import dagster as dg

from mlops_assets.resources import shared_resources
from mlops_assets.runs.measured_steps import measured_in_process_executor

CONDITIONS_SECONDS = 30


def load(folder: Path) -> dg.Definitions:
    """Every `defs.yaml` at or below `folder`, with the shared resources."""
    tree = dg.ComponentTree.for_project(folder)
    declared = [tree.build_defs_at_path(path.parent) for path in sorted(folder.rglob("defs.yaml"))]
    shared = dg.Definitions(
        resources=shared_resources(),
        sensors=[conditions()],
        executor=measured_in_process_executor,
        component_tree=tree,
    )
    return dg.Definitions.merge(*declared, shared)


def conditions() -> dg.AutomationConditionSensorDefinition:
    """Makes assets whose automation condition holds. Dagster's own sensor for that is off until it is switched on."""
    return dg.AutomationConditionSensorDefinition(
        "platform_materialize_on_condition",
        target=dg.AssetSelection.all(),
        minimum_interval_seconds=CONDITIONS_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes what has an automation condition, as soon as that holds",
    )


@dg.definitions
def defs() -> dg.Definitions:
    return load(Path(__file__).parent / "defs")
