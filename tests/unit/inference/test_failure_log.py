"""The gateway's failures: what a line says, where reading goes on, and how a large file is rotated."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from inference.failure_log import FailureLog


def line(request_id: str = "r1", **changes: Any) -> str:
    record = {
        "request_id": request_id,
        "at": "2026-11-21T06:00:00.123Z",
        "product": "homes",
        "assigned": "candidate",
        "rollout": "2",
        "step": "1",
        "status": 503,
        "flags": "UH",
        "path": "/api/predict",
    }
    return json.dumps(record | changes) + "\n"


def ids(log: FailureLog) -> list[str]:
    """Everything there is to take."""
    found = []
    while (failures := log.take()) is not None:
        found += [row["request_id"] for row in failures.rows]
        log.done(failures)
    return found


def test_a_line_becomes_a_row(tmp_path: Path) -> None:
    path = tmp_path / "failures.log"
    path.write_text(line())
    failures = FailureLog(path, None).take()
    assert failures is not None
    assert failures.rows == [
        {
            "request_id": "r1",
            "at": "2026-11-21T06:00:00.123000+00:00",
            "product": "homes",
            "assigned": "candidate",
            "rollout": 2,
            "step": 1,
            "status": 503,
            "flags": "UH",
        }
    ]


def test_failures_outside_a_rollout_are_passed_and_bad_lines_counted(tmp_path: Path) -> None:
    path = tmp_path / "failures.log"
    bad = ["nonsense\n", "[]\n", line(rollout="x"), line(at="today"), line(request_id=None), line(product="-")]
    path.write_text(line("a", rollout="-") + line("b", rollout=None) + "\n" + "".join(bad) + line("c", step="-"))
    failures = FailureLog(path, None).take()
    assert failures is not None
    assert [row["request_id"] for row in failures.rows] == ["c"]
    assert failures.rows[0]["step"] is None
    assert failures.bad == len(bad)


def test_reading_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "failures.log"
    assert ids(FailureLog(path, None)) == []
    path.write_text(line("a"))
    assert ids(FailureLog(path, None)) == ["a"]
    with path.open("a") as file:
        file.write(line("b") + '{"request_id": "unfin')
    assert ids(FailureLog(path, None)) == ["b"]
    (tmp_path / "failures.log.offsets").write_text("damaged")
    assert ids(FailureLog(path, None)) == ["a", "b"]


def test_an_emptied_file_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "failures.log"
    path.write_text(line("a") * 3)
    log = FailureLog(path, None)
    ids(log)
    path.write_text(line("b"))
    assert ids(log) == ["b"]


def test_a_large_file_is_rotated_and_nothing_of_it_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.failure_log.QUIET_SECONDS", -1.0)
    path, rotated, admin = tmp_path / "failures.log", tmp_path / "failures.log.rotated", tmp_path / "admin.sock"
    path.write_text(line("a") + line("b"))
    log = FailureLog(path, admin, rotate_bytes=10)
    assert ids(log) == ["a", "b"]
    log.rotate_if_due()  # nobody answers at the socket: the gateway goes on writing to the renamed file
    with rotated.open("a") as file:
        file.write(line("c"))
    assert ids(log) == ["c"]
    assert rotated.exists()

    asked = reopening_gateway(admin, path)
    log = FailureLog(path, admin, rotate_bytes=10)  # a restart in the middle
    log.rotate_if_due()
    asked.join(10)
    assert path.exists()
    with rotated.open("a") as file:
        file.write(line("d"))
    path.write_text(line("e"))
    log.rotate_if_due()
    assert rotated.exists()
    assert ids(log) == ["d", "e"]
    log.rotate_if_due()
    assert not rotated.exists()
    assert ids(log) == []
    assert os.listdir(tmp_path)


def reopening_gateway(admin: Path, log: Path) -> threading.Thread:
    """Answers one POST /reopen_logs by making the new file."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(admin))
    server.listen(1)

    def answer() -> None:
        with server:
            connection, _ = server.accept()
            with connection:
                if connection.recv(4096).startswith(b"POST /reopen_logs HTTP/1.1"):
                    log.touch()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nOK\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread
