"""An installation on many hosts, each a namespace of its own: ours, a database, an S3 and a Dask cluster.

Each host of ours has its own home, settings and `mlops up`, as on machines of their own; what they share is the
database, the store and the secrets that were copied. Keep out assertions.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from mlops_assets.installation import leftovers
from mlops_assets.settings import Settings
from mlops_assets.storage import rights
from tests.e2e.installation import Installation
from tests.e2e.network import Host, network
from tests.e2e.small_disk import SmallDisk, small_disk
from tests.integration.dask_cluster import running_scheduler, running_worker
from tests.integration.object_store import running_object_store
from tests.integration.own_postgres import OwnPostgres, running_own_postgres

# Training shares two cores with four hosts' programs.
COMMAND_SECONDS = 500
STORAGE = "s3://store/platform"
SHARED_SECRETS = ("key", "operator_token", "inner_token")
# The serving host whose disk is a small one.
SMALL = "serving1"


@dataclass
class Member(Installation):
    """A host with a part of the installation, found at `address`."""

    address: str = ""

    def end(self) -> None:
        """Kill everything at once, as when the power fails."""
        leftovers.end(self.processes())

    def lose_disk(self) -> None:
        """Leave nothing but what deploy/HOSTS.md says has to be brought to another host."""
        for path in self.home.iterdir():
            if path.name != "secrets":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def change_code(self, folder: Path) -> None:
        """Stop it, and start it from the project in `folder`."""
        self.ok("down")
        self.variables["PYTHONPATH"] = str(folder)
        self.ok("up")

    def code(self) -> set[str]:
        """Folders of the projects that its programs were started from."""
        return {process.cwd() for process in self.processes()}


@dataclass
class Worker:
    """A host with one Dask worker, whose process nothing but `start` starts."""

    host: Host
    scheduler: str
    folder: Path
    _running: ExitStack = field(default_factory=ExitStack, init=False)

    def start(self) -> None:
        """Return when the scheduler knows it."""
        worker = running_worker(self.scheduler, self.folder, host=self.host.address, inside=self.host.inside)
        self._running.enter_context(worker)

    def end(self) -> None:
        """Kill it, as when the power fails."""
        self._running.close()


@dataclass(frozen=True)
class Hosts:
    """The whole installation, with the servers of others that it uses.

    `scheduler` is the Dask cluster's address, `disk` that of the first serving host.
    """

    members: dict[str, Member]
    workers: dict[str, Worker]
    hosts: dict[str, Host]
    database: OwnPostgres
    scheduler: str
    disk: SmallDisk

    @property
    def gateway(self) -> str:
        """Address that users know."""
        return f"http://{self.members['gateway'].address}:7000"

    @property
    def serving(self) -> list[Member]:
        return [member for name, member in self.members.items() if name.startswith("serving")]

    def settings(self) -> Settings:
        """The orchestrator's, as this process reaches everything."""
        orchestrator = self.members["orchestrator"]
        return Settings(
            home=orchestrator.home,
            orchestrator_host=orchestrator.address,
            serving_hosts=" ".join(member.address for member in self.serving),
            gateway_host=self.members["gateway"].address,
            database_url=SecretStr(self.database.url(rights.OWNER)),
            storage_url=STORAGE,
            dask_address=self.scheduler,
        )


@contextmanager
def running_hosts(serving: int = 2, working: int = 2) -> Iterator[Hosts]:
    """Everything is started in its order, from an empty database and an empty bucket."""
    replicas = [f"serving{number}" for number in range(1, serving + 1)]
    crew = [f"worker{number}" for number in range(1, working + 1)]
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mlops-hosts-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        hosts = stack.enter_context(
            network("database", "store", "scheduler", *crew, "orchestrator", *replicas, "gateway")
        )
        database = stack.enter_context(
            running_own_postgres(folder / "postgres", hosts["database"].address, hosts["database"].inside)
        )
        database.make_roles()
        (folder / "store").mkdir()
        store = stack.enter_context(
            running_object_store(folder / "store", hosts["store"].address, hosts["store"].inside)
        )
        scheduler, workers = stack.enter_context(cluster(folder, hosts["scheduler"], [hosts[name] for name in crew]))
        common = {
            "MLOPS_LISTEN": "0.0.0.0",
            "MLOPS_ORCHESTRATOR_HOST": hosts["orchestrator"].address,
            "MLOPS_SERVING_HOSTS": " ".join(hosts[name].address for name in replicas),
            "MLOPS_GATEWAY_HOST": hosts["gateway"].address,
            "MLOPS_STORAGE_URL": STORAGE,
            "AWS_ENDPOINT_URL": store["endpoint_url"],
            "AWS_ACCESS_KEY_ID": store["key"],
            "AWS_SECRET_ACCESS_KEY": store["secret"],
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        serving_role = {"MLOPS_SERVING_DATABASE_URL": database.url(rights.SERVING)}
        orchestrating = {
            "MLOPS_DATABASE_URL": database.url(rights.OWNER),
            "MLOPS_READER_DATABASE_URL": database.url(rights.READER),
            "MLOPS_DASK_ADDRESS": scheduler,
        }
        disk = stack.enter_context(small_disk(folder / SMALL))
        members = {}
        for name in ("orchestrator", *replicas, "gateway"):
            part = "serving" if name in replicas else name
            own = {"MLOPS_PARTS": part} | (orchestrating if part == "orchestrator" else serving_role)
            members[name] = Member(
                folder / name,
                offset=0,
                variables=common | own,
                inside=hosts[name].inside,
                name=name,
                seconds=COMMAND_SECONDS,
                address=hosts[name].address,
            )
            stack.callback(members[name].end)
        start(members, folder)
        yield Hosts(members, workers, hosts, database, scheduler, disk)


@contextmanager
def cluster(folder: Path, scheduler: Host, hosts: list[Host]) -> Iterator[tuple[str, dict[str, Worker]]]:
    """The address of a scheduler on a host of its own, and workers by the name of theirs."""
    (folder / scheduler.name).mkdir()
    with (
        running_scheduler(folder / scheduler.name, host=scheduler.address, inside=scheduler.inside) as address,
        ExitStack() as stack,
    ):
        workers = {host.name: Worker(host, address, folder / host.name) for host in hosts}
        for worker in workers.values():
            worker.folder.mkdir()
            stack.callback(worker.end)
            worker.start()
        yield address, workers


def start(members: dict[str, Member], folder: Path) -> None:
    """The orchestrator first, which makes the secrets that the others are given."""
    members["orchestrator"].ok("up")
    for name, member in members.items():
        if name != "orchestrator":
            secrets = member.home / "secrets"
            secrets.mkdir(parents=True)
            for file in SHARED_SECRETS:
                shutil.copy2(folder / "orchestrator" / "secrets" / file, secrets / file)
            member.ok("up")
