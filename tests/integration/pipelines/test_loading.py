"""What Dagster is to load, what it has loaded, and who hears of changes; on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from mlops_assets.pipelines import store
from mlops_assets.storage.database import Database
from mlops_assets.storage.pipeline_tables import Pipeline
from tests.integration.pipelines.stored_pipelines import changing, created, found, spec


def test_specs_are_read_together_without_those_that_nobody_can_read(database: Database) -> None:
    good, bad = created(database, "good"), created(database, "bad")
    with changing(database) as session:
        session.execute(
            text("UPDATE mlops.pipeline_version SET spec = '{}' WHERE pipeline_id = :id"), {"id": str(bad.id)}
        )
        assert store.specs(session, [(good.id, 1), (bad.id, 1), (good.id, 2)]) == {(good.id, 1): spec("good")}
        assert store.specs(session, []) == {}


def loaded(database: Database) -> dict[str, tuple[int | None, bool | None, str | None]]:
    with database.session() as session:
        rows, _ = store.listed(session, store.Asked())
        return {row.name: (row.loaded_version, row.loaded_active, row.load_error) for row, _ in rows}


def written(database: Database) -> dict[str, str]:
    """Which transaction wrote each pipeline's row."""
    with database.session() as session:
        return {name: xmin for name, xmin in session.execute(text("SELECT name, xmin::text FROM mlops.pipeline"))}


def test_what_dagster_shows_is_noted_where_it_differs(database: Database) -> None:
    ids = {name: created(database, name).id for name in ("a", "b", "c")}

    def mark(shown: list[store.Deployed], errors: dict[UUID, str]) -> set[str]:
        before = written(database)
        with changing(database) as session:
            store.mark_loaded(session, shown, errors)
        after = written(database)
        return {name for name in ids if before[name] != after[name]}

    both = [store.Deployed(ids[name], name, 1, True) for name in ("a", "b")]
    assert mark(both, {}) == {"a", "b"}
    assert mark(both, {}) == set()
    newer = [store.Deployed(ids["a"], "a", 2, False), both[1]]
    assert mark(newer, {ids["a"]: "no\0 \udc00" + "x" * 10_000}) == {"a"}
    version, active, error = loaded(database)["a"]
    assert (version, active) == (1, True)
    assert error is not None
    assert error.startswith("no\ufffd ?")
    assert mark(newer, {}) == {"a"}
    assert loaded(database) == {"a": (2, False, None), "b": (1, True, None), "c": (None, None, None)}
    assert mark([], {}) == {"a", "b"}
    assert {found(database, name).revision for name in ids} == {1}


def test_whoever_listens_hears_of_changes_that_are_committed(database: Database) -> None:
    raw = database.engine.raw_connection()
    try:
        listening: Any = raw.driver_connection
        listening.autocommit = True
        listening.cursor().execute(f"LISTEN {store.CHANNEL}")

        def heard(act: Callable[[Session], Any], keep: bool = True) -> bool:
            with database.session() as session, session.begin() as transaction:
                act(session)
                if not keep:
                    transaction.rollback()
            listening.cursor().execute("SELECT 1")
            told = bool(listening.notifies)
            listening.notifies.clear()
            return told

        def row(session: Session) -> Pipeline:
            return store.find(session, "made")

        assert not heard(lambda session: store.create(session, spec(), "kim", deploy=True), keep=False)
        assert heard(lambda session: store.create(session, spec(), "kim", deploy=True))
        assert not heard(lambda session: store.set_active(session, row(session), True))
        assert heard(lambda session: store.set_active(session, row(session), False))
        assert heard(lambda session: store.add_version(session, row(session), spec(title="x"), "kim", deploy=False))
        assert heard(lambda session: store.deploy(session, row(session)))
        assert not heard(lambda session: store.mark_loaded(session, store.deployed(session), {}))
        assert heard(lambda session: store.delete(session, row(session)))
    finally:
        raw.invalidate()
