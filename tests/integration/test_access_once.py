"""Idempotency keys on a real PostgreSQL: the work is done once, whoever sends it again, crashes or hangs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from mlops_assets.access import idempotency
from mlops_assets.access.idempotency import MOST_FORGOTTEN, Answer, KeyBusyError, Keyed, KeyReusedError, once
from mlops_assets.storage.access_tables import AnsweredRequest
from mlops_assets.storage.database import Database
from tests.servers import child_environment, wait_until

REQUEST = Keyed(caller="ci", route="POST /api/v1/things", key="k1", content=b'{"name":"a"}')
HANGING = """
import sys, time
from mlops_assets.access.idempotency import Answer, Keyed, once
from mlops_assets.storage.database import Database
from sqlalchemy import text

def work(session):
    session.execute(text("INSERT INTO mlops.thing (name) VALUES ('half done')"))
    print("working", flush=True)
    time.sleep(60)
    return Answer(201, "{}")

once(Database.connect(sys.argv[1]), Keyed("ci", "POST /api/v1/things", "k1", b'{"name":"a"}'), work)
"""


@pytest.fixture
def things(database: Database) -> Database:
    """The database with a table that work writes to."""
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE mlops.thing (id serial PRIMARY KEY, name text NOT NULL)"))
    return database


def make(session: Session, name: str = "a") -> Answer:
    """The work: one more thing, whose number is the answer."""
    made = session.scalar(text("INSERT INTO mlops.thing (name) VALUES (:name) RETURNING id"), {"name": name})
    return Answer(201, f'{{"id": {made}}}', {"Location": f"/things/{made}"})


def count(database: Database) -> int:
    with database.session() as session:
        return session.scalar(text("SELECT count(*) FROM mlops.thing")) or 0


def age(database: Database, hours: float) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            text("UPDATE mlops.answered_request SET created_at = created_at - make_interval(secs => :seconds)"),
            {"seconds": hours * 3600},
        )


def test_the_same_request_again_gets_the_same_answer(things: Database) -> None:
    first = once(things, REQUEST, make)
    again = once(things, REQUEST, make)
    assert (first.replayed, again.replayed) == (False, True)
    assert replace(again, replayed=False) == first
    assert count(things) == 1


def test_the_key_with_another_body_is_refused_and_says_which_key(things: Database) -> None:
    once(things, REQUEST, make)
    with pytest.raises(KeyReusedError, match="k1"):
        once(things, replace(REQUEST, content=b"{}"), make)
    assert count(things) == 1


@pytest.mark.parametrize(
    "other",
    [replace(REQUEST, caller="kim"), replace(REQUEST, route="POST /api/v1/others"), replace(REQUEST, key="k2")],
)
def test_callers_routes_and_keys_are_kept_apart(things: Database, other: Keyed) -> None:
    once(things, REQUEST, make)
    assert not once(things, other, make).replayed
    assert count(things) == 2


def test_of_many_at_once_one_does_the_work(things: Database) -> None:
    start = Barrier(8)

    def send(_: int) -> str:
        start.wait(10)
        while True:
            try:
                return once(things, REQUEST, make).body
            except KeyBusyError:
                time.sleep(0.01)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert len(set(answers)) == 1
    assert count(things) == 1


def test_while_the_first_is_at_work_another_is_told_at_once_and_other_keys_go_on(things: Database) -> None:
    at_work, go_on = Event(), Event()

    def slow(session: Session) -> Answer:
        at_work.set()
        go_on.wait(20)
        return make(session)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(once, things, REQUEST, slow)
        assert at_work.wait(10)
        try:
            with pytest.raises(KeyBusyError, match="k1"):
                once(things, REQUEST, make)
            assert not once(things, replace(REQUEST, key="k2"), make).replayed
        finally:
            go_on.set()
        assert first.result(10).status == 201
    assert once(things, REQUEST, make).replayed
    assert count(things) == 2


def test_work_that_fails_leaves_nothing_and_the_key_free(things: Database) -> None:
    def fails(session: Session) -> Answer:
        make(session)
        raise LookupError("not this time")

    with pytest.raises(LookupError):
        once(things, REQUEST, fails)
    assert count(things) == 0
    assert not once(things, REQUEST, make).replayed
    assert count(things) == 1


def test_a_process_killed_at_work_leaves_no_lock(things: Database, postgres_url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANGING, postgres_url], env=child_environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        with pytest.raises(KeyBusyError):
            once(things, REQUEST, make)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def free() -> bool:
        try:
            return not once(things, REQUEST, make).replayed
        except KeyBusyError:
            return False

    wait_until(free, 10)
    with things.session() as session:
        assert session.scalars(text("SELECT name FROM mlops.thing")).all() == ["a"]


def test_a_worker_that_hangs_loses_the_lock(things: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "LONGEST_PAUSE_SECONDS", 0.2)
    hung, go_on = Event(), Event()

    def hangs(session: Session) -> Answer:
        answer = make(session, "hung")
        hung.set()
        go_on.wait(20)
        return answer

    def free() -> bool:
        try:
            return once(things, REQUEST, make).status == 201
        except KeyBusyError:
            return False

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(once, things, REQUEST, hangs)
        assert hung.wait(10)
        wait_until(free, 10)
        go_on.set()
        with pytest.raises(SQLAlchemyError):
            first.result(10)
    assert count(things) == 1


def test_an_answer_is_kept_for_a_day(things: Database) -> None:
    once(things, REQUEST, make)
    age(things, 23.9)
    assert once(things, REQUEST, make).replayed
    age(things, 0.2)
    assert not once(things, replace(REQUEST, content=b"{}"), make).replayed
    assert count(things) == 2


def test_old_answers_go_as_new_ones_come(things: Database) -> None:
    for number in range(MOST_FORGOTTEN + 5):
        once(things, replace(REQUEST, key=f"old{number}"), make)
    age(things, 25)
    once(things, REQUEST, make)
    with things.session() as session:
        assert session.scalar(select(func.count()).select_from(AnsweredRequest)) == 5 + 1


@pytest.mark.parametrize("route", ["POST /" + "x" * 60_000, "POST /é\ud800"])
def test_no_route_is_too_long_to_be_told_apart(route: str) -> None:
    assert replace(REQUEST, route=route).id != replace(REQUEST, route=route[:-1]).id
