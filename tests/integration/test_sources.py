"""Fetching over real sockets: an HTTP server that lies, drips and hangs, and a real S3 server."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mlops_assets.storage.files import MissingFileError, Storage, StorageError
from mlops_assets.storage.folders import fetch_folder, publish_folder
from mlops_assets.training.data.raw_file import SourceError
from mlops_assets.training.data.sources import fetch
from mlops_assets.training.data.spec import Source
from tests.integration.stored_files import check_files
from tests.servers import free_port

ROWS = b"location,price\n" + b"Hebbal,60\n" * 20_000
PLAIN = {
    "/good": (200, {}, ROWS),
    "/packed": (200, {"Content-Encoding": "gzip"}, gzip.compress(ROWS)),
    "/file.gz": (200, {"Content-Type": "application/gzip"}, gzip.compress(ROWS)),
    "/brotli": (200, {"Content-Encoding": "br"}, b"rubbish"),
    "/short": (200, {"Content-Length": str(len(ROWS) + 1)}, ROWS),
    "/huge": (200, {"Content-Length": "99999999999"}, b""),
    "/moved": (302, {"Location": "/good?token=hush"}, b""),
    "/round": (302, {"Location": "/round"}, b""),
    "/away": (302, {"Location": "file:///etc/passwd"}, b""),
    "/401": (401, {}, b""), "/403": (403, {}, b""), "/404": (404, {}, b""), "/429": (429, {}, b""),
    "/500": (500, {}, b""), "/503": (503, {}, b""), "/204": (204, {}, b""),
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Answers from PLAIN, and badly under /drip, /dripping_head, /hang and /endless."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server.seen.append((path, dict(self.headers)))
        if path in PLAIN:
            status, headers, body = PLAIN[path]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        else:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                getattr(self, path.strip("/"))()
        self.close_connection = True

    def hang(self) -> None:
        self.server.stop.wait(60)

    def dripping_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.server.stop.wait(0.05):
            self.wfile.write(b"X-More: 1\r\n")
            self.wfile.flush()

    def drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.stop.wait(0.05):
            self.wfile.write(b"a")
            self.wfile.flush()

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.stop.is_set():
            self.wfile.write(bytes(100_000))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads, running.stop, running.seen = True, threading.Event(), []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.stop.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def base(server: ThreadingHTTPServer) -> str:
    server.seen.clear()
    return f"http://127.0.0.1:{server.server_port}"


def refused(location: str, into: Path, **limits) -> SourceError:
    with pytest.raises(SourceError) as caught:
        fetch(Source(location=location, **limits), into)
    assert not into.exists() or list(into.iterdir()) == []
    return caught.value


@pytest.mark.parametrize("path", ["/good", "/packed", "/file.gz", "/moved"])
def test_a_file_over_http(base: str, tmp_path: Path, path: str) -> None:
    fetched = fetch(Source(location=base + path), tmp_path)
    assert fetched.path.read_bytes() == ROWS


@pytest.mark.parametrize("path", ["/drip", "/dripping_head", "/hang"])
def test_a_server_that_never_ends_is_ended_by_the_total_limit(base: str, tmp_path: Path, path: str) -> None:
    # The server would go on for ever, or 60 s: the test's own time limit is far below that.
    ended = subprocess.run(
        [
            sys.executable, "-c",
            "import sys; from pathlib import Path; from mlops_assets.training.data.sources import fetch\n"
            "from mlops_assets.training.data.raw_file import SourceError\n"
            "from mlops_assets.training.data.spec import Source\n"
            "try: fetch(Source(location=sys.argv[1], timeout_seconds=1), Path(sys.argv[2]))\n"
            "except SourceError as error: print(error.transient, error)",
            base + path, str(tmp_path / "out"),
        ],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert ended.stdout.startswith("True ")
    assert "1 s" in ended.stdout or "does not answer" in ended.stdout
    assert list((tmp_path / "out").iterdir()) == []


def test_an_endless_answer_stops_at_the_size_limit(base: str, tmp_path: Path) -> None:
    assert "larger than 2 MB" in str(refused(base + "/endless", tmp_path, max_megabytes=2))


def test_an_announced_size_over_the_limit_is_refused_before_it_is_sent(base: str, tmp_path: Path) -> None:
    assert "larger than 512 MB" in str(refused(base + "/huge", tmp_path))


@pytest.mark.parametrize(
    ("path", "told", "transient"),
    [
        ("/401", "HTTP 401, it asks for credentials", False),
        ("/403", "HTTP 403, access is refused", False),
        ("/404", "HTTP 404, there is no such file", False),
        ("/204", "HTTP 204", False),
        ("/429", "HTTP 429, too many requests", True),
        ("/500", "HTTP 500, the server failed", True),
        ("/503", "HTTP 503, the server failed", True),
        ("/short", "the answer broke off", True),
        ("/brotli", "packed as 'br'", False),
        ("/round", "more than 5 redirects", False),
        ("/away", "redirects to something other than http", False),
    ],
)
def test_a_wrong_answer_is_told(base: str, tmp_path: Path, path: str, told: str, transient: bool) -> None:
    error = refused(base + path, tmp_path)
    assert told in str(error)
    assert error.transient is transient


def test_a_closed_port_is_told(tmp_path: Path) -> None:
    error = refused(f"http://127.0.0.1:{free_port()}/a.csv", tmp_path)
    assert "can't be reached" in str(error)
    assert error.transient


def test_credentials_reach_the_server_and_nothing_else(
    base: str, server: ThreadingHTTPServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = base.replace("http://", "http://user:hush@")
    fetched = fetch(Source(location=f"{address}/moved?sig=hush"), tmp_path)
    error = refused(f"{address}/404?sig=hush", tmp_path / "none")
    assert all("Authorization" in headers for _, headers in server.seen)
    assert [path for path, _ in server.seen] == ["/moved", "/good", "/404"]
    assert caplog.records
    for text in (str(fetched), str(error), caplog.text):
        assert "hush" not in text
    assert "***@127.0.0.1" in fetched.location


def test_it_works_inside_a_running_event_loop(base: str, tmp_path: Path) -> None:
    import asyncio

    async def inside() -> int:
        return fetch(Source(location=base + "/good"), tmp_path).bytes

    assert asyncio.run(inside()) == len(ROWS)


@pytest.fixture
def storage(s3: dict) -> Storage:
    return Storage(f"s3://store/{secrets.token_hex(4)}", s3)


def test_files_in_an_object_store(storage: Storage, tmp_path: Path) -> None:
    check_files(storage, tmp_path)
    with pytest.raises(MissingFileError, match=r"s3://store/.*/none: there is no such file"):
        storage.read_bytes("none")


def test_a_folder_in_an_object_store(storage: Storage, tmp_path: Path) -> None:
    local = tmp_path / "local"
    (local / "sub").mkdir(parents=True)
    (local / "release.json").write_text("{}")
    (local / "sub" / "model.onnx").write_bytes(os.urandom(3_000_000))
    publish_folder(local, storage, manifest="release.json")
    fetch_folder(storage, tmp_path / "back", manifest="release.json")
    model = Path("sub") / "model.onnx"
    assert (tmp_path / "back" / model).read_bytes() == (local / model).read_bytes()
    with pytest.raises(MissingFileError, match="nothing complete"):
        fetch_folder(storage.at("other"), tmp_path / "none", manifest="release.json")


@pytest.mark.parametrize("packed", [False, True])
def test_a_source_in_an_object_store(storage: Storage, s3: dict, tmp_path: Path, packed: bool) -> None:
    storage.write_bytes("raw.csv.gz", gzip.compress(ROWS) if packed else ROWS)
    fetched = fetch(Source(location=storage.locate("raw.csv.gz")), tmp_path, storage_options=s3)
    assert fetched.path.read_bytes() == ROWS
    small = Source(location=storage.locate("raw.csv.gz"), max_megabytes=0.1)
    with pytest.raises(SourceError, match=r"larger than 0\.1 MB"):
        fetch(small, tmp_path / "b", storage_options=s3)


def test_a_missing_object_and_a_wrong_secret_are_told(storage: Storage, s3: dict, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such object"):
        fetch(Source(location=storage.locate("none.csv")), tmp_path, storage_options=s3)
    storage.write_bytes("raw.csv", ROWS)
    wrong = {**s3, "secret": "wrong-secret"}
    with pytest.raises(SourceError) as caught:
        fetch(Source(location=storage.locate("raw.csv")), tmp_path, storage_options=wrong)
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(StorageError) as told:
        Storage(storage.url, wrong).write_bytes("a", b"")
    assert storage.url in str(told.value)


def test_a_store_that_takes_connections_and_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {"endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}", "key": "k", "secret": "s"}
        source = Source(location="s3://store/raw.csv", timeout_seconds=1)
        with pytest.raises(SourceError, match="not complete after 1 s") as caught:
            fetch(source, tmp_path / "out", storage_options=options)
        assert caught.value.transient
        assert list((tmp_path / "out").iterdir()) == []


def test_a_forked_process_may_go_on_using_the_storage(storage: Storage) -> None:
    storage.write_bytes("a", b"parent")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(30)
        os.write(writing, storage.read_bytes("a"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"parent"
    assert os.waitpid(child, 0)[1] == 0
