"""The code location of declared pipelines: it follows the store, and a broken pipeline takes nothing else away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dagster import DagsterInvalidDefinitionError
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._grpc.client import DagsterGrpcClient
from dagster._serdes import deserialize_value
from sqlalchemy import text

from mlops_assets.pipelines import definitions, store
from mlops_assets.pipelines.code_server import Catalogue
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.storage.database import Database
from tests.integration.pipeline_rig import PipelineRig
from tests.integration.pipelines.stored_pipelines import changing, found
from tests.unit.pipelines.fabricated_runs import spec_of
from tests.unit.pipelines.made_pipelines import stage


def spec(name: str, stages: int = 1, **fields: Any) -> PipelineSpec:
    return spec_of(*(stage(f"s{i}") for i in range(stages)), name=name, **fields)


def deployed(database: Database, given: PipelineSpec) -> None:
    """Store and deploy a pipeline, or its next version."""
    with changing(database) as session:
        try:
            store.add_version(session, store.find(session, given.name, lock=True), given, "kim", deploy=True)
        except store.UnknownPipelineError:
            store.create(session, given, "kim", deploy=True)


def assets(catalogue: Catalogue) -> set[str]:
    """The keys of the location, once it has looked again; it has to have changed."""
    repository = catalogue.refreshed()
    assert repository is not None
    catalogue.tell()
    return {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}


def state(database: Database, name: str) -> tuple[int | None, str | None]:
    """Which version of a pipeline is shown, and why not the deployed one."""
    row = found(database, name)
    return row.loaded_version, row.load_error


def test_what_is_deployed_paused_and_deleted_is_followed(database: Database) -> None:
    catalogue = Catalogue(database)
    deployed(database, spec("first", schedule="0 3 * * *"))
    deployed(database, spec("second"))
    assert assets(catalogue) == {"pipelines/first/s0", "pipelines/second/s0"}
    assert catalogue.refreshed() is None
    with changing(database) as session:
        store.set_active(session, store.find(session, "first", lock=True), False)
        store.delete(session, store.find(session, "second", lock=True))
    repository = catalogue.refreshed()
    assert repository is not None
    assert repository.get_schedule_def("first_schedule").default_status.value == "STOPPED"
    assert len(repository.asset_graph.get_all_asset_keys()) == 1


def test_a_version_that_dagster_refuses_leaves_the_one_before_and_all_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = Catalogue(database)
    deployed(database, spec("good"))
    deployed(database, spec("edited"))
    assets(catalogue)
    plain = definitions.definitions_of

    def refusing(versions: Any, active: Any) -> Any:
        given = list(versions)
        if any(version.spec.name == "edited" and version.number == 2 for version in given):
            raise DagsterInvalidDefinitionError("no such thing")
        return plain(given, active)

    monkeypatch.setattr(definitions, "definitions_of", refusing)
    deployed(database, spec("edited", stages=2))
    deployed(database, spec("newer"))
    assert assets(catalogue) == {"pipelines/good/s0", "pipelines/edited/s0", "pipelines/newer/s0"}
    version, error = state(database, "edited")
    assert version == 1
    assert "no such thing" in (error or "")
    assert state(database, "good") == (1, None)
    deployed(database, spec("edited", stages=3))
    assert "pipelines/edited/s2" in assets(catalogue)
    assert state(database, "edited") == (3, None)


def test_a_version_that_cannot_be_read_is_told(database: Database) -> None:
    catalogue = Catalogue(database)
    deployed(database, spec("odd"))
    assets(catalogue)
    deployed(database, spec("odd", stages=2))
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE mlops.pipeline_version SET spec = '{\"name\": 1}' WHERE version = 2"))
    assert assets(catalogue) == {"pipelines/odd/s0"}
    version, error = state(database, "odd")
    assert (version, "can't be read" in (error or "")) == (1, True)


@pytest.fixture(scope="module")
def served() -> Iterator[PipelineRig]:
    with PipelineRig(programs=("pipelines",)) as rig:
        yield rig


def shown(rig: PipelineRig) -> set[str]:
    """The assets that the code server tells Dagster of."""
    client = DagsterGrpcClient(port=rig.settings.ports.pipelines, host=rig.settings.host)
    location = GrpcServerCodeLocationOrigin(
        host=rig.settings.host, port=rig.settings.ports.pipelines, location_name="pipelines"
    )
    chunks = client.external_repository(RemoteRepositoryOrigin(location, "__repository__"), defer_snapshots=True)
    snap = deserialize_value(chunks, RepositorySnap)
    return {node.asset_key.to_user_string() for node in snap.asset_nodes}


def test_the_server_shows_what_is_deployed_without_being_told(served: PipelineRig) -> None:
    database = Database.connect(served.settings.database)
    client = DagsterGrpcClient(port=served.settings.ports.pipelines, host=served.settings.host)
    before = client.get_server_id()
    deployed(database, spec("seen"))
    served.until(lambda: "pipelines/seen/s0" in shown(served), 10, "the pipeline to be shown")
    assert client.get_server_id() != before
    served.restart("pipelines")
    assert "pipelines/seen/s0" in shown(served)
    database.dispose()


def test_the_server_goes_on_after_the_database_has_closed_its_connections(served: PipelineRig) -> None:
    database = Database.connect(served.settings.database)
    with database.engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND usename = user"
            )
        )
    database.dispose()
    database = Database.connect(served.settings.database)
    deployed(database, spec("after"))
    served.until(lambda: "pipelines/after/s0" in shown(served), 15, "the pipeline to be shown")
    database.dispose()
