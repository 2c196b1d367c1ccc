"""The release ledger on a real PostgreSQL: numbers, roles, labels, races, and that nothing is ever rewritten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mlops_assets.rollout.ledger import Event, Ledger, LedgerError
from mlops_assets.storage.database import Database, DatasetVersion

PRODUCT = "house_prices"


@pytest.fixture
def ledger(database: Database) -> Ledger:
    with database.session() as session, session.begin():
        session.add(
            DatasetVersion(product=PRODUCT, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
        )
    return Ledger(database)


def released(ledger: Ledger, run: str) -> int:
    """A published release of a run; its number."""
    version = ledger.reserve(PRODUCT, run, dataset_version=1)
    ledger.publish(PRODUCT, version, f"/releases/{version}", {"version": version}, actor="test")
    return version


def test_the_first_release_is_production_and_later_ones_are_candidates(ledger: Ledger) -> None:
    assert ledger.state(PRODUCT).production is None
    first, second, third = (released(ledger, run) for run in ("a", "b", "c"))
    state = ledger.state(PRODUCT)
    assert (first, second, third) == (1, 2, 3)
    assert (state.production, state.candidate) == (first, third)
    newest, before, oldest = ledger.history(PRODUCT)
    assert [newest.event, before.event, oldest.event] == [
        Event.CANDIDATE,
        Event.CANDIDATE,
        Event.FIRST_RELEASE,
    ]
    assert newest.details == {"replaced_candidate": second}


def test_promotion_moves_the_candidate_and_says_who_and_why(ledger: Ledger) -> None:
    first, second = released(ledger, "a"), released(ledger, "b")
    after = ledger.promote(PRODUCT, "kim", "better on the new district")
    assert (after.production, after.candidate) == (second, None)
    entry = ledger.history(PRODUCT)[0]
    assert (entry.actor, entry.reason, entry.details) == (
        "kim",
        "better on the new district",
        {"previous": first},
    )


def test_labels_count_up_and_a_returning_release_keeps_its_own(ledger: Ledger) -> None:
    first, second, third = released(ledger, "a"), released(ledger, "b"), 3
    ledger.promote(PRODUCT, "kim", "b is better")
    assert released(ledger, "c") == third
    ledger.promote(PRODUCT, "kim", "back", version=first)
    ledger.promote(PRODUCT, "kim", "c after all")
    assert ledger.labels(PRODUCT) == {first: ["BO1"], second: ["CO1", "BO2"], third: ["CO2", "BO3"]}


def test_going_back_by_hand_leaves_the_candidate_where_it_is(ledger: Ledger) -> None:
    first, second = released(ledger, "a"), released(ledger, "b")
    ledger.promote(PRODUCT, "kim", "up")
    third = released(ledger, "c")
    after = ledger.promote(PRODUCT, "kim", "back", version=first)
    assert (after.production, after.candidate) == (first, third)
    assert second not in (after.production, after.candidate)


@pytest.mark.parametrize(
    ("version", "reason", "said"),
    [(None, "x", "no candidate"), (1, "x", "already"), (9, "x", "no release 9"), (1, "  ", "reason")],
)
def test_an_impossible_promotion_changes_nothing(ledger: Ledger, version: int | None, reason: str, said: str) -> None:
    released(ledger, "a")
    before = ledger.state(PRODUCT)
    with pytest.raises(LedgerError, match=said):
        ledger.promote(PRODUCT, "kim", reason, version)
    assert ledger.state(PRODUCT) == before


def test_a_reserved_release_that_never_finished_can_not_serve(ledger: Ledger) -> None:
    first = released(ledger, "a")
    lost = ledger.reserve(PRODUCT, "killed", dataset_version=1)
    with pytest.raises(LedgerError, match=f"no release {lost}"):
        ledger.promote(PRODUCT, "kim", "x", version=lost)
    assert ledger.state(PRODUCT).production == first
    assert released(ledger, "b") == lost + 1


def test_a_run_that_asks_again_gets_its_number_and_publishes_once(ledger: Ledger) -> None:
    assert ledger.reserve(PRODUCT, "a", 1) == ledger.reserve(PRODUCT, "a", 1) == 1
    once = ledger.publish(PRODUCT, 1, "/releases/1", {}, "test")
    again = ledger.publish(PRODUCT, 1, "/releases/1", {}, "test")
    assert once == again
    assert len(ledger.history(PRODUCT)) == 1


def test_forty_releases_at_once_get_forty_numbers_and_one_order(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda n: released(ledger, f"run{n}"), range(40)))
    assert sorted(versions) == list(range(1, 41))
    history = ledger.history(PRODUCT)
    assert [e.seq for e in history] == list(range(40, 0, -1))
    assert [e.event for e in history].count(Event.FIRST_RELEASE) == 1
    assert history[0].candidate == ledger.state(PRODUCT).candidate


def test_of_twenty_promotions_at_once_one_wins(ledger: Ledger) -> None:
    released(ledger, "a")
    released(ledger, "b")

    def promote(n: int) -> bool:
        try:
            ledger.promote(PRODUCT, f"actor{n}", "race")
            return True
        except LedgerError:
            return False

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(promote, range(20)))
    assert won.count(True) == 1
    assert ledger.state(PRODUCT).seq == 3


@pytest.mark.parametrize("statement", ["UPDATE mlops.ledger SET reason = 'x'", "DELETE FROM mlops.ledger"])
def test_the_database_itself_refuses_to_rewrite_a_decision(ledger: Ledger, database: Database, statement: str) -> None:
    released(ledger, "a")
    with pytest.raises(DBAPIError, match="append-only"), database.engine.begin() as connection:
        connection.execute(text(statement))
    assert ledger.history(PRODUCT)[0].reason != "x"


def test_two_products_do_not_touch_each_other(ledger: Ledger, database: Database) -> None:
    with database.session() as session, session.begin():
        session.add(DatasetVersion(product="other", version=1, sha256="1" * 64, rows=1, uri="", source="", sample=True))
    released(ledger, "a")
    assert ledger.reserve("other", "a", 1) == 1
    assert ledger.state("other").production is None


def test_the_migration_can_run_twice_at_once(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: database.migrate(), range(4)))
    assert Ledger(database).state(PRODUCT).seq == 0


def test_the_tables_are_what_the_models_say(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from mlops_assets.storage.database import SCHEMA, Base

    def ours(name: str | None, kind: str, _: object) -> bool:
        return kind != "schema" or name == SCHEMA

    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_schemas": True, "include_name": ours, "version_table_schema": SCHEMA,
                              "version_table": "migration"},
        )  # fmt: skip
        assert compare_metadata(context, Base.metadata) == []
