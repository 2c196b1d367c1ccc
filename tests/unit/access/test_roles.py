"""What each role may do, and how often a caller may ask."""

from __future__ import annotations

import pytest

from mlops_assets.access.rate_limit import RateLimit
from mlops_assets.access.roles import Role
from mlops_assets.access.tokens import parse


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_role_may_do_what_those_before_it_may() -> None:
    may = {(role, needed) for role in Role for needed in Role if role.allows(needed)}
    assert may == {
        (Role.VIEWER, Role.VIEWER),
        (Role.EDITOR, Role.VIEWER),
        (Role.EDITOR, Role.EDITOR),
        (Role.OPERATOR, Role.VIEWER),
        (Role.OPERATOR, Role.EDITOR),
        (Role.OPERATOR, Role.OPERATOR),
    }


def test_a_burst_passes_and_then_as_many_as_the_rate_says() -> None:
    clock = Clock()
    limit = RateLimit(per_second=10, burst=5, clock=clock)
    assert [limit.wait_seconds("a") for _ in range(5)] == [0] * 5
    assert limit.wait_seconds("a") == pytest.approx(0.1)
    clock.now += 0.1
    assert limit.wait_seconds("a") == 0
    assert limit.wait_seconds("a") == pytest.approx(0.1)


def test_who_asks_in_vain_does_not_wait_longer() -> None:
    clock = Clock()
    limit = RateLimit(per_second=2, burst=1, clock=clock)
    limit.wait_seconds("a")
    waits = [limit.wait_seconds("a") for _ in range(50)]
    assert waits == [pytest.approx(0.5)] * 50
    clock.now += 0.5
    assert limit.wait_seconds("a") == 0


def test_one_caller_does_not_slow_another_and_a_pause_refills_no_more_than_a_burst() -> None:
    clock = Clock()
    limit = RateLimit(per_second=1, burst=3, clock=clock)
    while limit.wait_seconds("a") == 0:
        pass
    assert limit.wait_seconds("b") == 0
    clock.now += 3600
    passed = 0
    while limit.wait_seconds("a") == 0:
        passed += 1
    assert passed == 3


def test_over_time_no_more_passes_than_burst_and_rate_allow() -> None:
    clock = Clock()
    limit = RateLimit(per_second=7, burst=4, clock=clock)
    passed = 0
    for _ in range(1000):
        passed += limit.wait_seconds("a") == 0
        clock.now += 0.01
    assert 4 + 7 * 10 - 1 <= passed <= 4 + 7 * 10


@pytest.mark.parametrize(
    "given",
    [
        "",
        "mlops",
        "mlops_0123456789abcdef_",
        "mlops_0123456789abcdef_" + "x" * 42,
        "mlops_0123456789abcdef_" + "x" * 44,
        "mlops_0123456789ABCDEF_" + "x" * 43,
        "mlops_0123456789abcde_" + "x" * 43,
        "mlops_0123456789abcdef_" + "x" * 42 + "é",
        "mlops_0123456789abcdef_" + "x" * 43 + "\n",
        "other_0123456789abcdef_" + "x" * 43,
    ],
)
def test_what_is_no_issued_token_is_never_looked_up(given: str) -> None:
    assert parse(given) is None


def test_a_secret_may_hold_the_separator() -> None:
    secret = "_" * 20 + "-" * 23
    assert parse(f"mlops_0123456789abcdef_{secret}") == ("0123456789abcdef", secret)
