"""Which days a map shows, how stored verdicts become what the API answers, and what is said about the future."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from mlops_assets.api.drift.outlook import upcoming
from mlops_assets.api.drift.views import Span, column_views, day_view, glance_of, no_report, span, verdict_view
from mlops_assets.drift.facts import Status, Verdict
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.retraining import Seen
from mlops_assets.drift.store import Judged, Stored
from mlops_assets.rollout.state import State
from tests.made_verdicts import LAST, category, number, verdict

POLICY = DriftPolicy()
SERVING = State("house_prices", seq=3, production=2)
OLDEST, NEWEST = date(2026, 1, 1), date(2026, 3, 30)


def stored(one: Verdict, report: str | None = "/storage/r.html", run: str | None = "run-1") -> Stored:
    return Stored(one, 3, Status.OK, report, run, datetime(2026, 3, 31, 1, 30, tzinfo=UTC))


def days(*statuses: str, strength: float = 1.2, release: int = 2) -> list[Judged]:
    """Judged days, newest first."""
    return [
        Judged(
            LAST - timedelta(n), release, Status(status), strength if status == "drifted" else 0.0,
            ("size",) if status == "drifted" else (),
        )
        for n, status in enumerate(statuses)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "yesterday", "expected"),
    [
        # The newest days, with another page before them.
        ((30, None), NEWEST, Span(date(2026, 3, 1), NEWEST, date(2026, 2, 28), None)),
        # Days after the newest verdict are shown, so that it is seen that none came; but not for ever.
        ((30, None), NEWEST + timedelta(2), Span(date(2026, 3, 3), date(2026, 4, 1), date(2026, 3, 2), None)),
        ((30, None), date(2026, 9, 1), Span(date(2026, 3, 8), date(2026, 4, 6), date(2026, 3, 7), None)),
        # A clock that is behind hides no verdict.
        ((30, None), date(2026, 1, 5), Span(date(2026, 3, 1), NEWEST, date(2026, 2, 28), None)),
        ((5, date(2026, 2, 9)), NEWEST, Span(date(2026, 2, 5), date(2026, 2, 9), date(2026, 2, 4), date(2026, 2, 14))),
        ((10, date(2026, 3, 25)), NEWEST, Span(date(2026, 3, 16), date(2026, 3, 25), date(2026, 3, 15), NEWEST)),
        # Nothing lies before the oldest and after the newest, whatever is asked for.
        ((180, None), NEWEST, Span(OLDEST, NEWEST, None, None)),
        ((30, date.min), NEWEST, Span(OLDEST, OLDEST, None, date(2026, 1, 31))),
        ((30, date.max), NEWEST, Span(date(2026, 3, 1), NEWEST, date(2026, 2, 28), None)),
    ],
)  # fmt: skip
def test_the_days_that_a_map_shows(asked: tuple[int, date | None], yesterday: date, expected: Span) -> None:
    assert span(*asked, OLDEST, NEWEST, yesterday) == expected


def test_paging_back_and_forth_misses_no_day() -> None:
    seen: list[date] = []
    until: date | None = None
    for _ in range(20):
        found = span(30, until, OLDEST, NEWEST, NEWEST)
        seen += [found.first + timedelta(n) for n in range((found.last - found.first).days + 1)]
        until = found.earlier
        if until is None:
            break
    assert sorted(seen) == [OLDEST + timedelta(n) for n in range((NEWEST - OLDEST).days + 1)]


def test_columns_keep_the_newest_days_order_and_predictions_come_last() -> None:
    size, place = number("size", 10, 5), category("place", effect=0.3)
    answer = number("estimate", 70, 9, role="prediction")
    wrong = number("error", 0.1, 0.1, role="error")
    gone = number("gone", 1, 1)
    found = column_views(
        [
            stored(verdict(LAST - timedelta(2), gone, size)),
            stored(verdict(LAST - timedelta(1), status=Status.INSUFFICIENT)),
            stored(verdict(LAST, wrong, place, answer, size)),
        ]
    )
    assert [column.name for column in found] == ["place", "size", "gone", "estimate", "error"]
    assert [[cell.day for cell in column.cells] for column in found[:3]] == [
        [LAST], [LAST - timedelta(2), LAST], [LAST - timedelta(2)],
    ]  # fmt: skip
    cell = found[0].cells[0]
    assert (cell.status, cell.strength, cell.effect, cell.p_value) == ("drifted", 3.0, 0.3, 1e-20)
    assert cell.said == "Devanahalli rose from 10% to 40% of the rows"
    assert (found[0].distance, found[0].limit) == ("total_variation", 0.1)


def test_a_day_at_a_glance() -> None:
    found = day_view(glance_of(stored(verdict(LAST, number("size", 1, 1, effect=0.2)), report=None)))
    assert (found.day, found.status, found.strength, found.drifted) == (LAST, "drifted", 2.0, ["size"])
    assert (found.release, found.rows, found.has_report) == (2, 900, False)


def test_a_whole_day_links_to_its_report_and_run() -> None:
    one = verdict(LAST, number("size", 1, 1))
    found = verdict_view(stored(one), "House prices", POLICY, "http://dagster")
    assert (found.report, found.report_note) == ("drift/house_prices/2026-03-30/report", "")
    assert found.run_url == "http://dagster/runs/run-1"
    assert (found.candidate_release, found.candidate_status, found.verdict) == (3, "ok", one)
    bare = verdict_view(stored(one, None, None), "House prices", POLICY, "http://dagster")
    assert (bare.report, bare.run_url) == (None, None)
    assert "the reports of the newest 30 days are kept" in bare.report_note


def test_a_day_with_nothing_to_compare_never_had_a_report() -> None:
    assert "nothing to compare" in no_report(stored(verdict(LAST, rows=0), None), POLICY)


def told(state: State, judged: list[Judged], training: Seen | None = None, policy: DriftPolicy = POLICY) -> str:
    return " ".join(upcoming(state, judged, policy, training))


def test_before_there_is_anything_to_compare() -> None:
    assert "Nothing is served yet" in told(State("x"), [])
    assert "first full UTC day" in told(SERVING, [])


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        (("ok", "ok", "ok"), "2 more drifted days block promotions (2 of 3 count)"),
        (("drifted", "ok", "ok"), "1 more drifted day blocks promotions"),
        (("ok", "drifted", "ok"), "1 more drifted day blocks promotions"),
        (("ok", "ok", "drifted"), "2 more drifted days block promotions"),
    ],
)
def test_it_says_how_far_a_block_is(statuses: tuple[str, ...], words: str) -> None:
    found = told(SERVING, days(*statuses))
    assert words in found
    assert "one column at 2 times its limit does so at once" in found


def test_days_of_another_release_do_not_count() -> None:
    assert "2 more drifted days" in told(SERVING, days("drifted", "ok", "ok", release=1))


@pytest.mark.parametrize(
    ("statuses", "strength", "words"),
    [
        (("drifted", "drifted", "drifted"), 1.2, "2 more days without drift lift it"),
        (("ok", "drifted", "drifted"), 1.2, "1 more day without drift lifts it"),
        (("drifted",), 2.5, "1 more day without drift lifts it"),
        (("ok", "ok", "drifted"), 1.2, "the block is lifted within a minute"),
    ],
)
def test_it_says_how_a_block_ends(statuses: tuple[str, ...], strength: float, words: str) -> None:
    blocked = State("house_prices", seq=4, production=2, drift_block="size drifted")
    found = told(blocked, days(*statuses, strength=strength))
    assert found.startswith("Promotions are blocked: size drifted.")
    assert words in found


def test_a_block_that_the_ledger_does_not_know_yet_is_told() -> None:
    assert "blocked within a minute: size drifted on 2 of the last 3" in told(SERVING, days("drifted", "drifted", "ok"))


def test_training_says_what_its_rule_says() -> None:
    waits = Seen(None, None, "waiting 3.0 h of the 72 h cooldown")
    assert "No training by itself now: waiting 3.0 h of the 72 h cooldown." in told(SERVING, days("ok"), waits)
    assert "Training starts by itself: labels came." in told(SERVING, days("ok"), Seen("key", None, "labels came"))
