"""Which requests the service tells a collector of, and what it says of them: nothing that a client said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.app import create_app
from inference.functions import ProductFunctions
from inference.metrics import Metrics
from inference.otlp import Collector, Span, encoded, traces_url
from inference.record import Recorder
from inference.served import Served
from inference.settings import ServingSettings
from tests.unit.inference.asgi_client import AsgiClient
from tests.unit.inference.fake_journal import KEY, FakeJournal
from tests.unit.inference.tiny_release import HOME, PRODUCT

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CHOSEN = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
ROUTE = "/api/predict_price"


class Kept(Collector):
    """A collector that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "test", {})
        self.spans: list[Span] = []

    def add(self, span: Span) -> None:
        self.spans.append(span)


@pytest.fixture
def collector() -> Kept:
    return Kept()


@pytest.fixture
def client(
    settings: ServingSettings, functions: ProductFunctions, served: Served, journal: FakeJournal, collector: Kept
) -> AsgiClient:
    metrics = Metrics(PRODUCT, served, None)
    recorder = Recorder(journal, KEY, PRODUCT)
    return AsgiClient(create_app(settings, functions, served, metrics, recorder, collector=collector))


def test_a_chosen_request_is_told_under_the_trace_that_the_log_has(
    client: AsgiClient, collector: Kept, journal: FakeJournal
) -> None:
    answer = client.post(ROUTE, json=HOME, headers=CHOSEN).json()
    (span,), (line,) = collector.spans, journal.records()
    assert (span.trace_id, span.parent_id, span.name) == (TRACE, SPAN, f"POST {ROUTE}")
    assert line["trace_id"] == TRACE
    assert span.attributes == {
        "http.request.method": "POST", "mlops.product": PRODUCT, "mlops.variant": "candidate", "mlops.release": "3",
        "mlops.prediction_id": answer["prediction_id"], "http.response.status_code": 200,
    }  # fmt: skip
    assert span.began <= span.ended
    assert not span.failed


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"traceparent": f"00-{TRACE}-{SPAN}-00"}, {"traceparent": "nonsense"},
        [("traceparent", f"00-{TRACE}-{SPAN}-01"), ("traceparent", f"00-{TRACE}-{SPAN}-01")],
    ],
)  # fmt: skip
def test_others_are_answered_and_not_told(client: AsgiClient, collector: Kept, headers: Any) -> None:
    assert client.post(ROUTE, json=HOME, headers=headers).status_code == 200
    assert collector.spans == []


@pytest.mark.parametrize("path", ["/api/health", "/livez", "/api/get_towns", "/api/anything/else"])
def test_only_the_products_own_posts_are_told_so_that_names_stay_few(
    client: AsgiClient, collector: Kept, path: str
) -> None:
    client.get(path, headers=CHOSEN)
    client.post(path, json={}, headers=CHOSEN)
    assert collector.spans == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [(ROUTE, {"area": -1}, 422), (ROUTE, {"town": "x" * 4000}, 413), ("/api/feedback", {}, 422)],
)
def test_refusals_are_told_with_their_status_and_are_no_fault(
    client: AsgiClient, collector: Kept, path: str, body: dict[str, Any], status: int
) -> None:
    client.post(path, json=body, headers=CHOSEN)
    (span,) = collector.spans
    assert span.attributes["http.response.status_code"] == status
    assert not span.failed


def test_a_service_without_a_model_is_a_fault(client: AsgiClient, collector: Kept, served: Served) -> None:
    served.current = None
    assert client.post(ROUTE, json=HOME, headers=CHOSEN).status_code == 503
    assert [span.failed for span in collector.spans] == [True]


def test_a_span_says_nothing_that_the_client_said(client: AsgiClient, collector: Kept) -> None:
    body = {**HOME, "town": "Secret Town"}
    client.post(f"{ROUTE}?q=query", json=body, headers={**CHOSEN, "x-user-id": "ann", "user-agent": "spy"})
    told = json.dumps([span.name for span in collector.spans] + [span.attributes for span in collector.spans])
    assert not [word for word in ("Secret", "query", "ann", "spy") if word in told]


def test_a_full_queue_drops_and_counts() -> None:
    collector = Collector("http://127.0.0.1:9", "test", {})
    one = Span(TRACE, SPAN, SPAN, "POST /", 1, 2, False)
    for _ in range(5000):
        collector.add(one)
    assert collector.dropped == 5000 - 4096


def test_the_path_of_traces_is_added_once() -> None:
    for given in ("http://c:4318", "http://c:4318/", "http://c:4318/v1/traces", "http://c:4318/v1/traces/"):
        assert traces_url(given) == "http://c:4318/v1/traces"
    assert traces_url("https://c/otlp") == "https://c/otlp/v1/traces"


def test_spans_are_encoded_as_the_protocol_has_them() -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.trace.v1 import trace_pb2

    spans = [
        Span(TRACE, SPAN, "a" * 16, "POST /a", 5, 9, failed, {"text": "ß", "number": 7}) for failed in (True, False)
    ]
    (of_service,) = ExportTraceServiceRequest.FromString(encoded({"service.name": "homes"}, spans)).resource_spans
    assert of_service.resource.attributes[0].value.string_value == "homes"
    bad, good = of_service.scope_spans[0].spans
    assert (bad.trace_id.hex(), bad.span_id.hex(), bad.parent_span_id.hex()) == (TRACE, SPAN, "a" * 16)
    assert (bad.start_time_unix_nano, bad.end_time_unix_nano, bad.kind) == (5, 9, trace_pb2.Span.SPAN_KIND_SERVER)
    assert [a.value.string_value or a.value.int_value for a in bad.attributes] == ["ß", 7]
    assert [bad.status.code, good.status.code] == [
        trace_pb2.Status.STATUS_CODE_ERROR,
        trace_pb2.Status.STATUS_CODE_UNSET,
    ]
