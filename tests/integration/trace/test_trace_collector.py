"""What the service's sender of spans does with a collector that is well, refuses, hangs or isn't there."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from inference.otlp import LIMIT_SECONDS, Collector, Span
from tests.integration.trace.collector import Receiver, receiving
from tests.servers import free_port, wait_until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def span(number: int = 0) -> Span:
    return Span(TRACE, f"{number + 1:016x}", SPAN, "POST /api/x", 1, 2, False, {"number": number})


def started(url: str) -> Collector:
    collector = Collector(url, "homes_production", {"service.namespace": "mlops"})
    collector.start()
    return collector


@pytest.fixture
def well() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def test_what_waits_at_the_end_is_sent(well: Receiver) -> None:
    collector = started(well.url)
    for number in range(700):
        collector.add(span(number))
    collector.stop()
    wait_until(lambda: collector.sent + collector.dropped + len(collector._waiting) == 700, 5)
    assert {one.service for one in well.spans} == {"homes_production"}
    assert [one.attributes.get("number") for one in well.spans] == list(range(len(well.spans)))
    assert len(well.spans) >= 512


@pytest.mark.parametrize("trouble", ["hangs", "not there"])
def test_a_service_stops_in_time_whatever_the_collector_does(well: Receiver, trouble: str) -> None:
    well.seconds = 30.0 if trouble == "hangs" else 0.0
    collector = started(well.url if trouble == "hangs" else f"http://127.0.0.1:{free_port()}")
    collector.add(span())
    began = time.monotonic()
    collector.stop()
    assert time.monotonic() - began < 2 * LIMIT_SECONDS + 1
    assert collector.sent == 0


def test_trouble_is_logged_once_and_its_end_too(well: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="inference.otlp")
    well.status = 500
    collector = started(well.url)
    for wanted in (1, 2):
        collector.add(span())
        wait_until(lambda wanted=wanted: collector.dropped == wanted, 10)
    well.status = 200
    collector.add(span())
    wait_until(lambda: collector.sent == 1, 10)
    collector.stop()
    told = [record.message for record in caplog.records if record.name == "inference.otlp"]
    assert len(told) == 2
    assert "takes none" in told[0]
    assert "status 500" in told[0]
    assert "2 spans were dropped" in told[1]
