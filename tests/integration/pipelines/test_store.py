"""The store of declared pipelines on a real PostgreSQL: versions, names, races."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session

from mlops_assets.pipelines import store
from mlops_assets.pipelines.spec import digest
from mlops_assets.pipelines.store import ChangedError, ConflictError, NameTakenError, StoreError, UnknownPipelineError
from mlops_assets.pipelines.validate import checked
from mlops_assets.storage.database import Database
from mlops_assets.storage.pipeline_tables import Pipeline
from tests.integration.pipelines.stored_pipelines import changing, created, found, spec


def test_what_is_created_is_found_by_name_and_by_id(database: Database) -> None:
    made = created(database)
    for asked in ("made", str(made.id), str(made.id).upper()):
        row = found(database, asked)
        assert (row.id, row.revision, row.version, row.deployed_version, row.active) == (made.id, 1, 1, 1, True)
        assert row.deployed_at == row.created_at
    with database.session() as session:
        version = store.version_of(session, made.id, 1)
        assert version is not None
        assert store.spec_of(version) == spec()
    assert created(database, "kept", deploy=False).deployed_version is None


def test_ids_of_odd_shapes_are_unknown(database: Database) -> None:
    created(database)
    for asked in ("", "Made", "no_such", "x" * 10_000, "a\0b", "añb", "a/b", "'; --", "%", str(uuid4()), uuid4().hex):
        with pytest.raises(UnknownPipelineError, match="there is no pipeline"):
            found(database, asked)


def test_a_name_that_could_be_an_id_is_a_name(database: Database) -> None:
    name = "a" * 32
    assert found(database, str(created(database, name).id)).name == found(database, name).name == name


# Among them what PostgreSQL writes in another way than Python.
VALUES = [
    *(1e16, 1e18, 1e19, 1e22, 1.7e308, -1e300, 5e-324, -0.0, 0.1, 1.0, 2**63 - 1, -(2**63)),
    *("\u2028\U0001f600", [[1e17]]),
]


def test_a_spec_that_is_read_and_stored_again_is_the_same_version(database: Database) -> None:
    for number, value in enumerate(VALUES):
        name = f"p{number}"
        made = created(database, name, config={"v": value}, parameters={"x": {"type": "json", "default": value}})
        with changing(database) as session:
            version = store.version_of(session, made.id, 1)
            assert version is not None
            again = checked(store.spec_of(version).model_dump(mode="json"))
            assert again.config == {"v": value}
            assert digest(again) == version.digest, value
            row = store.find(session, name)
            assert store.add_version(session, row, again, "lee", deploy=True).version == 1, value


def test_a_name_is_taken_until_its_pipeline_is_deleted(database: Database) -> None:
    first = created(database)
    with pytest.raises(NameTakenError, match="'made'"):
        created(database)
    with changing(database) as session:
        store.delete(session, store.find(session, "made"))
    second = created(database)
    assert second.id != first.id
    with database.session() as session:
        assert store.version_of(session, first.id, 1) is not None
        gone = store.by_id(session, first.id)
        assert gone is not None
        assert gone.deleted_at is not None
        with pytest.raises(UnknownPipelineError):
            store.find(session, str(first.id))
        assert [one.id for one in store.deployed(session)] == [second.id]


def attempts(count: int, act: Callable[[int], Any]) -> list[Any]:
    """What `act` gives or which of the store's errors it raises, all at the same moment."""
    start = Barrier(count)

    def one(number: int) -> Any:
        start.wait(20)
        try:
            return act(number)
        except StoreError as error:
            return type(error)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_of_many_creations_of_a_name_at_once_one_wins(database: Database) -> None:
    outcomes = attempts(8, lambda _: created(database).name)
    assert sorted(outcomes, key=str) == [NameTakenError] * 7 + ["made"]
    with database.session() as session:
        assert store.listed(session, store.Asked())[1] == 1


def test_of_many_changes_of_what_was_read_one_wins(database: Database) -> None:
    made = created(database)

    def change(number: int) -> str:
        with changing(database) as session:
            read = Pipeline(**{column.key: getattr(made, column.key) for column in Pipeline.__table__.columns})
            return store.add_version(session, read, spec(title=f"{number}"), "kim", deploy=True).name

    outcomes = attempts(8, change)
    assert sorted(outcomes, key=str) == [ChangedError] * 7 + ["made"]
    with database.session() as session:
        assert [version.version for version in store.versions(session, made.id)] == [2, 1]


def test_of_two_that_take_one_name_one_wins_and_the_other_stays_as_it_was(database: Database) -> None:
    for name in ("a", "b"):
        created(database, name)

    def rename(number: int) -> str:
        with changing(database) as session:
            mine = store.find(session, "ab"[number], lock=True)
            return store.add_version(session, mine, spec("c"), "kim", deploy=True).name

    outcomes = attempts(2, rename)
    assert sorted(outcomes, key=str) == [NameTakenError, "c"]
    other = found(database, "ab"[outcomes.index(NameTakenError)])
    assert (other.version, other.revision) == (1, 1)


def test_a_rename_onto_a_taken_name_leaves_the_transaction_usable(database: Database) -> None:
    created(database, "taken")
    created(database)
    with changing(database) as session:
        mine = store.find(session, "made")
        with pytest.raises(NameTakenError, match="'taken'"):
            store.add_version(session, mine, spec("taken"), "kim", deploy=True)
        assert store.find(session, "taken").version == 1


CHANGES: dict[str, Callable[[Session, Pipeline], Any]] = {
    "add": lambda session, row: store.add_version(session, row, spec(row.name, title="late"), "lee", deploy=True),
    "deploy": lambda session, row: store.deploy(session, row, 1),
    "pause": lambda session, row: store.set_active(session, row, False),
    "delete": lambda session, row: store.delete(session, row),
}


def test_whoever_read_too_early_is_told_the_present_revision(database: Database) -> None:
    for name, change in CHANGES.items():
        created(database, name, deploy=False)
        with changing(database) as late:
            row = store.find(late, name)
            with changing(database) as early:
                store.add_version(early, store.find(early, name), spec(name, title="early"), "kim", deploy=False)
            with pytest.raises(ChangedError) as caught:
                change(late, row)
            assert caught.value.revision == 2, name


def test_what_was_deleted_since_it_was_read_is_not_changed(database: Database) -> None:
    for name, change in CHANGES.items():
        created(database, name, deploy=False)
        with changing(database) as late:
            row = store.find(late, name)
            with changing(database) as early:
                store.delete(early, store.find(early, name))
            with pytest.raises(UnknownPipelineError, match="deleted"):
                change(late, row)


def test_the_same_spec_makes_no_version_and_another_one_does(database: Database) -> None:
    made = created(database, deploy=False)
    with changing(database) as session:
        row = store.find(session, "made")
        assert store.add_version(session, row, spec(), "lee", deploy=False).revision == 1
        assert store.add_version(session, row, spec(), "lee", deploy=True).deployed_version == 1
        assert (row.version, row.revision) == (1, 2)
        store.add_version(session, row, spec(title="new"), "lee", deploy=False)
        assert (row.version, row.deployed_version, row.revision) == (2, 1, 3)
        newest, oldest = store.versions(session, made.id)
        assert (newest.created_by, oldest.created_by) == ("lee", "kim")


def test_any_version_is_deployed_again_but_one_of_another_name(database: Database) -> None:
    created(database)
    with changing(database) as session:
        row = store.find(session, "made")
        store.add_version(session, row, spec(title="second"), "kim", deploy=True)
        store.deploy(session, row, 1)
        assert (row.version, row.deployed_version) == (2, 1)
        store.deploy(session, row)
        assert row.deployed_version == 2
        with pytest.raises(UnknownPipelineError, match="no version 3"):
            store.deploy(session, row, 3)
        with pytest.raises(ConflictError, match="renamed by deploying"):
            store.add_version(session, row, spec("other"), "kim", deploy=False)
        store.add_version(session, row, spec("other"), "kim", deploy=True)
        with pytest.raises(ConflictError, match="'made'"):
            store.deploy(session, row, 1)
        assert store.deployed(session) == [store.Deployed(row.id, "other", 3, True)]


def test_a_pause_outlives_a_new_version_that_says_nothing_of_it(database: Database) -> None:
    created(database)
    with changing(database) as session:
        row = store.find(session, "made")
        store.set_active(session, row, False)
        assert not store.add_version(session, row, spec(title="new"), "kim", deploy=True).active
        store.set_active(session, row, True)
        assert not store.add_version(session, row, spec(active=False), "kim", deploy=True).active
        assert store.add_version(session, row, spec(active=True), "kim", deploy=True).active
