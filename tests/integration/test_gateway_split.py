"""Who is on the candidate: the share, its change, another rollout; and that changing routes loses no request."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import sqrt

import pytest

from tests.integration.gateway_rig import (
    CANDIDATE,
    CARS,
    HOUSES,
    PREDICT,
    PRODUCTION,
    Rig,
    comparing,
    users,
)

USERS = 10_000
# Five standard deviations: a fair split is outside once in some two million tries.
DEVIATIONS = 5.0


def on_candidate(rig: Rig, who: list[str], path: str = PREDICT) -> set[str]:
    """The users whom the candidate serves; every request must have been answered."""
    served = rig.served(who, path)
    assert {status for status, _ in served.values()} == {200}
    return {user for user, (_, service) in served.items() if service == CANDIDATE}


def fair(found: int, tried: int, share: float) -> bool:
    return abs(found - tried * share) <= DEVIATIONS * sqrt(tried * share * (1 - share))


def test_numbered_users_are_split_by_the_share_and_anew_in_the_next_rollout(rig: Rig) -> None:
    who = users(USERS)
    rig.set(comparing(0.2, rollout=3))
    third = on_candidate(rig, who)
    rig.set(comparing(0.2, rollout=4))
    fourth = on_candidate(rig, who)
    assert fair(len(third), USERS, 0.2)
    assert fair(len(fourth), USERS, 0.2)
    # Whoever was on one candidate is on the next with the same chance as everybody.
    assert fair(len(third & fourth), len(third), 0.2)
    # Nor do neighbours go together: of each pair of consecutive numbers, both are on it by chance only.
    pairs = sum(f"user-{n}" in third and f"user-{n + 1}" in third for n in range(1, USERS, 2))
    assert fair(pairs, USERS // 2, 0.04)


def test_products_are_split_independently(rig: Rig) -> None:
    who = users(2000)
    rig.set(comparing(0.5), comparing(0.5, product=CARS))
    houses, cars = on_candidate(rig, who), on_candidate(rig, who, "/api/car")
    assert fair(len(houses & cars), len(who), 0.25)


def test_users_stay_where_they_are_and_a_share_moves_them_one_way_only(rig: Rig) -> None:
    who = users(1500)
    found = []
    for share in (0.05, 0.05, 0.2, 0.5, 0.99, 0.5, 0.1):
        rig.set(comparing(share))
        found.append(on_candidate(rig, who))
    first, same, *_ = found
    assert first == same
    rising, falling = found[:5], found[4:]
    assert all(before <= after for before, after in pairwise(rising))
    assert all(before >= after for before, after in pairwise(falling))
    assert found[3] == found[5]
    assert fair(len(found[3]), len(who), 0.5)


def test_all_paths_of_a_user_come_from_one_service(rig: Rig) -> None:
    rig.set(comparing(0.5))
    who = users(200)
    prediction = on_candidate(rig, who)
    for path in ("/", "/api/feedback", "/api/get_location_names", f"/{HOUSES}{PREDICT}", f"/{HOUSES}/docs"):
        assert on_candidate(rig, who, path) == prediction


def test_odd_users_are_split_too(rig: Rig) -> None:
    rig.set(comparing(0.5))
    names = [f"{n}\xe9\xff" for n in range(300)]
    found = rig.served(names)
    assert fair(sum(service == CANDIDATE for _, service in found.values()), len(names), 0.5)
    rig.set(comparing(0.5, rollout=9))
    assert rig.served(names) != found


@pytest.mark.parametrize("share", [0.00001, 0.99999])
def test_a_tiny_share_leaves_neither_side_without_users(rig: Rig, share: float) -> None:
    rig.set(comparing(share))
    assert rig.ask().status_code == 200


def test_a_new_route_file_is_in_force_at_once(rig: Rig) -> None:
    taken = []
    for n in range(20):
        version = rig.write(comparing(0.1 + n / 100))
        began = time.perf_counter()
        while rig.version() != version and time.perf_counter() - began < 5:
            pass
        taken.append((time.perf_counter() - began) * 1000)
    print(f"new routes in force after {sorted(taken)[10]:.1f} ms (median), {max(taken):.1f} ms (longest)")
    assert rig.version() == version


def test_a_broken_route_file_leaves_the_last_good_one_in_force(rig: Rig) -> None:
    rig.set(comparing(0.5))
    before = on_candidate(rig, users(100))
    version = rig.version()
    fresh = rig.folder / "broken"
    fresh.write_text('{"resources": [{"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"')
    fresh.rename(rig.folder / "routes.json")
    rejected = [rig.ask(user=user).headers["x-served-by"] == CANDIDATE for user in users(100)]
    assert sum(rejected) == len(before)
    assert rig.version() == version


def test_no_request_fails_while_the_weights_change(rig: Rig) -> None:
    changes = 200
    stop = False
    answered: Counter[tuple[int, str]] = Counter()

    def count(part: int) -> Counter[tuple[int, str]]:
        mine: Counter[tuple[int, str]] = Counter()
        while not stop:
            mine += Counter(answer for _, answer in rig.part([f"user-{part}-{n}" for n in range(50)], PREDICT))
        return mine

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(count, part) for part in range(4)]
        updates = rig.statistic("http.gateway.rds.gateway.update_success")
        for n in range(changes):
            rig.set(comparing(0.1 + 0.8 * (n % 20) / 20, step=n))
        stop = True
        for done in loads:
            answered += done.result()
    assert rig.statistic("http.gateway.rds.gateway.update_success") - updates >= changes
    assert {status for status, _ in answered} == {200}
    assert {service for _, service in answered} == {PRODUCTION, CANDIDATE}
    assert answered.total() > changes
    print(f"{answered.total()} requests answered during {changes} changes")
