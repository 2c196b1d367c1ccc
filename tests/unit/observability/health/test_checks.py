"""The asset checks: every issue has one, it fails with the issue, and what wasn't looked at doesn't pass."""

from __future__ import annotations

from collections import Counter

import pytest

from mlops_assets.observability.health.checks import CHECKS, Check, outcome
from mlops_assets.observability.health.facts import Disk, Facts
from mlops_assets.observability.health.issues import IssueName
from mlops_assets.observability.health.judge import judge
from mlops_assets.observability.health.shown import machinery_table
from tests.unit.observability.health.healthy import AT, POLICY, platform, report, runs


def test_every_issue_belongs_to_exactly_one_check() -> None:
    named = Counter(name for check in CHECKS for name in check.issues)
    assert set(named) == set(IssueName) - {IssueName.FACTS_MISSING}
    assert set(named.values()) == {1}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_passes_on_a_platform_that_is_well_and_shows_value_and_limit(check: Check) -> None:
    found = outcome(check, report(), POLICY)
    assert found.passed
    assert {"value", "limit"} <= found.figures.keys()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_of_what_could_not_be_looked_at_does_not_pass(check: Check) -> None:
    blind = judge(Facts(at=AT, missing={"prediction log": "PermissionError"}), POLICY)
    found = outcome(check, blind, POLICY)
    assert (found.passed, found.said) == (False, "it couldn't be looked at")


def test_a_check_tells_its_own_issue_and_no_other() -> None:
    degraded = report(runs=runs(0, 12), disk=Disk(free=10, size=1000))
    failed = {check.name: outcome(check, degraded, POLICY) for check in CHECKS}
    assert [name for name, found in failed.items() if not found.passed] == ["failure_rate", "failures", "disk"]
    assert failed["disk"].severity == "critical"
    assert "99.0% full" in failed["disk"].said


def test_the_table_of_the_machinery_has_a_line_for_each_part() -> None:
    lines = machinery_table(platform()).splitlines()
    parts = [line.split("|")[1].strip() for line in lines[2:]]
    assert {"daemon scheduler", "queue", "disk", "database", "clock", "prediction log"} <= set(parts)
