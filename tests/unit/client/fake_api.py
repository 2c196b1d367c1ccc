"""The control API as the client's transport sees it: answers that a test has put down, requests that it can look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from mlops_assets.client import Client
from mlops_assets.client.connection import Clock

URL = "http://127.0.0.1:8000"
TOKEN = "token-of-a-test"
AT = datetime(2025, 3, 1, 12, 0, tzinfo=UTC).isoformat()

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class FakeClock(Clock):
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.time = 100.0
        self.waited: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.time += seconds


class FakeApi:
    """Answers each method and path with what `on` was given, in turn; the last of them for ever."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.clock = FakeClock()
        self._answers: dict[str, list[Answer]] = {}
        self.client = self.opened()

    def opened(self) -> Client:
        """Another client of the same API."""
        return Client(URL, TOKEN, transport=httpx.MockTransport(self._answer), clock=self.clock)

    def on(self, what: str, *answers: Answer) -> FakeApi:
        """Answer `what`, such as "GET pipelines/a", with these."""
        self._answers[what] = list(answers)
        return self

    def sent(self, what: str) -> list[httpx.Request]:
        """The requests of this method and path."""
        return [request for request in self.requests if asked(request) == what]

    def bodies(self, what: str) -> list[Any]:
        """What those had as JSON."""
        return [json.loads(request.content) for request in self.sent(what)]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answers = self._answers.get(asked(request))
        assert answers, f"nobody expected {asked(request)}"
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else _fresh(answer)


def _fresh(answer: httpx.Response) -> httpx.Response:
    """The same answer, which can be read once more."""
    if not hasattr(answer, "_content"):
        return answer
    return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def asked(request: httpx.Request) -> str:
    """Method and path below the API's root, as sent."""
    path = request.url.raw_path.decode().partition("?")[0]
    assert path.startswith("/api/v1/"), path
    return f"{request.method} {path.removeprefix('/api/v1/')}"


def ok(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers)


def problem(status: int, detail: str = "no", *, errors: Any = None, **headers: str) -> httpx.Response:
    body = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body if errors is None else {**body, "errors": errors}, headers=sent)


class Broken(httpx.SyncByteStream):
    """A body that breaks off after these pieces, or ends if `error` is None."""

    def __init__(self, pieces: Iterable[bytes], error: BaseException | None) -> None:
        self._pieces, self._error = list(pieces), error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._error is not None:
            raise self._error


def pipeline(name: str = "two_stage", **more: Any) -> dict[str, Any]:
    stages = [
        {"name": "prepare", "stage_type": "DATA_PREPROCESSING", "custom_name": None, "dependencies": []},
        {"name": "train", "stage_type": "MODEL_TRAINING", "custom_name": None, "dependencies": ["prepare"]},
    ]
    view = {
        "id": f"id-{name}", "name": name, "title": None, "description": "", "owner": None, "active": True,
        "schedule": None, "timezone": "UTC", "next_run_at": None, "tags": {}, "stage_count": 2, "revision": 1,
        "version": 1, "deployed_version": 1, "deployed_at": AT, "loaded": True, "load_error": None,
        "created_by": "kim", "created_at": AT, "updated_at": AT,
    }  # fmt: skip
    return {**view, "spec_version": 1, "spec": {"name": name}, "stages": stages, **more}


def run(id: str = "r1", status: str = "RUNNING", **more: Any) -> dict[str, Any]:
    view = {
        "id": id, "pipeline_id": "id-two_stage", "pipeline": "two_stage", "version": 1, "status": status,
        "trigger": "API", "triggered_by": "kim", "parameters": {}, "environment": None, "tags": {}, "notes": "",
        "created_at": AT, "started_at": AT, "ended_at": None, "duration_seconds": None, "error": None,
        "retry_of": None,
    }  # fmt: skip
    return {**view, **more}


def stage(name: str, status: str, attempt: int = 1, **more: Any) -> dict[str, Any]:
    view = {
        "name": name, "stage_type": "MODEL_TRAINING", "status": status, "attempt": attempt, "started_at": AT,
        "ended_at": None, "wall_seconds": None, "cpu_seconds": None, "peak_memory_bytes": None, "bytes_read": None,
        "bytes_written": None, "exit_code": None, "error": None, "artifacts": [],
    }  # fmt: skip
    return {**view, **more}


def detail(id: str = "r1", status: str = "RUNNING", *stages: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    done = [one["status"] for one in stages]
    counts = {"succeeded": done.count("COMPLETED"), "failed": done.count("FAILED")}
    return {**run(id, status), "stages": list(stages), **counts, "dagster_url": "http://d/runs/r1", **more}


def line(number: int, text: str, **more: Any) -> dict[str, Any]:
    return {"number": number, "at": AT, "level": "INFO", "text": text, **more}


def event(kind: str, data: Any, id: str | None = None) -> bytes:
    words = f"event: {kind}\ndata: {json.dumps(data)}\n" + (f"id: {id}\n" if id is not None else "")
    return f"{words}\n".encode()


def artifact(content: bytes = b"content", **more: Any) -> dict[str, Any]:
    from hashlib import sha256

    view = {
        "id": "a1", "pipeline_id": "id-two_stage", "pipeline": "two_stage", "pipeline_version": 1, "run_id": "r1",
        "stage": "train", "attempt": 1, "is_result": False, "name": "scores.csv", "type": "DATASET",
        "storage": "LOCAL", "format": "csv", "size": len(content), "sha256": sha256(content).hexdigest(),
        "type_name": "", "location": "x", "metadata": {}, "preview": {}, "created_at": AT, "removed_at": None,
    }  # fmt: skip
    return {**view, **more}
