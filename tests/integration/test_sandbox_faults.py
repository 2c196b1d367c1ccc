"""Stages that kill, pry, hide, forge and outstay: they harm themselves only, and nothing of them stays.

What a machine can't prevent is told by `isolation()`; the tests ask for no more than that.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.sandbox import users
from mlops_assets.sandbox.collect import remove_folder
from mlops_assets.sandbox.isolation import isolation
from mlops_assets.sandbox.order import StageOutcome
from mlops_assets.sandbox.run import run_stage
from tests.integration.sandboxed import Stages, left_behind


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


@pytest.mark.parametrize(
    "attack",
    ["os.kill(os.getppid(), 9)", "os.kill(-1, 9)", "os.kill(1, 9)", "os.killpg(0, 9)", "os.kill({parent}, 9)"],
)
def test_neither_the_platform_nor_the_watcher_can_be_killed(attack: str, stages: Stages) -> None:
    if not (isolation().namespaces or isolation().unprivileged_user):
        pytest.skip("a stage has the platform's rights here; isolation() says so")
    source = f"""
        import os
        def run():
            try:
                {attack.format(parent=os.getpid())}
            except OSError as error:
                print(error)
            return "alive"
        """
    outcome = stages.run(source)
    assert outcome.status == "completed" or "SIGKILL" in str(outcome.error)
    assert outcome.exit_code is not None


def test_the_log_and_the_files_of_the_platform_cannot_be_reached(stages: Stages, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("top secret")
    secret.chmod(0o600)
    other = stages.order("def run(): ...", stage="other")
    (other.folder / "private").write_text("theirs")
    outcome = stages.run(
        f"""
        import os, pathlib
        def run():
            seen = []
            for path in [{str(secret)!r}, {str(other.folder / "private")!r}, "/etc/shadow", "/proc/1/environ",
                         "/proc/1/mem", "/proc/kcore", "/proc/{os.getpid()}/environ"]:
                try:
                    with open(path, "rb") as file: file.read(10)
                    seen.append(path)
                except OSError: pass
            fds = [os.readlink(f"/proc/self/fd/{{n}}") for n in os.listdir("/proc/self/fd") if n not in "012"
                   and os.path.exists(f"/proc/self/fd/{{n}}")]
            return [seen, [f for f in fds if not f.startswith(("pipe", "/proc"))]]
        """
    )
    assert text_of(outcome) == "[[], []]"


def test_two_stages_at_once_cannot_touch_each_other(stages: Stages) -> None:
    if not (isolation().namespaces or isolation().unprivileged_user):
        pytest.skip("a stage has the platform's rights here; isolation() says so")
    ready, done = threading.Event(), threading.Event()
    order = stages.order(
        "import time\ndef run():\n    open('mine', 'w').write('x')\n    print('ready')\n    time.sleep(60)"
    )
    outcomes: list[StageOutcome] = []

    def victim() -> None:
        outcomes.append(run_stage(order, heard=lambda _: ready.set(), cancelled=done))

    thread = threading.Thread(target=victim)
    thread.start()
    try:
        assert ready.wait(30)
        attacker = stages.run(
            f"""
            import os
            def run():
                found = []
                for path in [{str(order.folder)!r}, {str(order.folder / "work" / "mine")!r}]:
                    try: os.stat(path + "/mine" if os.path.isdir(path) else path); found.append(path)
                    except OSError: pass
                for pid in range(2, 100_000):
                    if pid != os.getpid():
                        try: os.kill(pid, 9); found.append(pid)
                        except OSError: pass
                return found
            """
        )
        assert text_of(attacker) == "[]"
        assert not outcomes
    finally:
        done.set()
        thread.join(30)
    assert [o.status for o in outcomes] == ["cancelled"]


def test_nothing_outlives_its_stage(stages: Stages) -> None:
    marker = f"MARK{uuid.uuid4().hex}"
    source = f"""
        import os, subprocess, time
        def run():
            deaf = "trap '' HUP TERM INT; while :; do sleep 1; done"
            subprocess.Popen(["sh", "-c", deaf, "{marker}"], start_new_session=True)
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    for fd in range(100):
                        try: os.close(fd)
                        except OSError: pass
                    while True: time.sleep(1)
                os._exit(0)
            return "done"
        """
    outcome = stages.run(source, environment={"MARK": marker})
    assert text_of(outcome) == '"done"'
    assert left_behind(marker) == []


def test_results_replaced_by_links_or_pipes_are_not_followed(stages: Stages) -> None:
    forge = """
        import json, os
        def run(context):
            home = os.path.dirname(context._folder)
            os.rmdir(home + "/result") if {folder} else None
            {make}
            tell = context._channel.tell
            tell("completed", value=dict(format="bytes", file="value.bin", type_name="x", preview={{}}))
            os._exit(0)
        """
    for folder, make in (
        (False, "os.symlink('/etc/shadow', home + '/result/value.bin')"),
        (False, "os.mkfifo(home + '/result/value.bin')"),
        (True, "os.symlink('/etc', home + '/result')"),
        (False, "pass"),
    ):
        outcome = stages.run(forge.format(folder=folder, make=make))
        assert (outcome.status, outcome.result) == ("failed", None)


@pytest.mark.parametrize(
    "tell",
    [
        "os.write(fd, b'\\xff' * 100_000)",
        "os.write(fd, b'[' * 100_000 + b'\\n')",
        'os.write(fd, b\'[1]\\n5\\nnull\\n{"kind": [], "value": 1}\\n\')',
        'os.write(fd, b\'{"kind": "failed", "status": [], "error": 5}\\n\')',
        'os.write(fd, b\'{"kind": "completed", "value": {"format": {}}}\\n\')',
        'os.write(fd, b\'{"kind": "artifact", "name": {}}\\n\')',
        "[os.write(fd, b'x' * 100_000) for _ in range(400)]",
    ],
)
def test_nonsense_told_to_the_platform_fails_the_stage_only(tell: str, stages: Stages) -> None:
    source = f"import os\ndef run(context):\n    fd = context._channel._descriptor\n    {tell}\n    os._exit(0)"
    assert stages.run(source).status == "failed"


def test_cancel_at_any_moment_leaves_nothing(stages: Stages) -> None:
    moments, marker = random.Random(7), f"MARK{uuid.uuid4().hex}"
    source = "import subprocess, time\ndef run():\n    subprocess.Popen(['sleep', '60'])\n    time.sleep(60)"
    for _ in range(12):
        asked = threading.Timer(moments.uniform(0, 0.3), (cancelled := threading.Event()).set)
        asked.start()
        outcome = stages.run(source, cancelled=cancelled.is_set, environment={"MARK": marker})
        assert outcome.status == "cancelled"
    assert left_behind(marker) == []


def test_a_stage_that_ended_before_the_cancel_was_seen_stays_completed(stages: Stages) -> None:
    assert stages.run("def run(): return 1", cancelled=lambda: False).status == "completed"


def test_a_stage_ends_when_the_platform_is_killed(stages: Stages, tmp_path: Path) -> None:
    marker = f"MARK{uuid.uuid4().hex}"
    order = stages.order(None, function="m:f")
    program = f"""
from pathlib import Path
from mlops_assets.sandbox.order import StageOrder
from mlops_assets.sandbox.run import run_stage
source = "import os\\ndef run():\\n    print(1)\\n    os.system('sleep 60; : {marker}')"
run_stage(StageOrder(stage="s", folder=Path({str(order.folder)!r}), source=source),
          heard=lambda _: print("started", flush=True), cancelled=lambda: False)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as platform:
        assert platform.stdout is not None
        assert platform.stdout.readline() == b"started\n"
        platform.kill()
    deadline = time.monotonic() + 20
    while left_behind(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_behind(marker) == []


def test_users_are_never_shared_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "LAST", users.FIRST + 1)
    locks = tmp_path / "locks"
    with users.leased(locks) as first, users.leased(locks) as second:
        assert {first.user, second.user} == {users.FIRST, users.LAST}
        with pytest.raises(users.NoUserFreeError), users.leased(locks):
            pass
    with users.leased(locks):
        pass
    locks.chmod(0o755)
    with pytest.raises(PermissionError), users.leased(locks):
        pass
