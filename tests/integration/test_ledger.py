"""The release ledger on a real PostgreSQL: numbers, roles, labels, races, and that nothing is ever rewritten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mlops_assets.rollout.facts import Decision, Evidence
from mlops_assets.rollout.ledger import Conflict, Event, Ledger, LedgerError
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.policy import RolloutPolicy
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
        {"previous": first, "withdrawn": None},
    )


def test_labels_count_up_and_a_returning_release_keeps_its_own(ledger: Ledger) -> None:
    first, second, third = released(ledger, "a"), released(ledger, "b"), 3
    ledger.promote(PRODUCT, "kim", "b is better")
    assert released(ledger, "c") == third
    ledger.promote(PRODUCT, "kim", "back", version=first)
    ledger.promote(PRODUCT, "kim", "c after all", version=third)
    assert ledger.labels(PRODUCT) == {first: ["BO1"], second: ["CO1", "BO2"], third: ["CO2", "BO3"]}


def test_promoting_another_release_withdraws_the_candidate_that_was_compared_with_the_old_one(ledger: Ledger) -> None:
    first, second = released(ledger, "a"), released(ledger, "b")
    ledger.promote(PRODUCT, "kim", "up")
    third = released(ledger, "c")
    after = ledger.promote(PRODUCT, "kim", "back", version=first)
    assert (after.production, after.candidate, after.previous) == (first, None, second)
    assert ledger.history(PRODUCT)[0].details["withdrawn"] == third


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

    from mlops_assets.storage import access_tables, pipeline_tables  # noqa: F401 (add their tables to the models)
    from mlops_assets.storage.database import SCHEMA, Base

    # The prediction log's tables have no models: they are partitioned, and written without SQLAlchemy.
    modelled = {table.name for table in Base.metadata.tables.values()}

    def ours(name: str | None, kind: str, _: object) -> bool:
        return name == SCHEMA if kind == "schema" else kind != "table" or name in modelled

    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_schemas": True, "include_name": ours, "version_table_schema": SCHEMA,
                              "version_table": "migration"},
        )  # fmt: skip
        assert compare_metadata(context, Base.metadata) == []


def test_a_rollout_from_its_first_users_to_a_settled_promotion(ledger: Ledger) -> None:
    first, second = released(ledger, "a"), released(ledger, "b")
    waiting = ledger.state(PRODUCT)
    assert (waiting.phase, waiting.rollout, waiting.candidate_share) == (Phase.SHADOW, 1, 0.0)
    begun = ledger.begin(PRODUCT, (0.05, 0.5), actor="platform", reason="loaded")
    assert (begun.phase, begun.candidate_share, begun.step) == (Phase.RAMP, 0.05, 0)
    policy = RolloutPolicy(steps=(0.05, 0.5))
    evidence = Evidence(hours=30, step_hours=30, watermark=7)
    advanced = ledger.look(
        PRODUCT, Decision("advance", ("no harm",)), evidence, policy, actor="platform", expected_seq=begun.seq
    )
    assert (advanced.phase, advanced.candidate_share, advanced.step) == (Phase.HOLD, 0.5, 1)
    assert advanced.started_at == begun.started_at
    promoted = ledger.look(
        PRODUCT, Decision("promote", ("better",)), evidence, policy, actor="platform", expected_seq=advanced.seq
    )
    assert (promoted.phase, promoted.production, promoted.previous) == (Phase.PROMOTING, second, first)
    assert ledger.watch(PRODUCT, actor="platform", reason="serves").phase is Phase.WATCH
    assert ledger.settle(PRODUCT, actor="platform", reason="a day").phase is Phase.DONE
    looks = ledger.looks(PRODUCT, 1)
    assert [entry.event for entry in looks] == [Event.ADVANCED, Event.PROMOTED]
    assert Evidence.from_json(looks[0].details["evidence"]) == evidence
    assert ledger.state_before(PRODUCT, looks[1].seq) == advanced


def test_the_same_order_twice_counts_once(ledger: Ledger) -> None:
    released(ledger, "a")
    once = ledger.pause(PRODUCT, actor="kim", reason="holiday", key="k1")
    assert ledger.pause(PRODUCT, actor="kim", reason="holiday", key="k1") == once
    assert len(ledger.history(PRODUCT)) == 2
    with pytest.raises(LedgerError, match="paused already"):
        ledger.pause(PRODUCT, actor="kim", reason="holiday")


def test_a_decision_made_from_an_old_state_is_refused(ledger: Ledger) -> None:
    released(ledger, "a")
    released(ledger, "b")
    seen = ledger.state(PRODUCT)
    ledger.begin(PRODUCT, (0.2,), actor="platform", reason="loaded")
    with pytest.raises(Conflict):
        ledger.rollback(PRODUCT, actor="platform", reason="late", expected_seq=seen.seq)
    assert ledger.state(PRODUCT).candidate == 2


def test_rollback_withdraws_the_candidate_then_goes_back_to_the_production_before(ledger: Ledger) -> None:
    first, second = released(ledger, "a"), released(ledger, "b")
    ledger.promote(PRODUCT, "kim", "up")
    third = released(ledger, "c")
    one = ledger.rollback(PRODUCT, actor="kim", reason="bad answers")
    assert (one.production, one.candidate, one.phase) == (second, None, Phase.ROLLED_BACK)
    two = ledger.rollback(PRODUCT, actor="kim", reason="worse than I thought")
    assert (two.production, two.previous) == (first, None)
    assert [e.details["withdrawn"] for e in ledger.history(PRODUCT)[:2]] == [second, third]
    with pytest.raises(LedgerError, match="no earlier production"):
        ledger.rollback(PRODUCT, actor="kim", reason="again")


def test_a_paused_product_keeps_new_candidates_waiting(ledger: Ledger) -> None:
    released(ledger, "a")
    ledger.pause(PRODUCT, actor="kim", reason="audit")
    released(ledger, "b")
    with pytest.raises(LedgerError, match="paused"):
        ledger.begin(PRODUCT, (0.2,), actor="platform", reason="loaded")
    ledger.resume(PRODUCT, actor="kim", reason="audit passed")
    assert ledger.begin(PRODUCT, (0.2,), actor="platform", reason="loaded").comparing


def test_a_share_by_hand_is_a_step_of_its_own_and_refuses_nonsense(ledger: Ledger) -> None:
    released(ledger, "a")
    with pytest.raises(LedgerError, match="no candidate"):
        ledger.share(PRODUCT, 0.3, actor="kim", reason="x")
    released(ledger, "b")
    ledger.begin(PRODUCT, (0.2, 0.5), actor="platform", reason="loaded")
    after = ledger.share(PRODUCT, 0.3, actor="kim", reason="sooner", steps=(0.2, 0.5))
    assert (after.candidate_share, after.step, after.phase) == (0.3, 1, Phase.RAMP)
    for wrong in (0.0, 1.0, 0.3):
        with pytest.raises(LedgerError, match="share"):
            ledger.share(PRODUCT, wrong, actor="kim", reason="x")


def test_an_installation_from_before_rollouts_goes_on(database: Database) -> None:
    """Rows that the first version of the schema wrote are read as waiting candidates."""
    old = Ledger(database)
    with database.session() as session, session.begin():
        session.add(DatasetVersion(product="old", version=1, sha256="2" * 64, rows=1, uri="", source="", sample=True))
    for run in ("a", "b"):
        version = old.reserve("old", run, 1)
        with database.engine.begin() as connection:
            connection.execute(
                text("UPDATE mlops.release SET uri = 'u' WHERE product = 'old' AND version = :v"), {"v": version}
            )
            connection.execute(
                text(
                    "INSERT INTO mlops.ledger (product, seq, event, production, candidate, candidate_share, label,"
                    " actor, reason, details) VALUES ('old', :v, 'candidate', 1, :c, 0, :label, 'x', 'x', '{}')"
                ),
                {"v": version, "c": version if version > 1 else None, "label": f"CO{version - 1}"},
            )
    state = old.state("old")
    assert (state.phase, state.candidate, state.rollout) == (Phase.SHADOW, 2, 1)
    assert old.begin("old", (0.2,), actor="platform", reason="loaded").comparing
