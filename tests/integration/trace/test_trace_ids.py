"""From the request at the gateway to the log and the collector: one id, the client's only if it is a right one."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.rollout.gateway import Tracing
from mlops_assets.storage.database import Database
from tests.integration.shipped_log import rows
from tests.integration.trace.collector import Receiver
from tests.integration.trace.world import ROUTE, World, a_gateway
from tests.servers import wait_until
from tests.unit.inference.tiny_release import HOME, PRODUCT

OWN = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
GATEWAY, SERVICE = "mlops-gateway", f"{PRODUCT}_production"


def parent(trace: str = OWN, flags: str = "01") -> tuple[str, str]:
    return ("traceparent", f"00-{trace}-{SPAN}-{flags}")


def answered(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["prediction_id"])


@pytest.mark.parametrize("gateway", ["plain", "traced"])
def test_a_clients_own_trace_is_kept(world: World, gateway: str) -> None:
    trace = world.logged(answered(world.ask(getattr(world, gateway), parent())))
    assert trace.answer.trace_id == OWN
    assert trace.answer.request_id != OWN


def test_without_a_trace_of_its_own_a_request_is_traced_by_the_gateways_request_id(world: World) -> None:
    response = world.ask(world.plain)
    trace = world.logged(answered(response))
    assert trace.answer.request_id == response.headers["x-request-id"]
    assert trace.answer.trace_id == response.headers["x-request-id"].replace("-", "")


BAD = {
    "not hexadecimal": f"00-{'g' * 32}-{SPAN}-01",
    "upper case": f"00-{OWN.upper()}-{SPAN}-01",
    "all zero": f"00-{'0' * 32}-{SPAN}-01",
    "span of zeros": f"00-{OWN}-{'0' * 16}-01",
    "version ff": f"ff-{OWN}-{SPAN}-01",
    "too short": f"00-{OWN[1:]}-{SPAN}-01",
    "too long": f"00-{OWN}-{SPAN}-01-more",
    "oversized": "00-" + "a" * 9000,
    "something else": "'; DROP TABLE mlops.prediction; --",
}


@pytest.mark.parametrize("header", BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("gateway", ["plain", "traced"])
def test_a_wrong_parent_is_as_none(world: World, gateway: str, header: str) -> None:
    response = world.ask(getattr(world, gateway), ("traceparent", header))
    trace = world.logged(answered(response))
    if gateway == "traced" and header in (BAD["upper case"], BAD["version ff"]):
        # The gateway's tracer takes these, and passes a right one on.
        assert trace.answer.trace_id == OWN
    else:
        assert trace.answer.trace_id == response.headers["x-request-id"].replace("-", "")


def test_two_parents_are_none(world: World) -> None:
    other = "a" * 32
    response = world.ask(world.plain, parent(), parent(other))
    assert world.logged(answered(response)).answer.trace_id not in (OWN, other)
    response = world.ask(world.traced, parent(), parent(other))
    assert re.fullmatch("[0-9a-f]{32}", world.logged(answered(response)).answer.trace_id or "")


def test_asked_directly_the_service_makes_an_id_of_its_own(world: World) -> None:
    ids = {world.logged(answered(world.ask(world.service))).answer.trace_id for _ in range(2)}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", one or "") for one in ids)


def test_spans_of_gateway_and_service_are_one_trace_which_is_the_logs(world: World, receiver: Receiver) -> None:
    identifier = answered(world.ask(world.traced))
    trace_id = world.logged(identifier).answer.trace_id
    assert trace_id is not None
    spans = receiver.wait(trace_id, GATEWAY, SERVICE)
    (service,) = [span for span in spans if span.service == SERVICE]
    gateway = {span.span_id: span for span in spans if span.service == GATEWAY}
    # The client's request, in it the try at the service, in that the service's own work.
    tried = gateway[service.parent_id]
    assert tried.parent_id in gateway
    assert gateway[tried.parent_id].parent_id == ""
    assert service.name == f"POST {ROUTE}"
    assert service.attributes["mlops.prediction_id"] == identifier
    assert service.attributes["mlops.release"] == "1"
    assert service.attributes["http.response.status_code"] == 200
    assert gateway[tried.parent_id].attributes["mlops.product"] == PRODUCT
    assert service.seconds <= gateway[tried.parent_id].seconds
    assert set(receiver.paths) == {"/v1/traces"}


def test_a_clients_trace_goes_on_and_its_state_does_not(world: World, receiver: Receiver) -> None:
    mine = "c" * 32
    answered(world.ask(world.traced, parent(mine), ("tracestate", "shop=secret"), ("baggage", "user=ann")))
    spans = receiver.wait(mine, GATEWAY, SERVICE)
    assert [span.parent_id for span in spans if span.parent_id == SPAN] == [SPAN]
    assert {span.state for span in spans} == {""}


def test_nothing_that_a_client_is_or_said_reaches_the_collector(world: World, receiver: Receiver) -> None:
    mine = "d" * 32
    body = {**HOME, "town": "Nowhere-Else"}
    url = f"{ROUTE}?who=ann-the-user"
    answered(
        world.ask(world.traced, parent(mine), ("user-agent", "spy/1"), ("x-client-trace-id", "q"), path=url, body=body)
    )
    told = json.dumps([span.attributes | {"name": span.name} for span in receiver.wait(mine, GATEWAY, SERVICE)])
    for secret in ("127.0.0.1:", "spy/1", "ann", "Nowhere-Else"):
        assert secret not in told.replace(world.service.removeprefix("http://"), ""), secret


def test_a_client_can_not_order_what_is_told(world: World, receiver: Receiver) -> None:
    """The flag of its own parent counts for nothing: neither where all is told nor where nothing is."""
    quiet, loud = "e" * 32, "3" * 32
    answered(world.ask(world.traced, parent(quiet, flags="00")))
    receiver.wait(quiet, GATEWAY, SERVICE)
    service = int(world.service.rpartition(":")[2])
    with (
        tempfile.TemporaryDirectory(prefix="trace-") as folder,
        a_gateway(Path(folder) / "none", service, Tracing(receiver.url, share=0.0)) as none,
    ):
        wait_until(lambda: world.ask(none).status_code == 200, 10)
        identifier = answered(world.ask(none, parent(loud, flags="01")))
        answered(world.ask(world.traced, parent("4" * 32)))
        receiver.wait("4" * 32, GATEWAY, SERVICE)
    assert receiver.of(loud) == []
    assert world.logged(identifier).answer.trace_id == loud


def test_a_refused_request_is_told_with_its_status(world: World, receiver: Receiver) -> None:
    mine = "f" * 32
    assert world.ask(world.traced, parent(mine), body={}).status_code == 422
    spans = receiver.wait(mine, GATEWAY, SERVICE)
    (service,) = [span for span in spans if span.service == SERVICE]
    assert service.attributes["http.response.status_code"] == 422
    assert "mlops.prediction_id" not in service.attributes


def test_every_row_of_a_batch_has_the_trace_of_its_request(world: World, database_of: Database) -> None:
    mine = "1" * 32
    response = world.ask(world.plain, parent(mine), path=f"{ROUTE}/batch", body={"records": [HOME, HOME, HOME]})
    ids = [one["prediction_id"] for one in response.json()["predictions"]]
    world.logged(ids[-1])
    found = rows(database_of, "SELECT id::text FROM mlops.prediction WHERE trace_id = :trace", trace=mine)
    assert {one for (one,) in found} == set(ids)


def test_lines_of_the_gateway_name_the_trace(world: World) -> None:
    mine = "2" * 32
    answered(world.ask(world.traced, parent(mine)))

    def lines() -> list[dict[str, Any]]:
        return [json.loads(x) for x in world.traced_log.read_text().splitlines() if x.startswith("{")]

    wait_until(lambda: any(line.get("trace_id") == mine for line in lines()), 5)


@pytest.mark.parametrize(("status", "seconds"), [(503, 0.0), (200, 4.0)], ids=["refuses", "hangs"])
def test_a_collector_in_trouble_costs_no_answer(world: World, receiver: Receiver, status: int, seconds: float) -> None:
    receiver.status, receiver.seconds, before = status, seconds, receiver.posts
    try:
        answered(world.ask(world.traced))
        wait_until(lambda: receiver.posts >= before + 2, 10)
        found = [world.ask(world.traced) for _ in range(30)]
        assert {one.status_code for one in found} == {200}
        assert max(one.elapsed.total_seconds() for one in found) < seconds + 2
    finally:
        receiver.status, receiver.seconds = 200, 0.0

    def both_tell_again() -> bool:
        mine = world.logged(answered(world.ask(world.traced))).answer.trace_id or ""
        return {span.service for span in receiver.wait(mine, GATEWAY, SERVICE)} == {GATEWAY, SERVICE}

    assert both_tell_again()


@pytest.fixture
def database_of(world: World) -> Database:
    return world.database
