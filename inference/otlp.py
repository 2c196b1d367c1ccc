"""Sends spans to an OpenTelemetry collector: OTLP over HTTP, from a thread beside the requests.

Add here what every span must carry. Keep out which requests are told (`spans`). Not BentoML's own tracing: that
records three spans of every request, also of those that nobody wants to see. Spans are worth nothing when they cost an
answer: while the collector is down, slow or the queue full, they are dropped.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

TRACES_PATH = "/v1/traces"
MOST_WAITING = 4096
BATCH = 512
EVERY_SECONDS = 1.0
LIMIT_SECONDS = 2.0
HEADERS = {"Content-Type": "application/x-protobuf"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Span:
    """One answered request. Ids are hexadecimal digits, times nanoseconds since 1970; `failed`: the service's fault."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    began: int
    ended: int
    failed: bool
    attributes: dict[str, str | int] = field(default_factory=dict)


def traces_url(endpoint: str) -> str:
    """Where spans are sent: the endpoint itself if it names the path of traces, else that path below it."""
    plain = endpoint.rstrip("/")
    return plain if plain.endswith(TRACES_PATH) else plain + TRACES_PATH


class Collector:
    """Takes spans from any thread and sends them about every second. Nothing here raises into a request."""

    def __init__(self, endpoint: str, service: str, attributes: dict[str, str]) -> None:
        self._url = traces_url(endpoint)
        self._resource: dict[str, str | int] = {"service.name": service, **attributes}
        self._waiting: deque[Span] = deque()
        self._stopped = threading.Event()
        self._problem: str | None = None
        self._thread: threading.Thread | None = None
        self.dropped = 0
        self.sent = 0

    def start(self) -> None:
        """Begin to send. Loads all that sending needs, before the service tells the collector of garbage what stays."""
        import httpx

        encoded(self._resource, [])
        # No proxy and no credentials of the environment's: spans go where the setting says.
        client = httpx.Client(timeout=LIMIT_SECONDS, trust_env=False)
        self._thread = threading.Thread(target=self._run, args=(client,), name="otlp", daemon=True)
        self._thread.start()

    def add(self, span: Span) -> None:
        """One more span, unless too many wait already."""
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(span)

    def stop(self) -> None:
        """Send what waits, once, and end; within a few seconds whatever the collector does."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(2 * LIMIT_SECONDS)

    def _run(self, client: httpx.Client) -> None:
        with client:
            while not self._stopped.wait(EVERY_SECONDS):
                while self._waiting and not self._stopped.is_set() and self._send(client):
                    pass
            if self._waiting:
                self._send(client)

    def _send(self, client: httpx.Client) -> bool:
        """Send a batch; whether the collector took it. What it doesn't take is dropped."""
        from httpx import HTTPError

        spans = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            answer = client.post(self._url, content=encoded(self._resource, spans), headers=HEADERS)
            problem = None if answer.is_success else f"status {answer.status_code}"
        except HTTPError as error:
            problem = type(error).__name__
        if problem is None:
            self.sent += len(spans)
        else:
            self.dropped += len(spans)
        self._tell(problem)
        return problem is None

    def _tell(self, problem: str | None) -> None:
        if problem is not None and self._problem is None:
            log.warning("the collector of traces takes none, they are dropped until it does: %s", problem)
        elif problem is None and self._problem is not None:
            log.info("the collector takes traces again; %d spans were dropped since the start", self.dropped)
        self._problem = problem


def encoded(resource: dict[str, str | int], spans: list[Span]) -> bytes:
    """An ExportTraceServiceRequest in protobuf."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1 import trace_pb2

    def pairs(given: dict[str, str | int]) -> list[KeyValue]:
        return [
            KeyValue(key=key, value=AnyValue(int_value=v) if isinstance(v, int) else AnyValue(string_value=v))
            for key, v in given.items()
        ]

    request = ExportTraceServiceRequest()
    of_service = request.resource_spans.add()
    of_service.resource.attributes.extend(pairs(resource))
    scope = of_service.scope_spans.add()
    scope.scope.name = "mlops.inference"
    for span in spans:
        scope.spans.add(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            parent_span_id=bytes.fromhex(span.parent_id),
            name=span.name,
            kind=trace_pb2.Span.SPAN_KIND_SERVER,
            start_time_unix_nano=span.began,
            end_time_unix_nano=span.ended,
            attributes=pairs(span.attributes),
            status=trace_pb2.Status(
                code=trace_pb2.Status.STATUS_CODE_ERROR if span.failed else trace_pb2.Status.STATUS_CODE_UNSET
            ),
        )
    return request.SerializeToString()
