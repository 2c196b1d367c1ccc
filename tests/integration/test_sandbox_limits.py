"""Stages that loop, fork, eat memory, fill disks and flood the log: each is held, told why, and nothing of it stays.

What a machine can't prevent is told by `isolation()`; the tests ask for no more than that.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets.sandbox.collect import remove_folder
from mlops_assets.sandbox.isolation import isolation
from mlops_assets.sandbox.order import StageOutcome
from tests.integration.sandboxed import LIMITS, Stages, left_behind


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Stages]:
    """Stages of which nothing may run when the test is over."""
    made = Stages(tmp_path)
    yield made
    assert left_behind(tmp_path) == []
    # Folders nested too deep for Python's own removal would break every later test run on the machine.
    for folder in made.folders:
        remove_folder(folder)


def text_of(outcome: StageOutcome) -> str:
    assert outcome.result is not None, outcome.error
    assert outcome.result.path is not None
    return outcome.result.path.read_text()


def test_a_loop_ends_at_the_limit_of_time(stages: Stages) -> None:
    source = "def run(context):\n    context.artifact('before', 1)\n    while True: pass"
    outcome = stages.run(source, limits=replace(LIMITS, wall_seconds=1))
    assert outcome.status == "timed_out"
    assert outcome.error is not None
    assert "1 s" in outcome.error.message
    assert [a.name for a in outcome.artifacts] == ["before"]


def test_a_stage_that_ignores_signals_ends_too(stages: Stages) -> None:
    source = """
        import signal, time
        def run():
            for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            while True: time.sleep(1)
        """
    assert stages.run(source, limits=replace(LIMITS, wall_seconds=1)).status == "timed_out"


@pytest.mark.parametrize("start", ["spin()", "signal.signal(signal.SIGXCPU, signal.SIG_IGN); spin()", "forks()"])
def test_cpu_time_is_limited_for_all_processes_together(start: str, stages: Stages) -> None:
    source = f"""
        import os, signal
        def spin():
            while True: pass
        def forks():
            for _ in range(3): os.fork()
            spin()
        def run():
            {start}
        """
    outcome = stages.run(source, limits=replace(LIMITS, cpu_seconds=1))
    assert outcome.status == "killed_cpu"
    assert outcome.cpu_seconds >= 1


def test_a_fork_bomb_is_bounded_and_ended(stages: Stages) -> None:
    source = """
        import os
        def run():
            while True:
                try: os.fork()
                except OSError: pass
        """
    outcome = stages.run(source, limits=replace(LIMITS, wall_seconds=3, processes=30))
    assert outcome.status in ("timed_out", "killed_cpu", "failed")


def test_a_fork_bomb_that_starts_anew_leaves_nothing(stages: Stages) -> None:
    source = """
        import os
        def run():
            for _ in range(20):
                try: pid = os.fork()
                except OSError: continue
                if pid == 0:
                    os.setsid()
                    if os.fork(): os._exit(0)
                    while True: pass
            return 1
        """
    assert stages.run(source).status in ("completed", "killed_cpu", "failed")


@pytest.mark.parametrize(
    "eat",
    [
        "kept = [bytearray(10_000_000) for _ in range(1000)]",
        "kept = bytearray(50_000_000_000)",
        "import os; [os.fork() for _ in range(3)]; kept = [bytearray(10_000_000) for _ in range(1000)]",
        "import mmap; kept = mmap.mmap(-1, 3_000_000_000); [kept.write(b'x' * 10_000_000) for _ in range(300)]",
    ],
)
def test_memory_is_limited_for_all_processes_together(eat: str, stages: Stages) -> None:
    outcome = stages.run(f"def run():\n    {eat}\n    import time; time.sleep(9)")
    assert outcome.status == "killed_memory"
    assert outcome.error is not None
    assert outcome.peak_memory_bytes < 3e9


def test_memory_outside_of_processes_is_limited_too(stages: Stages) -> None:
    if not isolation().namespaces:
        pytest.skip("shared memory is the machine's here; isolation() says so")
    source = """
        import os
        def run():
            try:
                os.memfd_create("x")
            except OSError as error:
                print("memfd", error.errno)
            with open("/dev/shm/x", "wb") as file:
                while True: file.write(b"x" * 10_000_000)
        """
    limits = replace(LIMITS, output_mb=10_000)
    assert stages.run(source, limits=limits).status in ("killed_memory", "failed")
    assert "memfd" in stages.log[0]


@pytest.mark.parametrize(
    "fill",
    [
        "with open('x', 'wb') as f:\n        while True: f.write(b'x' * 1_000_000)",
        "for i in range(10_000):\n        open(f'x{i}', 'wb').write(b'x' * 100_000)",
        "import tempfile\n    kept = []\n    while True:\n        kept.append(tempfile.TemporaryFile())\n"
        "        kept[-1].write(b'x' * 5_000_000); kept[-1].flush()",
        "import os\n    for i in range(10**6): os.mkdir(f'd{i}')",
        "import os\n    for i in range(10**4):\n        os.mkdir('d' * 250); os.chdir('d' * 250)\n"
        "    import time; time.sleep(20)",
        "return b'x' * 60_000_000",
    ],
    ids=["one file", "many files", "deleted files", "folders", "too deep", "the result"],
)
def test_what_is_written_is_limited(fill: str, stages: Stages) -> None:
    assert stages.run(f"def run():\n    {fill}").status == "output_too_large"


def test_other_places_cannot_be_filled(stages: Stages, tmp_path: Path) -> None:
    if not isolation().namespaces:
        pytest.skip("what every user may write, a stage may here; isolation() says so")
    name = f"filler-{uuid.uuid4().hex}"
    places = ["/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/", "/etc", "/usr", sys.prefix, str(Path.home())]
    outcome = stages.run(
        f"""
        def run():
            done = []
            for place in {places!r}:
                try:
                    open(place + "/{name}", "w").write("x")
                    done.append(place)
                except OSError:
                    pass
            return done
        """
    )
    assert text_of(outcome) == '["/tmp", "/var/tmp", "/dev/shm"]'
    assert [place for place in places if os.path.exists(f"{place}/{name}")] == []


def test_a_flood_of_log_is_cut_and_the_stage_goes_on(stages: Stages) -> None:
    outcome = stages.run("def run():\n    for _ in range(50): print('x' * 999_999)\n    return 'done'")
    assert text_of(outcome) == '"done"'
    assert sum(map(len, stages.log)) < 1_100_000
    assert "cut after 1 MB" in stages.log[-2]
    assert "dropped" in stages.log[-1]
