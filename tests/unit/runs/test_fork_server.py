"""The fork server as a process: bad clients, launches without `go`, threads, a second server, its end."""

from __future__ import annotations

import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mlops_assets.runs.client import ForkServerClient, ForkServerUnavailableError
from mlops_assets.runs.process import ProcessIdentity
from mlops_assets.runs.protocol import Launch, encode, receive

MODULE = "mlops_assets.runs.fork_server"


@contextmanager
def serving(folder: Path, preload: str) -> Iterator[tuple[ForkServerClient, subprocess.Popen[bytes]]]:
    """A fork server in a private folder, ended by its pid."""
    path = str(folder / "door" / "fork.sock")
    command = [sys.executable, "-m", MODULE, "--socket", path, "--preload", preload, "--grace", "2"]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        client = ForkServerClient(path)
        client.wait_until_ready(60)
        yield client, process
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[ForkServerClient, subprocess.Popen[bytes]]]:
    """One server for the tests that leave it as they found it."""
    with TemporaryDirectory(prefix="runs-") as name, serving(Path(name), "no_such_module_anywhere") as pair:
        yield pair


@pytest.fixture
def client(server: tuple[ForkServerClient, subprocess.Popen[bytes]]) -> ForkServerClient:
    """The client of the shared server."""
    return server[0]


def connect(client: ForkServerClient) -> socket.socket:
    """A bare connection, to say what a client never would."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(client.socket_path)
    return connection


def until(condition: Callable[[], bool]) -> None:
    """Poll for a condition for ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_is_single_threaded_and_says_what_it_could_not_preload(client: ForkServerClient) -> None:
    status = client.status()
    assert len(status.threads) == 1
    assert set(status.failed) == {"no_such_module_anywhere"}
    assert "sklearn.linear_model" in status.preloaded


def test_the_socket_is_closed_to_others(client: ForkServerClient) -> None:
    path = Path(client.socket_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("!I", 2**31),
        struct.pack("!I", 4) + b"{}{}",
        struct.pack("!I", 2) + b"{}",
        encode(Launch(run_id="ok", instance_ref="{}")).replace(b'"ok"', b'"/x"'),
    ],
)
def test_bad_requests_are_refused_and_nothing_is_started(client: ForkServerClient, data: bytes) -> None:
    with connect(client) as connection:
        connection.sendall(data)
        answer = receive(connection)
    assert answer is not None
    assert answer["type"] == "refused"
    assert client.status().running == {}


def test_a_client_that_says_nothing_holds_nobody_up(client: ForkServerClient) -> None:
    with connect(client), connect(client) as half:
        half.sendall(b"\0\0")
        assert client.status().running == {}


def test_another_environment_is_refused(client: ForkServerClient) -> None:
    request = Launch(run_id="r", instance_ref="{}", executable="/elsewhere/bin/python")
    with pytest.raises(ForkServerUnavailableError, match="/elsewhere/bin/python"):
        client.launch(request, record=lambda identity: None)


def test_a_launch_without_go_runs_nothing(client: ForkServerClient) -> None:
    with connect(client) as connection:
        connection.sendall(encode(Launch(run_id="abandoned", instance_ref="not even a reference")))
        identity = ProcessIdentity.parse(receive(connection)["process"])  # type: ignore[index]
        assert client.status().running == {"abandoned": str(identity)}
    until(lambda: "abandoned" in client.status().ended)
    assert client.status().ended["abandoned"] == 2
    assert not identity.is_alive()


def test_an_error_while_recording_ends_the_child_and_reaches_the_caller(client: ForkServerClient) -> None:
    def fail(identity: ProcessIdentity) -> None:
        raise RuntimeError("the database is down")

    with pytest.raises(RuntimeError, match="database is down"):
        client.launch(Launch(run_id="unrecorded", instance_ref="{}"), record=fail)
    until(lambda: client.status().ended.get("unrecorded") == 2)


def test_a_child_is_isolated_from_the_server(
    server: tuple[ForkServerClient, subprocess.Popen[bytes]],
) -> None:
    client, process = server
    with connect(client) as connection:
        connection.sendall(encode(Launch(run_id="isolated", instance_ref="{}")))
        pid = ProcessIdentity.parse(receive(connection)["process"]).pid  # type: ignore[index]
        folder = Path(f"/proc/{pid}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        parent, group, session = (int(field) for field in fields[1:4])
        assert (parent, group, session) == (process.pid, pid, pid)
        assert "Max core file size        0 " in (folder / "limits").read_text()
        assert int((folder / "oom_score_adj").read_text()) >= 500
        # Its own connection is the only socket: no listener, no lock, no other client.
        targets = [link.readlink().name for link in (folder / "fd").iterdir()]
        assert sum(target.startswith("socket:") for target in targets) == 1
        assert not any(target.endswith(".lock") for target in targets)
        assert {(folder / "fd" / n).readlink().name for n in ("1", "2")} == {"fork.sock.runs.log"}
    until(lambda: client.status().running == {})


def test_a_second_server_on_the_same_socket_gives_up(client: ForkServerClient) -> None:
    command = [sys.executable, "-m", MODULE, "--socket", client.socket_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "another fork server" in done.stderr
    assert client.status().pid > 0


def test_a_socket_path_that_is_too_long_is_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", MODULE, "--socket", "/" + "x" * 120],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "107" in done.stderr


def test_a_preloaded_thread_forbids_forking_and_the_end_is_clean(short_folder: Path) -> None:
    (short_folder / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    with serving(short_folder, "threaded") as (client, process):
        with pytest.raises(ForkServerUnavailableError, match="2 threads are alive"):
            client.launch(Launch(run_id="r", instance_ref="{}"), record=lambda identity: None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not Path(client.socket_path).exists()
        with pytest.raises(ForkServerUnavailableError, match="no fork server"):
            client.status()
