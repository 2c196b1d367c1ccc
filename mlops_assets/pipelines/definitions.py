"""What Dagster loads as the second code location: every deployed pipeline; in the process of a run, that run's alone.

A broken pipeline leaves the others as they are. Keep out how one is compiled (`dagster_assets`) and how the location
follows the store while it is served (`code_server`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from uuid import UUID

import dagster as dg

from mlops_assets.pipelines import naming, store
from mlops_assets.pipelines.dagster_assets import Version, schedule_of, shared_resources
from mlops_assets.pipelines.dagster_stage import Platform
from mlops_assets.runs.current import current_run, is_process_of_a_run, tag_current_run
from mlops_assets.runs.measured_steps import measured_in_process_executor
from mlops_assets.settings import load
from mlops_assets.storage.database import Database

log = logging.getLogger(__name__)


# True in the process of the code server, which loads what is deployed itself, and again whenever that changes.
followed = False


@dg.definitions
def defs() -> dg.Definitions:
    if is_process_of_a_run():
        return _definitions_of_run()
    if followed:
        return definitions_of([], active=frozenset())
    database = Database.connect(load().database)
    try:
        return definitions_of(deployed_versions(database), active=frozenset())
    finally:
        database.dispose()


def _definitions_of_run() -> dg.Definitions:
    run = current_run()
    version = version_of_run(Platform.of_process().database, run)
    missing = {key: value for key, value in version.run_tags.items() if key not in run.tags}
    if missing:
        # Started on Dagster's own pages.
        tag_current_run(missing)
    return definitions_of([version], active=frozenset())


def definitions_of(versions: Iterable[Version], active: frozenset[UUID]) -> dg.Definitions:
    """The definitions of these versions, with the schedules on for the pipelines in `active`."""
    assets: list[dg.AssetsDefinition] = []
    schedules: list[dg.ScheduleDefinition] = []
    for version in versions:
        assets += version.assets
        schedule = schedule_of(version, version.pipeline_id in active)
        schedules += [schedule] if schedule is not None else []
    return dg.Definitions(
        assets=assets, schedules=schedules, resources=shared_resources(), executor=measured_in_process_executor
    )


def deployed_versions(database: Database) -> list[Version]:
    """Every deployed version; one that can't be read is told of in the log and left out."""
    with database.session() as session:
        wanted = [(pipeline.id, pipeline.version) for pipeline in store.deployed(session)]
        specs = store.specs(session, wanted)
    for pipeline_id, number in set(wanted) - specs.keys():
        log.error("version %d of pipeline %s can't be read", number, pipeline_id)
    return [Version(*key, spec) for key, spec in specs.items()]


def version_of_run(database: Database, run: dg.DagsterRun) -> Version:
    """The version that a run was started with; for a run of Dagster's own pages the one that is deployed now.

    LookupError: there is none.
    """
    with database.session() as session:
        if naming.PIPELINE_TAG in run.tags and naming.VERSION_TAG in run.tags:
            pipeline_id, number = UUID(run.tags[naming.PIPELINE_TAG]), int(run.tags[naming.VERSION_TAG])
        else:
            found = store.find(session, _pipeline_of(run))
            if found.deployed_version is None:
                raise LookupError(f"pipeline {found.name} isn't deployed")
            pipeline_id, number = found.id, found.deployed_version
        row = store.version_of(session, pipeline_id, number)
    if row is None:
        raise LookupError(f"version {number} of pipeline {pipeline_id} isn't in the store")
    return Version(pipeline_id, number, store.spec_of(row))


def _pipeline_of(run: dg.DagsterRun) -> str:
    keys = run.asset_selection or frozenset()
    names = {key.path[1] for key in keys if len(key.path) == 3 and key.path[0] == naming.PREFIX}
    if len(names) != 1:
        raise LookupError(f"run {run.run_id} is of {len(names)} pipelines; a run is of one")
    return names.pop()
