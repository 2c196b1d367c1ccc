"""Who hears of health when: once when issues appear or get worse, once when all are gone, never for the same again."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mlops_assets.notifications.from_health import Finding, OpenIssue, compare, notice
from mlops_assets.notifications.links import Links
from mlops_assets.notifications.notice import Kind, Notice, Severity
from tests.unit.observability.health.healthy import AT

LINKS = Links("https://mlops.example", "https://dagster.example")
WELL_REPORTS = 2


def finding(name: str = "daemon_silent", severity: str = "critical", subject: str = "") -> Finding:
    return Finding(name, Severity(severity), subject, f"{name} was seen", "the cause", "mlops logs daemon")


def told(*reports: list[Finding]) -> list[str]:
    """The titles that people read of these reports, one an hour; an empty text for a report that tells nothing."""
    return [found.title if found else "" for found in notices(*reports)]


def notices(*reports: list[Finding]) -> list[Notice | None]:
    found, open_ones = [], tuple[OpenIssue, ...]()
    for number, findings in enumerate(reports, 1):
        at = AT + timedelta(hours=number)
        # What is open goes through the database as JSON between two reports.
        kept = [OpenIssue.from_json(one.to_json()) for one in open_ones]
        change = compare(kept, findings, WELL_REPORTS, at)
        open_ones = change.open
        found.append(notice(change, findings, number, at, LINKS))
    return found


DAEMON, DISK = finding(), finding("disk_full", "warning")
DEGRADED, WELL = "[platform] degraded: daemon_silent", "[platform] healthy again"


def test_a_healthy_platform_tells_nothing() -> None:
    assert told([], [], []) == ["", "", ""]


def test_the_same_issue_for_a_day_is_told_once() -> None:
    assert told(*[[DAEMON]] * 24) == [DEGRADED, *[""] * 23]


def test_an_issue_that_is_gone_is_told_once() -> None:
    assert told([DAEMON], [DAEMON], [], [], [], []) == [DEGRADED, "", "", WELL, "", ""]


def test_an_issue_that_comes_and_goes_is_told_once_until_it_stays_away() -> None:
    assert told(*[[DAEMON], []] * 6, [], []) == [DEGRADED, *[""] * 11, WELL, ""]


def test_a_new_issue_is_told_beside_one_that_is_known() -> None:
    assert told([DAEMON], [DAEMON, DISK], [DISK], [DISK], [], []) == [
        *(DEGRADED, "[platform] degraded: disk_full", "", ""),
        *("", WELL),
    ]
    second = notices([DAEMON], [DAEMON, DISK])[1]
    assert second is not None
    assert "Known before: daemon_silent" in second.body


def test_an_issue_that_gets_worse_is_told_again_and_one_that_gets_milder_is_not() -> None:
    worse = finding("disk_full", "critical")
    assert told([DISK], [worse], [DISK], [worse]) == [
        *("[platform] degraded: disk_full", "[platform] degraded: disk_full"),
        *("", ""),
    ]


def test_issues_of_different_subjects_are_different_issues() -> None:
    one, other = finding("stage_fails_often", "warning", "a/b"), finding("stage_fails_often", "warning", "a/c")
    assert told([one], [other]) == [
        "[platform] degraded: stage_fails_often (a/b)",
        "[platform] degraded: stage_fails_often (a/c)",
    ]


def test_an_issue_that_comes_back_after_all_was_well_is_told_again() -> None:
    assert told([DAEMON], [], [], [DAEMON]) == [DEGRADED, "", WELL, DEGRADED]


def test_two_hundred_issues_are_one_notice() -> None:
    flood = [finding("stage_fails_often", "warning", f"p/{number}") for number in range(200)]
    (found,) = notices([*flood, DAEMON])
    assert found is not None
    assert found.title == "[platform] degraded: daemon_silent and 200 more"
    assert found.severity is Severity.CRITICAL
    assert "193 more new issues" in found.body


def test_a_notice_says_what_was_seen_why_and_what_to_do_and_leads_to_the_page() -> None:
    (found,) = notices([DAEMON])
    assert found is not None
    assert found.body == "critical: daemon_silent was seen.\nLikely: the cause.\nDo: mlops logs daemon"
    assert (found.kind, found.link) == (Kind.HEALTH, "https://mlops.example/health")


def test_each_notice_is_told_and_not_counted_as_a_repeat_of_another() -> None:
    found = [one for one in notices([DAEMON], [], [], [DAEMON], [], []) if one is not None]
    assert len({one.group for one in found}) == len({one.key for one in found}) == 4


def test_all_is_well_names_since_when_it_was_not() -> None:
    found = notices([DAEMON], [DAEMON], [], [])[-1]
    assert found is not None
    assert found.severity is Severity.INFO
    assert "2026-03-02 15:50 UTC" in found.body


@pytest.mark.parametrize("well_reports", [1, 3])
def test_how_many_reports_it_takes_is_the_policys(well_reports: int) -> None:
    known = (OpenIssue("disk_full", "", Severity.WARNING, AT),)
    ended: list[datetime | None] = []
    for number in range(1, well_reports + 1):
        change = compare(known, [], well_reports, AT + timedelta(hours=number))
        known, ended = change.open, [*ended, change.ended]
    assert ended == [*[None] * (well_reports - 1), AT]
