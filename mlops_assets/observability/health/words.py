"""What the rules of health share: an issue in a person's order, durations in words, how a program is. Pure.

Add here what rules in two files need. Keep out the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mlops_assets.notifications.notice import Severity
from mlops_assets.observability.health.facts import Facts, Program
from mlops_assets.observability.health.issues import Issue, IssueName
from mlops_assets.observability.health.policy import HealthPolicy

RUNNING = "RUNNING"
MOST_NAMED = 5

Grave = Literal[Severity.WARNING, Severity.CRITICAL]


def issue(name: IssueName, severity: Grave, subject: str, message: str, cause: str, action: str) -> Issue:
    """An issue, its parts in the order in which a person reads them."""
    return Issue(name=name, severity=severity, subject=subject, message=message, cause=cause, action=action)


def span(seconds: float) -> str:
    """A duration as a person says it: `40 s`, `12 min`, `3.5 h`, `4 d`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def named(names: Sequence[str]) -> str:
    """At most five of the names, and how many more there are."""
    left = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {left} more" if left > 0 else "")


def program_of(facts: Facts, name: str) -> Program | None:
    """The program of this name; None if its manager doesn't know it or couldn't be asked."""
    return next((program for program in facts.platform.programs or () if program.name == name), None)


def starting(program: Program | None, policy: HealthPolicy) -> bool:
    """Whether the program was started so lately that nothing is to be expected of it yet."""
    return program is not None and program.state in (RUNNING, "STARTING") and program.seconds < policy.start_seconds
