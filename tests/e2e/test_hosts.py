"""The platform on nine hosts with a PostgreSQL, an S3 and a Dask cluster of others: the whole loop and what goes wrong.

Hosts die, can't reach each other, have no space left and are of two versions. One installation for all of them, in this
order: each test starts from what the one before it left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from distributed import Client as DaskClient
from sqlalchemy import text

from mlops_assets.api.orchestrator import Orchestrator
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.phases import Phase
from mlops_assets.storage import revisions, rights
from mlops_assets.storage.database import Database
from tests.e2e.hosts import Hosts, Member, Worker, running_hosts
from tests.e2e.load import BODY, PRODUCT, ROUTE, Account, Client, doubled, lost
from tests.e2e.next_version import COLUMN, SAYS, make_next_version, revision_of_next
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

CAPTURED = """query Captured($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  ... on LogsCapturedEvent { fileKey } } } } }"""
LOGS = "query Logs($key: [String!]!) { capturedLogs(logKey: $key) { stderr } }"


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
def asked(hosts: Hosts, database: Database, answers: int = 400, pause: float = 0.05) -> Iterator[Account]:
    """Users ask and rate before, while and after something happens; all are answered and nothing is lost."""
    with Client(hosts.gateway, workers=6, pause=pause) as client:
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


def printed(orchestrator: Orchestrator, run: str) -> str:
    """What Dagster shows of what a run printed."""
    events = orchestrator.query(CAPTURED, {"id": run})["logsForRun"]["events"]
    keys = [event["fileKey"] for event in events if event]
    found = [orchestrator.query(LOGS, {"key": [run, "compute_logs", key]})["capturedLogs"] for key in keys]
    return "".join(log["stderr"] or "" for log in found)


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


def journal(service: str) -> dict[str, Any]:
    """What a service says of the log of its answers."""
    found: dict[str, Any] = httpx.get(f"{service}/api/health", timeout=5).json()["journal"]
    return found


def rated_twice(database: Database, account: Account) -> int:
    """How many ratings there are beyond the one that users gave to a prediction."""
    query = """
        SELECT count(*) - count(DISTINCT prediction_id) FROM mlops.feedback
        WHERE type = 'rating' AND prediction_id = ANY(CAST(:rated AS uuid[]))"""
    with database.engine.connect() as connection:
        return int(connection.scalar(text(query), {"rated": [p for p, _ in account.feedback]}) or 0)


def columns(database: Database, name: str) -> set[str]:
    """Tables that have a column of that name."""
    query = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'mlops' AND column_name = :name"
    with database.engine.connect() as connection:
        return set(connection.scalars(text(query), {"name": name}))


def makers(database: Database, version: int | None) -> set[str | None]:
    """Which versions of the platform answered from a release."""
    query = f"SELECT DISTINCT {COLUMN} FROM mlops.prediction WHERE version = :version"
    with database.engine.connect() as connection:
        return set(connection.scalars(text(query), {"version": version}))


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


def test_users_are_answered_without_the_orchestrator_and_it_goes_on_elsewhere_where_it_was(
    hosts: Hosts, database: Database
) -> None:
    orchestrator = hosts.members["orchestrator"]
    before = Ledger(database).state(PRODUCT)
    with asked(hosts, database) as account:
        orchestrator.end()
        more(account, 200)
        orchestrator.lose_disk()
        orchestrator.ok("up")
    assert ready([orchestrator])
    assert Ledger(database).state(PRODUCT).production == before.production
    with Orchestrator.of(hosts.settings()) as asking:
        run, _ = newest_model(asking)
        assert f"{PRODUCT}/model" in printed(asking, run).replace("__", "/")


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


def test_a_serving_host_whose_disk_is_full_costs_nothing_and_goes_on_when_there_is_space(
    hosts: Hosts, database: Database
) -> None:
    """Meanwhile an operator takes the promotion back, which the host follows from the copy that it has."""
    full, ledger, ports = hosts.serving[0], Ledger(database), hosts.settings().ports
    service, idle = (f"http://{full.address}:{port}" for port in (ports.production(0), ports.candidate(0)))
    with asked(hosts, database) as account:
        with hosts.disk.full():
            wait_until(lambda: "no space" in str(journal(service)["problem"]), 60, full.logs)
            more(account, 200)
            ledger.rollback(PRODUCT, actor="kim", reason="as it was", retrain=False)
            wanted = ledger.state(PRODUCT).production
            wait_until(lambda: versions(hosts, ports.production(0)) == [wanted] * 2, 60, full.logs)
            more(account, 200)
            # It answers, but what it can't keep it doesn't take: also the first line that one of its services tries.
            assert journal(service)["buffered_lines"] > 0
            wait_until(lambda: journal(idle)["backlog_bytes"] == 0, 60, full.logs)
            rated, stars = account.feedback[-1]
            other = {"prediction_id": rated, "feedback_type": "rating", "feedback_value": stars % 5 + 1}
            for asked_first in (idle, service):
                assert httpx.post(f"{asked_first}/api/feedback", json=other, timeout=10).status_code == 503
        wait_until(lambda: journal(service)["problem"] is None, 60, full.logs)
        wait_until(lambda: ready([full]), 60, full.logs)
    told = journal(service)
    assert (told["buffered_lines"], told["lost_lines"]) == (0, 0)
    assert rated_twice(database, account) == 0
    # A start without the database would find the release that serves.
    pointer = full.home / "serving" / f"{PRODUCT}_production" / "releases" / "pointer.json"
    wait_until(lambda: json.loads(pointer.read_text())["kept"][0]["version"] == wanted, 30, pointer.read_text)


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


def test_hosts_of_two_versions_work_together_while_one_after_the_other_is_upgraded(
    hosts: Hosts, database: Database, tmp_path: Path
) -> None:
    """As deploy/HOSTS.md says: the orchestrator first, then serving hosts, at last the gateway."""
    code, ledger, ports = make_next_version(tmp_path / "next"), Ledger(database), hosts.settings().ports
    orchestrator, (first, second) = hosts.members["orchestrator"], hosts.serving
    before = ledger.state(PRODUCT).candidate
    # A training on the same cores as everything else: users are in less of a hurry.
    with asked(hosts, database, pause=0.2) as account:
        orchestrator.change_code(code)
        assert columns(database, COLUMN) >= {"prediction", "ledger"}
        more(account, 100)
        # What the new orchestrator makes, hosts of the version before serve.
        with Orchestrator.of(hosts.settings()) as asking:
            asking.launch(f"{PRODUCT}_train")
            wait_until(lambda: ledger.state(PRODUCT).candidate not in (None, before), 400, orchestrator.logs)
            wait_until(lambda: ledger.state(PRODUCT).phase is Phase.HOLD, 60, orchestrator.logs)
            worked_on = str(newest_model(asking)[1]["worked_on"])
        # Dask's workers have the code of the version before.
        assert worked_on.startswith("this machine, because of "), worked_on
        candidate = ledger.state(PRODUCT).candidate
        assert (ledger.release(PRODUCT, candidate or 0).manifest or {})[COLUMN] == SAYS
        assert versions(hosts, ports.candidate(0)) == [candidate] * 2
        more(account, 100)
        first.change_code(code)
        more(account, 100)
        ledger.promote(PRODUCT, "kim", "better")
        wait_until(lambda: versions(hosts, ports.production(0)) == [candidate] * 2, 60)
        wait_until(lambda: ledger.state(PRODUCT).phase is Phase.WATCH, 60)
        more(account, 100)
        second.change_code(code)
    # There is one gateway: users wait for it.
    hosts.members["gateway"].change_code(code)
    with asked(hosts, database):
        pass
    assert makers(database, candidate) == {None, SAYS}
    assert [member.code() for member in hosts.serving] == [{str(code)}] * 2
    assert ready(list(hosts.members.values()))


def test_who_goes_back_to_the_version_before_is_told_what_is_in_the_way(hosts: Hosts) -> None:
    told = hosts.members["orchestrator"].run("migrate", PYTHONPATH="")
    assert told.returncode == 1
    assert f"version {revision_of_next()}" in told.stderr
    assert f"up to {revisions.newest()}" in told.stderr
    assert "Traceback" not in told.stderr
