"""Leftovers: found by their mark, told from strangers, ended even when they refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlops_assets.installation import entry, leftovers

SLEEP = "import time; print('on', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        process.kill()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def start(started: list[subprocess.Popen[bytes]], home: Path, program: str, code: str = SLEEP) -> int:
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "MLOPS_HOME": str(home), "MLOPS_PROGRAM": program},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    started.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    return process.pid


def pids(found: list[psutil.Process]) -> set[int]:
    return {p.pid for p in found}


def test_only_this_installations_processes_are_found(started: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    ours = start(started, tmp_path / "a", "web")
    other = start(started, tmp_path / "b", "web")
    assert pids(leftovers.marked(tmp_path / "a")) == {ours}
    assert pids(leftovers.marked(tmp_path / "a", "web")) == {ours}
    assert pids(leftovers.marked(tmp_path / "a", "worker")) == set()
    assert pids(leftovers.marked(tmp_path / "b")) == {other}


def test_one_that_ignores_the_request_is_killed(started: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    pid = start(started, tmp_path, "web", STUBBORN)
    assert leftovers.end(leftovers.marked(tmp_path), patience=0.5) == 1
    assert pid not in pids(leftovers.marked(tmp_path))
    assert not psutil.pid_exists(pid)


def test_a_program_ends_its_earlier_life_but_nobody_elses(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    earlier = start(started, tmp_path, "web")
    stranger = start(started, tmp_path / "elsewhere", "web")
    record = tmp_path / "web.group"
    record.write_text(str(os.getpgid(earlier)))
    assert entry.end_earlier(tmp_path, "web", record) == 1
    record.write_text(str(os.getpgid(stranger)))
    assert entry.end_earlier(tmp_path, "web", record) == 0, "the number was given to another process meanwhile"
    assert psutil.pid_exists(stranger)


@pytest.mark.parametrize("content", [None, "", "garbage", "999999999"])
def test_a_missing_or_broken_record_ends_nothing(tmp_path: Path, content: str | None) -> None:
    record = tmp_path / "web.group"
    if content is not None:
        record.write_text(content)
    assert entry.end_earlier(tmp_path, "web", record) == 0
