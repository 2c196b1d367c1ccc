"""Process identities: what survives a reused pid, a zombie, another boot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mlops_assets.runs.process import ProcessIdentity


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A child process that sleeps, in a session of its own."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_text_form_round_trips(sleeper: subprocess.Popen[bytes]) -> None:
    identity = ProcessIdentity.of(sleeper.pid)
    assert ProcessIdentity.parse(str(identity)) == identity
    assert identity.is_alive()


@pytest.mark.parametrize("text", ["", "12", "12@x", "0@1@w", "-1@1@w", "1@2@3@4", "a@b@c", "../../x@1@w"])
def test_anything_else_is_no_identity(text: str) -> None:
    with pytest.raises(ValueError, match="not a process identity"):
        ProcessIdentity.parse(text)


def test_another_process_with_the_same_pid_is_not_alive_and_gets_no_signal(
    sleeper: subprocess.Popen[bytes],
) -> None:
    earlier = replace(ProcessIdentity.of(sleeper.pid), started="1")
    assert not earlier.is_alive()
    assert not earlier.send(signal.SIGKILL)
    assert not earlier.kill_group()
    assert sleeper.poll() is None


def test_a_process_of_another_boot_or_container_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    elsewhere = replace(ProcessIdentity.of(sleeper.pid), world="another.1")
    assert not elsewhere.is_alive()
    assert not elsewhere.send(signal.SIGKILL)
    assert sleeper.poll() is None


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    try:
        with pytest.raises(ProcessLookupError):
            ProcessIdentity.of(process.pid)
    finally:
        process.wait()


def test_kill_group_ends_children_too() -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert parent.stdout is not None
    with parent.stdout:
        child = ProcessIdentity.of(int(parent.stdout.readline()))
        assert ProcessIdentity.of(parent.pid).kill_group()
        assert parent.wait(10) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while child.is_alive():
        assert time.monotonic() < deadline, "the child outlived its group"
        time.sleep(0.01)


def test_native_threads_are_seen() -> None:
    code = """if True:
        import threading, time
        from mlops_assets.runs.process import threads_alive
        before = len(threads_alive())
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        print(before, len(threads_alive()))"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["1", "2"]
