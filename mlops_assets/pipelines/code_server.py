"""`python -m mlops_assets.pipelines.code_server`: Dagster's code server for declared pipelines, following the store.

Whatever is deployed, paused or deleted there is in Dagster a moment later: nothing is restarted, nobody has to be
told, and after a crash the next start shows what is deployed. Dagster's webserver and daemon ask once a second whether
the server's id has changed, and load anew when it has. Add here what belongs to that loop. Keep out how a pipeline is
compiled (`dagster_assets`).

Dagster has no public way to change what a running server has loaded: internal names of `DagsterApiServer` are used in
`LocationServer` and nowhere else, and tests fail when a new version of Dagster changes them.
"""

from __future__ import annotations

import argparse
import gc
import logging
import select
import sys
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg2
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import FuturesAwareThreadPoolExecutor
from dagster._grpc.server import DagsterApiServer, DagsterGrpcServer
from dagster._serdes import serialize_value
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.pipelines import definitions, naming, store
from mlops_assets.pipelines.dagster_assets import Version
from mlops_assets.pipelines.store import Deployed
from mlops_assets.settings import PROJECT, load
from mlops_assets.storage.database import CONNECT_TIMEOUT_SECONDS, Database

if TYPE_CHECKING:
    from dagster import RepositoryDefinition

log = logging.getLogger("mlops_assets.pipelines.code_server")

MODULE = "mlops_assets.pipelines.definitions"
REPOSITORY = "__repository__"
WORKERS = 8
# A change that nobody told of is seen by then: of a database that was away, or of a server with another schema.
LOOK_SECONDS = 2.0
RETRY_SECONDS = 1.0


class Catalogue:
    """What the store says is deployed, compiled. A pipeline whose new version can't be compiled stays as it was."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deployed: list[Deployed] | None = None
        self._versions: dict[UUID, Version] = {}
        self._errors: dict[UUID, str] = {}

    def refreshed(self) -> RepositoryDefinition | None:
        """The whole location anew, None if nothing has changed. Raises SQLAlchemyError."""
        with self._database.session() as session:
            deployed = store.deployed(session)
            if deployed == self._deployed:
                return None
            specs = store.specs(session, [(p.id, p.version) for p in deployed if not self._has(p)])
        versions, errors = {}, {}
        for pipeline in deployed:
            spec = specs.get((pipeline.id, pipeline.version))
            if spec is not None:
                versions[pipeline.id] = Version(pipeline.id, pipeline.version, spec)
            elif pipeline.id in self._versions:
                versions[pipeline.id] = self._versions[pipeline.id]
            if spec is None and not self._has(pipeline):
                errors[pipeline.id] = f"version {pipeline.version} can't be read"
        active = frozenset(pipeline.id for pipeline in deployed if pipeline.active)
        try:
            repository = _compiled(versions.values(), active)
        except Exception:
            log.exception("the location can't be loaded as it is; looking for the pipelines that it fails for")
            self._put_back_broken(versions, errors)
            repository = _compiled(versions.values(), active)
        self._deployed, self._versions, self._errors = deployed, versions, errors
        return repository

    def tell(self) -> None:
        """Write down what is shown now, for whoever waits for it. Raises SQLAlchemyError."""
        with self._database.session() as session, session.begin():
            store.mark_loaded(session, self._deployed or [], self._errors)

    def _has(self, pipeline: Deployed) -> bool:
        known = self._versions.get(pipeline.id)
        return known is not None and known.number == pipeline.version

    def _put_back_broken(self, versions: dict[UUID, Version], errors: dict[UUID, str]) -> None:
        for pipeline_id, version in list(versions.items()):
            before = self._versions.get(pipeline_id)
            if version is before:
                continue
            try:
                _compiled([version], frozenset())
            except Exception as error:  # noqa: BLE001 whatever Dagster says against it
                errors[pipeline_id] = f"version {version.number} can't be loaded: {type(error).__name__}: {error}"
                log.error("pipeline %s: %s", version.spec.name, errors[pipeline_id])
                del versions[pipeline_id]
                if before is not None:
                    versions[pipeline_id] = before


def _compiled(versions: Iterable[Version], active: frozenset[UUID]) -> RepositoryDefinition:
    """A location of these versions. Raises whatever Dagster says against it."""
    repository = definitions.definitions_of(versions, active).get_repository_def()
    repository.load_all_definitions()
    return repository


class LocationServer(DagsterApiServer):
    """Dagster's servicer, whose one repository can be replaced.

    Webserver and daemon both ask for the whole of it when it is another one: that answer is made once, before.
    """

    _snapshot: str | None = None

    def show(self, repository: RepositoryDefinition) -> None:
        """Serve this repository from now on, whole at every moment, and let everybody know."""
        snapshot = serialize_value(RepositorySnap.from_def(repository, defer_snapshots=True))
        loaded = self._loaded_repositories
        assert loaded is not None, "the server doesn't start without its location"
        loaded.update_repo_defs({REPOSITORY: repository})
        self._snapshot = snapshot
        self._server_id = str(uuid.uuid4())

    def _get_serialized_external_repository_data(self, request: Any) -> str:
        if self._snapshot is not None and request.defer_snapshots:
            return self._snapshot
        return super()._get_serialized_external_repository_data(request)


class Follower(threading.Thread):
    """Keeps a served location like the store; wakes up at once when something has changed there."""

    def __init__(self, url: str, servicer: LocationServer, catalogue: Catalogue) -> None:
        super().__init__(name="follow the store", daemon=True)
        self._url, self._servicer, self._catalogue = url, servicer, catalogue

    def load_now(self) -> None:
        """Load what is deployed before anybody is served; the follower does, if that isn't possible now."""
        try:
            self._refresh()
        except SQLAlchemyError as error:
            log.warning("the database doesn't answer (%s); pipelines are loaded when it does", type(error).__name__)

    def run(self) -> None:
        """Follow for as long as the process lives."""
        while True:
            try:
                with closing(_listening(self._url)) as connection:
                    self._follow(connection)
            except (psycopg2.Error, SQLAlchemyError) as error:
                # The words of a driver may hold the address.
                log.warning("the database doesn't answer (%s); what is loaded stays", type(error).__name__)
            except Exception:
                log.exception("the location couldn't be loaded; what is loaded stays")
            time.sleep(RETRY_SECONDS)

    def _follow(self, connection: psycopg2.extensions.connection) -> None:
        while True:
            self._refresh()
            select.select([connection], [], [], LOOK_SECONDS)
            connection.poll()
            connection.notifies.clear()

    def _refresh(self) -> None:
        began = time.monotonic()
        # All that is made stays; looking through it for garbage meanwhile takes a third of the time.
        gc.disable()
        try:
            repository = self._catalogue.refreshed()
            if repository is None:
                return
            self._servicer.show(repository)
        finally:
            gc.enable()
        self._catalogue.tell()
        log.info(
            "%d assets loaded in %.2f s", len(repository.asset_graph.get_all_asset_keys()), time.monotonic() - began
        )


def _listening(url: str) -> psycopg2.extensions.connection:
    parsed = make_url(url)
    connection = psycopg2.connect(
        parsed.set(drivername="postgresql").render_as_string(hide_password=False),
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {store.CHANNEL}")
    return connection


def serve(host: str, port: int) -> None:
    """Serve until a signal. Raises SettingsError."""
    settings = load()
    definitions.followed = True
    database = Database.connect(settings.database)
    ended = threading.Event()
    pool = FuturesAwareThreadPoolExecutor(max_workers=WORKERS)
    servicer = LocationServer(
        server_termination_event=ended,
        logger=log,
        loadable_target_origin=LoadableTargetOrigin(
            executable_path=sys.executable, module_name=MODULE, working_directory=str(PROJECT)
        ),
        heartbeat=False,
        heartbeat_timeout=60,
        location_name=naming.LOCATION,
        server_threadpool_executor=pool,
        inject_env_vars_from_instance=True,
        entry_point=["dagster"],
    )
    server = DagsterGrpcServer(
        server_termination_event=ended,
        dagster_api_servicer=servicer,
        host=host,
        port=port,
        logger=log,
        threadpool_executor=pool,
    )
    follower = Follower(settings.database, servicer, Catalogue(database))
    follower.load_now()
    follower.start()
    server.serve()  # type: ignore[no-untyped-call]


def main() -> None:
    """Command line of the server."""
    parser = argparse.ArgumentParser(prog="mlops_assets.pipelines.code_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from dagster._utils.interrupts import setup_interrupt_handlers

    setup_interrupt_handlers()
    try:
        serve(options.host, options.port)
    except KeyboardInterrupt:
        log.info("stopped")


if __name__ == "__main__":
    main()
