"""The platform on nine hosts with a PostgreSQL, an S3 and a Dask cluster of others: the whole loop, and hosts that die.

One installation for all of them, in this order: each test starts from what the one before it left.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from distributed import Client as DaskClient

from mlops_assets.api.orchestrator import Orchestrator
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.phases import Phase
from mlops_assets.storage import rights
from mlops_assets.storage.database import Database
from tests.e2e.hosts import Hosts, Member, Worker, running_hosts
from tests.e2e.load import BODY, PRODUCT, ROUTE, Account, Client, doubled, lost
from tests.servers import wait_until

# Nine hosts are started before the first test, on two cores.
pytestmark = pytest.mark.timeout(800)

# How the name of a task of the search begins: a trial on one fold.
TRIAL = "_attempt_there"
MODEL = """
query Model($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset { assetMaterializations(limit: 1) {
  runId metadataEntries { label
    ... on TextMetadataEntry { text }
    ... on IntMetadataEntry { intRepr }
    ... on FloatMetadataEntry { floatValue }
} } } } }"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with running_hosts() as found:
        yield found


@pytest.fixture(scope="module")
def database(hosts: Hosts) -> Iterator[Database]:
    found = Database.connect(hosts.settings().database)
    yield found
    found.dispose()


@contextmanager
def asked(hosts: Hosts, database: Database, answers: int = 400) -> Iterator[Account]:
    """Users ask and rate before, while and after something happens; all are answered and nothing is lost."""
    with Client(hosts.gateway, workers=6, pause=0.05) as client:
        account = client.account
        more(account, answers // 4)
        yield account
        more(account, answers)
    assert account.failed == {}
    assert account.feedback
    assert lost(database, account) == ([], [])
    assert doubled(database) == {"counts": 0, "ledger": 0}


def more(account: Account, answers: int) -> None:
    """Return when so many more were answered."""
    wanted = len(account.predictions) + answers
    wait_until(lambda: len(account.predictions) >= wanted, 120, lambda: str(account.failed))


def ready(members: list[Member]) -> bool:
    return all(member.run("ready").returncode == 0 for member in members)


def newest_model(orchestrator: Orchestrator) -> tuple[str, dict[str, str | float]]:
    """The run that made it, and what its page in Dagster says: which model it is, of how many trials, found where."""
    found = orchestrator.query(MODEL, {"key": {"path": [PRODUCT, "model"]}})["assetOrError"]
    (made,) = found["assetMaterializations"]
    said = {entry.pop("label"): next(iter(entry.values()), None) for entry in made["metadataEntries"]}
    return made["runId"], {name: said[name] for name in ("family", "median_ape", "trials", "worked_on")}


def in_the_middle(cluster: DaskClient, worker: Worker) -> bool:
    """Whether it is seen at work on a trial, and holds what came of another that it has finished."""
    mine = f"tcp://{worker.host.address}:"

    def trials(found: dict[str, Any]) -> list[str]:
        return [key for at, keys in found.items() for key in keys if at.startswith(mine) and key.startswith(TRIAL)]

    return bool(trials(cluster.has_what())) and bool(trials(cluster.call_stack()))


def versions(hosts: Hosts, port: int) -> list[int | None]:
    """Which release each serving host's service on that port holds; None of one that doesn't answer."""
    found = []
    for member in hosts.serving:
        try:
            told = httpx.get(f"http://{member.address}:{port}/readyz", timeout=2).json()
        except (httpx.HTTPError, ValueError):
            told = {}
        found.append(told.get("version"))
    return found


def test_every_host_runs_its_part_and_users_are_answered(hosts: Hosts) -> None:
    assert ready(list(hosts.members.values())), [m.run("ready").stderr for m in hosts.members.values()]
    assert hosts.members["serving1"].ok("doctor")
    orchestrator = hosts.members["orchestrator"]
    # It started before the others, and noted that they didn't answer.
    wait_until(lambda: orchestrator.run("doctor").returncode == 0, 120, lambda: orchestrator.run("doctor").stdout)
    said = orchestrator.ok("doctor")
    assert "your PostgreSQL" in said
    assert f"{hosts.scheduler}, 2 workers" in said
    answer = httpx.post(f"{hosts.gateway}{ROUTE}", json=BODY, timeout=10)
    assert answer.status_code == 200, answer.text
    # What was made is in the store, and in no folder of a host.
    assert not (orchestrator.home / "storage").exists()
    assert not (orchestrator.home / "postgres").exists()


def test_a_person_signs_in_at_the_gateway_and_gets_to_the_orchestrator(hosts: Hosts) -> None:
    door = hosts.gateway.replace(":7000", ":8000")
    token = (hosts.members["orchestrator"].home / "secrets" / "operator_token").read_text().strip()
    mine = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{door}/dagster/server_info", timeout=10).status_code == 401
    for path in ("/dagster/server_info", "/mlflow/health", "/api/v1/overview"):
        assert httpx.get(f"{door}{path}", headers=mine, timeout=10).status_code == 200, path
    orchestrator = hosts.members["orchestrator"].address
    assert httpx.get(f"http://{orchestrator}:3000/dagster/server_info", timeout=10).status_code == 401


def test_the_first_training_was_done_on_the_workers(hosts: Hosts) -> None:
    with Orchestrator.of(hosts.settings()) as orchestrator:
        assert newest_model(orchestrator)[1]["worked_on"] == f"2 Dask workers at {hosts.scheduler}"


def test_a_candidate_gets_users_when_every_host_holds_it(hosts: Hosts, database: Database) -> None:
    """Its training loses a worker in the middle of the search, while users ask."""
    ledger, settings, dead = Ledger(database), hosts.settings(), hosts.workers["worker1"]
    host = hosts.members["orchestrator"]
    with (
        Orchestrator.of(settings) as orchestrator,
        DaskClient(hosts.scheduler, set_as_default=False) as cluster,
        asked(hosts, database),
    ):
        _, first = newest_model(orchestrator)
        run = orchestrator.launch(f"{PRODUCT}_train")
        wait_until(lambda: in_the_middle(cluster, dead), 200, host.logs)
        dead.end()
        wait_until(lambda: ledger.state(PRODUCT).phase is Phase.HOLD, 400, host.logs)
        # The other worker did its trials again: this is the model that two would have found.
        assert newest_model(orchestrator) == (run, first)
        dead.start()
        assert f"{hosts.scheduler}, 2 workers" in host.run("doctor").stdout
    candidate = ledger.state(PRODUCT).candidate
    assert versions(hosts, settings.ports.candidate(0)) == [candidate, candidate]
    with asked(hosts, database):
        pass


def test_a_serving_host_that_dies_costs_nothing_and_ships_what_it_had_when_it_is_back(
    hosts: Hosts, database: Database
) -> None:
    dead = hosts.serving[0]
    with asked(hosts, database) as account:
        dead.end()
        more(account, 200)
        dead.ok("up")
    assert ready([dead])


def test_users_are_answered_without_the_orchestrator_and_it_goes_on_where_it_was(
    hosts: Hosts, database: Database
) -> None:
    orchestrator = hosts.members["orchestrator"]
    before = Ledger(database).state(PRODUCT)
    with asked(hosts, database) as account:
        orchestrator.end()
        more(account, 200)
        orchestrator.ok("up")
    assert ready([orchestrator])
    assert Ledger(database).state(PRODUCT).production == before.production


def test_users_are_answered_while_the_database_cannot_be_reached(hosts: Hosts, database: Database) -> None:
    network = hosts.hosts["database"]
    with asked(hosts, database) as account:
        network.unplug()
        try:
            more(account, 200)
        finally:
            network.plug_in()


def test_a_promotion_reaches_every_host(hosts: Hosts, database: Database) -> None:
    ledger, ports = Ledger(database), hosts.settings().ports
    with asked(hosts, database):
        ledger.promote(PRODUCT, "kim", "better")
        wanted = ledger.state(PRODUCT).production
        wait_until(lambda: versions(hosts, ports.production(0)) == [wanted] * 2, 60)
        wait_until(lambda: ledger.state(PRODUCT).phase is Phase.WATCH, 60)


def test_a_new_password_of_the_services_reaches_host_after_host(hosts: Hosts, database: Database) -> None:
    """As deploy/HOSTS.md says: the role gets it first, then each host, which is stopped and started."""
    new = "another-one"
    url = hosts.database.url(rights.SERVING, password=new)
    with asked(hosts, database) as account:
        hosts.database.run(f"ALTER ROLE {rights.SERVING} PASSWORD '{new}'")
        hosts.database.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{rights.SERVING}'")
        # Who knows only the old one goes on answering, and keeps what it can't write.
        more(account, 200)
        for member in hosts.serving:
            member.ok("down")
            more(account, 100)
            member.variables["MLOPS_SERVING_DATABASE_URL"] = url
            member.ok("up")
            wait_until(lambda member=member: ready([member]), 60, member.logs)
    # There is one gateway: users wait for it.
    gateway = hosts.members["gateway"]
    gateway.ok("down")
    gateway.variables["MLOPS_SERVING_DATABASE_URL"] = url
    gateway.ok("up")
    with asked(hosts, database):
        pass
    assert ready(list(hosts.members.values()))
