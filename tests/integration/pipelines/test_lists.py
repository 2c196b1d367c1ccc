"""Lists of pipelines on a real PostgreSQL: filters, orders, pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from mlops_assets.pipelines import store
from mlops_assets.pipelines.store import Asked
from mlops_assets.storage.database import Database
from tests.integration.pipelines.stored_pipelines import created
from tests.unit.pipelines.fabricated_runs import spec_of
from tests.unit.pipelines.made_pipelines import stage


def names(database: Database, **asked: Any) -> list[str]:
    with database.session() as session:
        rows, total = store.listed(session, Asked(**asked))
        assert total >= len(rows)
        return [row.name for row, _ in rows]


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Every statement that is sent meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


@pytest.fixture
def several(database: Database) -> Database:
    created(database, "alpha", title="100% of it", tags={"team": "red", "tier": "1"})
    created(database, "beta_one", deploy=False, title="Other", tags={"team": "blue"})
    created(database, "betaxone", active=False, tags={"team": "a=b"})
    created(database, "gone")
    with database.session() as session, session.begin():
        store.delete(session, store.find(session, "gone"))
    return database


ASKED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["alpha", "beta_one", "betaxone"]),
    ({"sort": "-name"}, ["betaxone", "beta_one", "alpha"]),
    ({"sort": "-created_at"}, ["betaxone", "beta_one", "alpha"]),
    ({"limit": 1, "offset": 1}, ["beta_one"]),
    ({"offset": 3}, []),
    ({"q": "BETA"}, ["beta_one", "betaxone"]),
    ({"q": "a_o"}, ["beta_one"]),
    ({"q": "%"}, ["alpha"]),
    ({"q": "other"}, ["beta_one"]),
    ({"q": "\\"}, []),
    ({"active": False}, ["betaxone"]),
    ({"active": True}, ["alpha", "beta_one"]),
    ({"deployed": False}, ["beta_one"]),
    ({"deployed": True}, ["alpha", "betaxone"]),
    ({"tags": (("team", None),)}, ["alpha", "beta_one", "betaxone"]),
    ({"tags": (("team", "red"), ("tier", None))}, ["alpha"]),
    ({"tags": (("team", "red"), ("tier", "2"))}, []),
    ({"tags": (("team", "a=b"),)}, ["betaxone"]),
    ({"tags": (("'", '"'),)}, []),
]


def test_a_list_has_what_is_asked_for(several: Database) -> None:
    for asked, expected in ASKED:
        assert names(several, **asked) == expected, asked


def test_the_last_change_decides_the_order_by_change(several: Database) -> None:
    with several.session() as session, session.begin():
        store.set_active(session, store.find(session, "alpha"), False)
    assert names(several, sort="-updated_at") == ["alpha", "betaxone", "beta_one"]
    assert names(several, sort="updated_at")[-1] == "alpha"


def test_pages_neither_repeat_nor_miss_what_was_created_at_one_moment(database: Database) -> None:
    for number in range(9):
        created(database, f"p{number}")
    with database.session() as session, session.begin():
        session.execute(text("UPDATE mlops.pipeline SET created_at = '2025-01-01T00:00:00Z'"))
    for sort in ("created_at", "-created_at"):
        seen = [name for start in range(0, 9, 2) for name in names(database, sort=sort, limit=2, offset=start)]
        assert sorted(seen) == [f"p{number}" for number in range(9)]


def test_a_list_costs_as_many_statements_however_long_it_is(several: Database) -> None:
    with statements(several) as short:
        names(several, limit=1, q="a", tags=(("team", None),))
    for number in range(5):
        created(several, f"a{number}", tags={"team": "red"})
    with statements(several) as long:
        assert len(names(several, q="a", tags=(("team", None),))) == 8
    assert len(short) == len(long) <= 2
    assert not any("source" in statement for statement in long)


def test_the_head_is_of_the_newest_version_and_the_schedule_also_of_the_deployed_one(database: Database) -> None:
    created(database, "made", schedule="0 1 * * *", timezone="Asia/Tokyo", title="old")
    newer = spec_of(stage("load"), title="new", owner="kim", tags={"a": "b"})
    with database.session() as session, session.begin():
        store.add_version(session, store.find(session, "made"), newer, "kim", deploy=False)
    with database.session() as session:
        ((row, head),), total = store.listed(session, Asked())
        assert head == store.head_of(session, row)
    assert (total, head.title, head.owner, head.schedule, head.timezone) == (1, "new", "kim", None, "UTC")
    assert (head.tags, head.stage_count) == ({"a": "b"}, 1)
    assert (head.deployed_schedule, head.deployed_timezone) == ("0 1 * * *", "Asia/Tokyo")
