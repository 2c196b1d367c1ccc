"""Kept verdicts on a real PostgreSQL: what is saved comes back, re-runs replace, old reports go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import inspect

from mlops_assets.drift import store
from mlops_assets.drift.facts import Status, Verdict
from mlops_assets.storage.database import SCHEMA, Database
from tests.integration.drifted_days import judge_day, verdict
from tests.integration.test_migrations import downgrade

PRODUCT = "house_prices"
DAY = date(2026, 3, 10)


def before(count: int) -> date:
    return DAY - timedelta(days=count)


def test_a_verdict_comes_back_as_it_was(database: Database) -> None:
    assert store.one(database, PRODUCT, DAY) is None
    given = verdict(DAY, columns=("size", "town"))
    beside = verdict(DAY, Status.OK, release=2)
    store.save(database, given, candidate=beside, report_uri="folder/report.html", run_id="run-1")
    kept = store.one(database, PRODUCT, DAY)
    assert kept is not None
    # PostgreSQL's text has no NUL.
    assert kept.verdict == _without_nul(given)
    assert kept.verdict.drifted == ("size", "town")
    assert (kept.candidate_release, kept.candidate_status) == (2, Status.OK)
    assert (kept.report_uri, kept.run_id) == ("folder/report.html", "run-1")
    (light,) = store.judged(database, PRODUCT, 5)
    assert (light.day, light.release, light.status, light.strength) == (DAY, 1, Status.DRIFTED, given.strength)
    assert (light.drifted, light.candidate_release, light.candidate_status) == (("size", "town"), 2, Status.OK)


def _without_nul(given: Verdict) -> Verdict:
    def plain(summary: object) -> object:
        return replace(summary, top={"Überall\ufffd": 0.25})  # type: ignore[type-var]

    columns = [replace(c, reference=plain(c.reference), current=plain(c.current)) for c in given.columns]
    return replace(given, columns=tuple(columns))


def test_a_day_that_is_judged_again_replaces_everything(database: Database) -> None:
    store.save(database, verdict(DAY), candidate=verdict(DAY, release=2), report_uri="a", run_id="one")
    first = store.one(database, PRODUCT, DAY)
    store.save(database, verdict(DAY, Status.OK, release=3))
    again = store.one(database, PRODUCT, DAY)
    assert first is not None
    assert again is not None
    assert (again.verdict.status, again.verdict.release, again.verdict.drifted) == (Status.OK, 3, ())
    assert (again.candidate_release, again.candidate_status, again.report_uri, again.run_id) == (None,) * 4
    assert again.computed_at > first.computed_at
    assert len(store.days(database, PRODUCT, before(99), DAY)) == 1


def test_days_come_in_order_whatever_order_they_were_judged_in(database: Database) -> None:
    for count in (2, 0, 5, 1):
        judge_day(database, before(count))
    judge_day(database, DAY, product="loans")
    assert [k.verdict.day for k in store.days(database, PRODUCT, before(2), DAY)] == [before(2), before(1), DAY]
    assert [k.verdict.day for k in store.days(database, PRODUCT, before(9), before(3))] == [before(5)]


def test_only_days_that_say_something_are_judged_days(database: Database) -> None:
    statuses = [Status.OK, Status.INSUFFICIENT, Status.DRIFTED, Status.NO_REFERENCE, Status.OK]
    for count, status in enumerate(statuses):
        judge_day(database, before(count), status)
    assert [j.day for j in store.judged(database, PRODUCT, 2)] == [DAY, before(2)]
    assert [j.status for j in store.judged(database, PRODUCT, 9)] == [Status.OK, Status.DRIFTED, Status.OK]


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_refused_with_its_place(database: Database, figure: float) -> None:
    given = verdict(DAY)
    wrong = replace(given, columns=(replace(given.columns[0], effect=figure),))
    with pytest.raises(ValueError, match=r"house_prices 2026-03-10, columns, 0, effect"):
        store.save(database, wrong)
    assert store.one(database, PRODUCT, DAY) is None


def test_a_candidates_verdict_on_another_day_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="candidate: its verdict is of house_prices 2026-03-09"):
        store.save(database, verdict(DAY), candidate=verdict(before(1)))


def test_eight_runs_of_a_day_at_once_leave_one_row(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: judge_day(database, DAY, release=n), range(1, 9)))
    assert len(store.days(database, PRODUCT, DAY, DAY)) == 1


def with_reports(database: Database, *counts: int) -> None:
    for count in counts:
        store.save(database, verdict(before(count)), report_uri=f"report of {before(count)}")


def reports(database: Database) -> list[date]:
    return [k.verdict.day for k in store.days(database, PRODUCT, before(99), DAY) if k.report_uri]


def test_reports_beyond_the_newest_go_and_their_figures_stay(database: Database) -> None:
    with_reports(database, 0, 1, 2, 3)
    judge_day(database, before(5))
    assert list(store.forget_reports(database, PRODUCT, 2)) == [before(3), before(2)]
    assert reports(database) == [before(1), DAY]
    assert len(store.days(database, PRODUCT, before(99), DAY)) == 5
    assert list(store.forget_reports(database, PRODUCT, 2)) == []
    with_reports(database, 30)
    assert list(store.forget_reports(database, PRODUCT, 2)) == [before(30)], "a backfilled old day"


def test_a_removal_that_was_killed_is_asked_for_again(database: Database) -> None:
    with_reports(database, 0, 1, 2, 3)
    for day in store.forget_reports(database, PRODUCT, 1):
        if day == before(2):
            break
    assert reports(database) == [before(2), before(1), DAY], "what may not be removed yet is still known"
    assert list(store.forget_reports(database, PRODUCT, 1)) == [before(2), before(1)]


def test_the_migration_can_be_taken_back_and_made_again(database: Database) -> None:
    def tables() -> set[str]:
        return set(inspect(database.engine).get_table_names(schema=SCHEMA))

    mine = {"drift_verdict", "labelled_source"}
    assert mine <= tables()
    downgrade(database, "0003")
    assert not mine & tables()
    assert "prediction" in tables()
    database.migrate()
    assert mine <= tables()
    judge_day(database, DAY)
