"""Services on several hosts, two addresses of this machine: everybody is spread, and everybody keeps their variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.integration.gateway_rig import (
    CANDIDATE,
    HOUSES,
    PRODUCTION,
    Rig,
    Service,
    comparing,
    make_rig,
    running_gateway,
    users,
)
from tests.integration.upstream import upstream
from tests.servers import wait_until

FIRST, SECOND = "127.0.0.2", "127.0.0.3"
WHO = users(200)


class Hosts:
    """A gateway before two hosts, each with both services."""

    def __init__(self, rig: Rig, processes: dict[tuple[str, str], psutil.Process]) -> None:
        self.rig = rig
        self.processes = processes
        ports = {variant: rig.services[HOUSES, variant].port for variant in (PRODUCTION, CANDIDATE)}
        self.services = {(variant, host): Service(ports[variant], host) for variant, host in processes}

    def served(self) -> dict[str, str]:
        """Which service answered each user; everybody got an answer."""
        answers = self.rig.served(WHO)
        assert {status for status, _ in answers.values()} == {200}
        return {user: service for user, (_, service) in answers.items()}

    def asked(self) -> Counter[tuple[str, str]]:
        """How many predictions each service was asked for since the last time."""
        return Counter({place: service.control(mode="ok")["count"] for place, service in self.services.items()})


@contextmanager
def running_hosts() -> Iterator[Hosts]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="gateway-")))
        rig = make_rig(folder, 1)
        rig.upstreams[:] = [replace(rig.upstreams[0], addresses=(FIRST, SECOND))]
        started = {}
        for (_, variant), service in rig.services.items():
            for host in (FIRST, SECOND):
                started[variant, host] = stack.enter_context(upstream(variant, service.port, folder, host))
        stack.enter_context(running_gateway(rig))
        rig.set(comparing(0.5))
        wait_until(lambda: rig.left_out() == [], 10, lambda: str(rig.left_out()))
        yield Hosts(rig, {place: psutil.Process(found.pid) for place, found in started.items()})


@pytest.fixture(scope="module")
def running() -> Iterator[Hosts]:
    with running_hosts() as found:
        yield found


@pytest.fixture
def hosts(running: Hosts) -> Hosts:
    running.asked()
    wait_until(lambda: running.rig.left_out() == [], 10, lambda: str(running.rig.left_out()))
    return running


def test_every_host_gets_its_part_of_each_variant(hosts: Hosts) -> None:
    hosts.served()
    asked = hosts.asked()
    assert sum(asked.values()) == len(WHO)
    for variant in (PRODUCTION, CANDIDATE):
        first, second = asked[variant, FIRST], asked[variant, SECOND]
        assert min(first, second) > (first + second) / 4, asked


def test_a_host_that_dies_costs_nobody_an_answer_or_their_variant() -> None:
    with running_hosts() as hosts:
        before = hosts.served()
        assert set(before.values()) == {PRODUCTION, CANDIDATE}
        for variant in (PRODUCTION, CANDIDATE):
            hosts.processes[variant, SECOND].kill()
        # While nothing is known of its death, and when it is.
        assert hosts.served() == before
        dead = sorted([f"{HOUSES}_{PRODUCTION}", f"{HOUSES}_{CANDIDATE}"])
        wait_until(lambda: sorted(hosts.rig.left_out()) == dead, 10, lambda: str(hosts.rig.left_out()))
        assert hosts.served() == before


@pytest.mark.parametrize("mode", ["fail", "reset", "busy"])
def test_a_failing_service_is_replaced_by_the_same_one_of_another_host(hosts: Hosts, mode: str) -> None:
    before = hosts.served()
    hosts.services[PRODUCTION, FIRST].control(mode=mode)
    assert hosts.served() == before


def test_a_variant_that_fails_on_every_host_is_stood_in_for(hosts: Hosts) -> None:
    for host in (FIRST, SECOND):
        hosts.services[CANDIDATE, host].control(mode="fail")
    assert set(hosts.served().values()) == {PRODUCTION}


def test_a_host_can_be_given_by_name() -> None:
    with ExitStack() as stack:
        rig = make_rig(Path(stack.enter_context(TemporaryDirectory(prefix="gateway-"))), 1)
        rig.upstreams[:] = [replace(rig.upstreams[0], addresses=("localhost",))]
        for (_, variant), service in rig.services.items():
            stack.enter_context(upstream(variant, service.port, rig.folder))
        stack.enter_context(running_gateway(rig))
        rig.set(comparing(0.5))
        wait_until(lambda: rig.left_out() == [], 10, lambda: str(rig.left_out()))
        assert set(rig.counted(users(60))) == {(200, PRODUCTION), (200, CANDIDATE)}
