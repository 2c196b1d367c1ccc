"""The controller on a real ledger: phases move on by themselves, routes and aliases follow, kills change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.rollout.controller import Controller
from mlops_assets.rollout.gateway import Upstream
from mlops_assets.rollout.ledger import Event, Ledger
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.registry import Registry
from mlops_assets.rollout.routing import Online
from mlops_assets.settings import PROJECT
from mlops_assets.storage.database import Database, DatasetVersion

PRODUCT = "house_prices"
WHERE = Upstream(PRODUCT, 0, ("/api/predict_home_price",), 6001, 6002)


class Services:
    """What both services would say of themselves, by port."""

    def __init__(self) -> None:
        self.told: dict[int, dict[str, Any]] = {}

    def __call__(self, url: str) -> dict[str, Any]:
        return self.told.get(int(url.rpartition(":")[2]), {})

    def hold(self, production: int | None, candidate: int | None) -> None:
        self.told = {6001: {"ready": True, "version": production}, 6002: {"ready": True, "version": candidate}}


@pytest.fixture
def ledger(database: Database) -> Ledger:
    with database.session() as session, session.begin():
        session.add(
            DatasetVersion(product=PRODUCT, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
        )
    found = Ledger(database)
    for run in ("a", "b"):
        release(found, run)
    return found


def release(ledger: Ledger, run: str) -> int:
    version = ledger.reserve(PRODUCT, run, 1)
    ledger.publish(PRODUCT, version, f"/releases/{version}", {"mlflow_version": str(version)}, "test")
    return version


def controller(ledger: Ledger, folder: Path, services: Services, **more: Any) -> Controller:
    online = Online(PRODUCT, more.pop("policy", RolloutPolicy()), WHERE)
    return Controller(ledger, [online], folder / "routes.json", ask=services, **more)


def weights(folder: Path) -> str:
    return (folder / "routes.json").read_text()


def test_a_candidate_gets_users_only_when_its_service_holds_it(ledger: Ledger, tmp_path: Path) -> None:
    services = Services()
    steps = controller(ledger, tmp_path, services)
    services.hold(1, 1)
    steps.step()
    assert ledger.state(PRODUCT).phase is Phase.SHADOW
    before = weights(tmp_path)
    services.hold(1, 2)
    steps.step()
    state = ledger.state(PRODUCT)
    assert (state.phase, state.candidate_share, state.started_at is not None) == (Phase.HOLD, 0.2, True)
    steps.step()
    assert weights(tmp_path) != before
    assert len(ledger.history(PRODUCT)) == 3


def test_a_candidate_that_can_not_be_loaded_is_withdrawn_with_the_service_s_own_words(
    ledger: Ledger, tmp_path: Path
) -> None:
    services = Services()
    services.told = {6002: {"ready": True, "version": 1, "failure": "release 2 can't serve: its sha256 differs"}}
    later = datetime.now(UTC) + timedelta(minutes=31)
    controller(ledger, tmp_path, services).step()
    assert ledger.state(PRODUCT).candidate == 2
    controller(ledger, tmp_path, services, now=lambda: later).step()
    newest = ledger.history(PRODUCT)[0]
    assert (newest.event, newest.candidate, newest.production) == (Event.ROLLED_BACK, None, 1)
    assert "sha256 differs" in newest.reason


def test_a_promotion_is_watched_and_settles(ledger: Ledger, tmp_path: Path) -> None:
    services = Services()
    ledger.promote(PRODUCT, "kim", "better")
    services.hold(1, 2)
    steps = controller(ledger, tmp_path, services)
    steps.step()
    assert ledger.state(PRODUCT).phase is Phase.PROMOTING
    services.hold(2, 1)
    steps.step()
    assert ledger.state(PRODUCT).phase is Phase.WATCH
    controller(ledger, tmp_path, services, now=lambda: datetime.now(UTC) + timedelta(hours=25)).step()
    assert ledger.state(PRODUCT).phase is Phase.DONE


def test_with_several_hosts_all_that_answer_must_hold_it(ledger: Ledger, tmp_path: Path) -> None:
    told: dict[str, dict[str, Any]] = {}

    def ask(url: str) -> dict[str, Any]:
        return told.get(url, {})

    def hosts_hold(variant_port: int, *versions: int | None) -> None:
        for number, version in enumerate(versions, start=2):
            url = f"http://127.0.0.{number}:{variant_port}"
            told[url] = {} if version is None else {"ready": True, "version": version}

    where = replace(WHERE, addresses=("127.0.0.2", "127.0.0.3"))
    online = Online(PRODUCT, RolloutPolicy(), where)
    steps = Controller(ledger, [online], tmp_path / "routes.json", ask=ask)
    hosts_hold(6002, 2, 1)
    steps.step()
    assert ledger.state(PRODUCT).phase is Phase.SHADOW
    # One that is down holds up nothing.
    hosts_hold(6002, 2, None)
    steps.step()
    assert ledger.state(PRODUCT).phase is Phase.HOLD
    ledger.promote(PRODUCT, "kim", "better")
    hosts_hold(6001, 1, 2)
    steps.step()
    assert ledger.state(PRODUCT).phase is Phase.PROMOTING
    hosts_hold(6001, None, None)
    steps.step()
    assert ledger.state(PRODUCT).phase is Phase.PROMOTING
    hosts_hold(6001, 2, 2)
    steps.step()
    assert ledger.state(PRODUCT).phase is Phase.WATCH


def test_a_paused_product_stays_where_it_is(ledger: Ledger, tmp_path: Path) -> None:
    services = Services()
    services.hold(1, 2)
    ledger.pause(PRODUCT, actor="kim", reason="audit")
    controller(ledger, tmp_path, services).step()
    assert ledger.state(PRODUCT).phase is Phase.SHADOW


def test_controllers_at_once_record_each_move_once(ledger: Ledger, tmp_path: Path) -> None:
    services = Services()
    services.hold(1, 2)

    def run(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        for _ in range(5):
            controller(ledger, folder, services).step()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert [entry.event for entry in ledger.history(PRODUCT)] == [Event.STARTED, Event.CANDIDATE, Event.FIRST_RELEASE]


def test_the_aliases_follow_a_decision_made_while_mlflow_was_down(ledger: Ledger, tmp_path: Path) -> None:
    down, pointed = True, []

    def mlflow(request: httpx.Request) -> httpx.Response:
        if down:
            raise httpx.ConnectError("refused")
        pointed.append((request.method, json.loads(request.content)))
        return httpx.Response(200, json={})

    services = Services()
    registry = Registry("http://mlflow", httpx.MockTransport(mlflow))
    steps = controller(ledger, tmp_path, services, registry=registry)
    ledger.promote(PRODUCT, "kim", "better")
    steps.step()
    assert not pointed
    down = False
    for _ in range(25):
        steps.step()
    assert pointed == [
        ("POST", {"name": PRODUCT, "alias": "champion", "version": "2"}),
        ("DELETE", {"name": PRODUCT, "alias": "challenger"}),
    ]


# One process that forks a controller for each place, so that the imports are paid once. The child is killed at its
# n-th passage of a point where something is decided or written: inside and between the ledger's transactions, the
# routes and the aliases. A second child then goes on where the first was killed.
KILLED = """
import json, os, sys
from pathlib import Path
import httpx
from sqlalchemy import text
from tests.integration.test_controller import PRODUCT, RolloutPolicy, Services, controller, release
from mlops_assets.rollout import gateway, ledger as ledgers
from mlops_assets.rollout.facts import Decision, Evidence
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.registry import Registry
from mlops_assets.storage.database import Database

left = 0

def deadly(owner, name):
    real = getattr(owner, name)
    def point():
        global left
        left -= 1
        if left == 0:
            os._exit(9)
    def wrapped(*a, **k):
        point()
        result = real(*a, **k)
        point()
        return result
    setattr(owner, name, wrapped)

for owner, name in ((ledgers, "lock"), (ledgers, "append"), (gateway, "write"), (Registry, "point")):
    deadly(owner, name)

def run(folder):
    database = Database.connect(os.environ["URL"])
    ledger, services = ledgers.Ledger(database), Services()
    registry = Registry("http://mlflow", httpx.MockTransport(lambda r: httpx.Response(200, json={})))
    steps = controller(ledger, folder, services, registry=registry, policy=RolloutPolicy(watch_hours=0))
    for _ in range(10):
        state = ledger.state(PRODUCT)
        services.hold(state.production, state.candidate)
        steps.step()
        state = ledger.state(PRODUCT)
        if state.phase is Phase.HOLD:
            evidence = Evidence(hours=30, step_hours=30)
            ledger.look(PRODUCT, Decision("promote", ("better",)), evidence, RolloutPolicy(),
                        actor="platform", expected_seq=state.seq, key="look:1")
        if state.phase is Phase.DONE:
            break
    steps.step()

def child(place):
    global left
    pid = os.fork()
    if pid == 0:
        left = place
        try:
            run(Path(sys.argv[1]))
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

for place in range(1, 200):
    database = Database.connect(os.environ["URL"])
    with database.engine.begin() as connection:
        for table in ("ledger", "release"):
            connection.execute(text(f"ALTER TABLE mlops.{table} DISABLE TRIGGER USER"))
            connection.execute(text(f"DELETE FROM mlops.{table}"))
            connection.execute(text(f"ALTER TABLE mlops.{table} ENABLE TRIGGER USER"))
    ledger = ledgers.Ledger(database)
    for number in "ab":
        release(ledger, number)
    database.dispose()
    first = child(place)
    second = child(0) if first else 0
    entries = [[e.seq, e.event, e.production, e.candidate] for e in reversed(ledger.history(PRODUCT))]
    database.dispose()
    print(json.dumps([place, first, second, entries]), flush=True)
    if not first:
        break
"""


def test_killed_at_any_step_of_any_transition_it_ends_in_the_same_state(
    ledger: Ledger, postgres_url: str, tmp_path: Path
) -> None:
    ledger.database.dispose()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=PROJECT,
        env=os.environ | {"URL": postgres_url},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = [
        [1, Event.FIRST_RELEASE, 1, None],
        [2, Event.CANDIDATE, 1, 2],
        [3, Event.STARTED, 1, 2],
        [4, Event.PROMOTED, 2, None],
        [5, Event.WATCHING, 2, None],
        [6, Event.SETTLED, 2, None],
    ]
    assert [first for _, first, _, _ in told] == [9] * (len(told) - 1) + [0]
    assert len(told) > 20
    for place, _, second, entries in told:
        assert (second, entries) == (0, wanted), f"killed at {place}"
    assert json.loads((tmp_path / "routes.json").read_text())["resources"]
