"""What is measured of a stage: this process, its children, living and collected, and nothing of what was before."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.runs import usage
from mlops_assets.runs.usage import Meter, Used

MB = 1_000_000
ELSEWHERE = Used(9.0, 5.0, 700 * MB, 40 * MB, None)
# A child that takes 90 MB, burns CPU for a while, tells so, and waits to be told to end.
BUSY = """
import sys, time
held = bytearray(90_000_000)
began = time.process_time()
while time.process_time() - began < 0.2:
    pass
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def meter() -> Iterator[Meter]:
    """A running meter, with nothing else open."""
    usage.end()
    made = usage.begin()
    yield made
    usage.end()


def burn(seconds: float) -> None:
    """Use a core."""
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def busy_child() -> subprocess.Popen[bytes]:
    """A child that has burnt its time and lives."""
    child = subprocess.Popen([sys.executable, "-S", "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"done\n"
    return child


def let_go(child: subprocess.Popen[bytes]) -> None:
    """End a child and collect it."""
    child.communicate()
    assert child.returncode == 0


def test_cpu_time_of_this_process_counts_from_the_beginning(meter: Meter) -> None:
    burn(0.1)
    first = meter.so_far()
    second = Meter()
    burn(0.02)
    assert first.cpu_seconds >= 0.1
    assert second.stop().cpu_seconds < 0.1
    assert first.wall_seconds >= 0.1


def test_the_peak_is_of_memory_that_was_given_back_too_and_begins_anew_each_time(meter: Meter) -> None:
    before = meter.so_far().peak_memory_bytes
    held = bytearray(150 * MB)
    del held
    assert meter.stop().peak_memory_bytes > before + 100 * MB
    again = Meter()
    assert again.stop().peak_memory_bytes < before + 100 * MB


def test_bytes_of_files_count(meter: Meter, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(bytes(3 * MB))
    path.read_bytes()
    path.read_bytes()
    used = meter.so_far()
    assert used.written_bytes is not None
    assert 3 * MB <= used.written_bytes < 4 * MB
    assert used.read_bytes is not None
    assert 6 * MB <= used.read_bytes < 7 * MB


def test_a_child_that_lives_on_counts_and_once_only(meter: Meter) -> None:
    child = busy_child()
    alive = meter.so_far()
    let_go(child)
    collected = meter.so_far()
    for used in (alive, collected):
        # The kernel counts in hundredths of a second.
        assert 0.15 <= used.cpu_seconds < 0.4
        assert used.peak_memory_bytes > 90 * MB


def test_what_a_child_used_before_is_not_counted_again() -> None:
    child = busy_child()
    meter = Meter()
    idle = meter.stop()
    let_go(child)
    assert idle.cpu_seconds < 0.15


def test_a_short_lived_large_child_is_seen_by_the_kernel(meter: Meter) -> None:
    subprocess.run([sys.executable, "-S", "-c", "held = bytearray(250_000_000)"], check=True)
    assert meter.so_far().peak_memory_bytes > 250 * MB


def test_grandchildren_are_found(meter: Meter) -> None:
    script = "import subprocess, sys; subprocess.run(['sleep', '30'])"
    child = subprocess.Popen([sys.executable, "-S", "-c", script])
    try:
        deadline = time.monotonic() + 10
        while len(usage.descendants()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        for pid in reversed(usage.descendants()):
            os.kill(int(pid), 9)
        child.wait()


def test_what_was_used_elsewhere_is_added_and_its_peak_is_the_stages(meter: Meter) -> None:
    usage.add_elsewhere(ELSEWHERE)
    used = meter.so_far()
    assert 5.0 <= used.cpu_seconds < 5.5
    assert used.peak_memory_bytes == ELSEWHERE.peak_memory_bytes
    assert used.read_bytes is not None
    assert used.read_bytes >= 40 * MB
    assert used.wall_seconds < 9.0


def test_nobody_minds_what_was_used_elsewhere_when_nothing_is_measured() -> None:
    usage.end()
    usage.add_elsewhere(ELSEWHERE)
    assert usage.begin().so_far().cpu_seconds < 5.0
    usage.end()


def test_a_stage_uses_the_meter_of_its_step_and_leaves_it_running(meter: Meter) -> None:
    with usage.metered() as found:
        assert found is meter
    usage.add_elsewhere(ELSEWHERE)
    assert meter.so_far().cpu_seconds >= 5.0


def test_outside_a_step_a_stage_has_a_meter_of_its_own_that_ends_with_it_whatever_happens() -> None:
    usage.end()
    with pytest.raises(KeyboardInterrupt), usage.metered() as own:
        raise KeyboardInterrupt
    assert usage.end() is None
    with usage.metered() as other:
        assert other is not own


def test_where_the_system_tells_nothing_of_processes_time_is_measured_still(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(usage, "_read", missing)
    monkeypatch.setattr(usage, "_reset_peak", lambda: False)
    meter = Meter()
    burn(0.05)
    used = meter.stop()
    assert used.cpu_seconds >= 0.05
    assert used.read_bytes is None
    assert used.written_bytes is None
    assert set(used.as_metadata()) == {"seconds", "cpu_seconds", "peak_memory_mb"}


def test_metadata_is_in_the_units_that_people_read() -> None:
    entries = Used(1.23456, 0.5, 123_456_789, 2_500_000, 0).as_metadata()
    assert entries == {
        "seconds": 1.235,
        "cpu_seconds": 0.5,
        "peak_memory_mb": 123.5,
        "read_mb": 2.5,
        "written_mb": 0.0,
    }
