"""The weaker ways to isolate a stage still end it whole, hold it to its limits, and tell what they lack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import mlops_assets.sandbox
from mlops_assets.sandbox.isolation import Isolation, IsolationError
from mlops_assets.sandbox.run import run_stage
from tests.integration.sandboxed import LIMITS, Stages, left_behind

# One that every user may run: the tests' own may be in the home of root.
PYTHON = Path("/usr/bin/python3")
NOBODY = 65_534
USER_ONLY = Isolation(unprivileged_user=True, namespaces=False, user_namespace=False)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
needs_python = pytest.mark.skipif(
    subprocess.run([PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode != 0
    if PYTHON.exists()
    else True,
    reason="no interpreter of the system's",
)

DAEMON = """
import os, time
def run():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: time.sleep(1)
        os._exit(0)
    {then}
    return os.getuid()
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="mlops-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@needs_root
@needs_python
@pytest.mark.parametrize(
    ("then", "status"),
    [
        ("pass", "completed"),
        ("while True: time.sleep(1)", "timed_out"),
        ("for _ in range(4): os.fork()\n    while True: pass", "killed_cpu"),
        ("kept = [bytearray(9_000_000) for _ in range(200)]; time.sleep(9)", "killed_memory"),
        ("kept = open('x', 'wb').write(bytes(60_000_000))", "output_too_large"),
        ("os.kill(-1, 9)", "completed"),
    ],
)
def test_a_user_of_its_own_without_namespaces(then: str, status: str, open_folder: Path) -> None:
    stages = Stages(open_folder, within=USER_ONLY)
    limits = replace(LIMITS, wall_seconds=4, cpu_seconds=2)
    outcome = stages.run(DAEMON.format(then=then), python=PYTHON, limits=limits)
    assert outcome.status == status
    assert left_behind(open_folder) == []


@needs_root
@needs_python
def test_a_user_of_its_own_reaches_neither_secrets_nor_other_runs(open_folder: Path) -> None:
    stages = Stages(open_folder, within=USER_ONLY)
    secret = open_folder / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    other = stages.order("def run(): ...", stage="other")
    source = f"""
        import os
        def run():
            seen = []
            for attempt in (lambda: open({str(secret)!r}), lambda: os.listdir({str(other.folder)!r}),
                            lambda: os.kill({os.getpid()}, 9), lambda: os.kill(os.getppid(), 9)):
                try: seen.append(str(attempt()))
                except PermissionError: pass
            return seen
        """
    outcome = stages.run(source, python=PYTHON)
    assert outcome.result is not None, outcome.error
    assert outcome.result.path is not None
    assert outcome.result.path.read_text() == "[]"


@needs_root
def test_an_interpreter_that_the_user_cannot_reach_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "private"
    home.mkdir(mode=0o700)
    python = home / "bin" / "python"
    python.parent.mkdir()
    (home / "pyvenv.cfg").write_text("home = /usr/bin\n")
    shutil.copy(PYTHON.resolve(), python)
    order = Stages(tmp_path).order("def run(): ...", python=python)
    with pytest.raises((IsolationError, OSError)):
        run_stage(order, heard=lambda _: None, cancelled=lambda: False, within=USER_ONLY)


@needs_root
@needs_python
def test_without_namespaces_too_nothing_outlives_the_platform(open_folder: Path) -> None:
    order = Stages(open_folder).order(None, function="m:f")
    daemon = DAEMON.format(then="print('up'); time.sleep(60)")
    program = f"""
from pathlib import Path
from mlops_assets.sandbox.isolation import Isolation
from mlops_assets.sandbox.order import StageOrder
from mlops_assets.sandbox.run import run_stage
order = StageOrder(stage="s", folder=Path({str(order.folder)!r}), source={daemon!r}, python=Path({str(PYTHON)!r}))
run_stage(order, heard=lambda _: print("started", flush=True), cancelled=lambda: False, within={USER_ONLY!r})
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as platform:
        assert platform.stdout is not None
        assert platform.stdout.readline() == b"started\n"
        assert left_behind(order.folder)
        platform.kill()
    deadline = time.monotonic() + 20
    while left_behind(order.folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_behind(open_folder) == []


@needs_root
@needs_python
def test_a_broken_listener_leaves_nothing_either(open_folder: Path) -> None:
    order = Stages(open_folder).order(DAEMON.format(then="print('up'); time.sleep(60)"), python=PYTHON)

    def broken(_: object) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run_stage(order, heard=broken, cancelled=lambda: False, within=USER_ONLY)
    assert left_behind(open_folder) == []


DRIVER = """
import json, os, sys, tempfile
from pathlib import Path
from mlops_assets.sandbox.isolation import Isolation, isolation
from mlops_assets.sandbox.order import Limits, StageOrder
from mlops_assets.sandbox.run import run_stage

namespaces = sys.argv[1] == "namespaces"
way = Isolation(False, namespaces, namespaces)
limits = Limits(memory_mb=600, cpu_seconds=2, wall_seconds=4, output_mb=50, log_mb=1, processes=20)
told = {"found": isolation().namespaces, "missing": list(isolation().missing)}
for name, source in json.load(sys.stdin).items():
    folder = Path(tempfile.mkdtemp(dir=sys.argv[2]))
    order = StageOrder(stage="s", folder=folder, source=source, limits=limits, environment={"MARK": sys.argv[3]})
    outcome = run_stage(order, heard=lambda _: None, cancelled=lambda: False, within=way)
    result = outcome.result.path.read_text() if outcome.result and outcome.result.path else None
    told[name] = [outcome.status, result, str(outcome.error)]
print(json.dumps(told))
"""
OF_ANYBODY = {
    "usual": DAEMON.format(then="pass"),
    "endless": DAEMON.format(then="while True: time.sleep(1)"),
    "spinning": DAEMON.format(then="os.fork()\n    while True: pass"),
    "memory": "def run():\n    kept = [bytearray(9_000_000) for _ in range(200)]\n    import time; time.sleep(9)",
    "forks": "import os, time\ndef run():\n    for _ in range(200):\n        if os.fork() == 0: time.sleep(60)\n"
    "    time.sleep(60)",
    "rights": "def run(): return [l for l in open('/proc/self/status') if l[:6] in ('CapEff', 'CapBnd')]",
    "seen": "import os\ndef run(): return [sum(n.isdecimal() for n in os.listdir('/proc')), os.listdir('/')]",
}


@needs_root
@needs_python
@pytest.mark.parametrize("way", ["namespaces", "limits only"])
def test_who_is_not_root_still_holds_a_stage(way: str, open_folder: Path) -> None:
    package = open_folder / "code" / "mlops_assets"
    shutil.copytree(Path(mlops_assets.sandbox.__file__).parent, package / "sandbox")
    (package / "__init__.py").touch()
    work = open_folder / "work"
    work.mkdir()
    os.chown(work, NOBODY, NOBODY)
    marker = f"MARK{uuid.uuid4().hex}"
    done = subprocess.run(
        [PYTHON, "-c", DRIVER, way, work, marker],
        input=json.dumps(OF_ANYBODY),
        env={"PYTHONPATH": str(open_folder / "code"), "PYTHONDONTWRITEBYTECODE": "1"},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd=open_folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if way == "namespaces" and "isn't allowed here" in done.stderr:
        pytest.skip("users can't have namespaces of their own here")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["usual"][:2] == ["completed", str(NOBODY)]
    assert told["endless"][0] == "timed_out"
    assert told["spinning"][0] == "killed_cpu"
    assert told["memory"][0] == "killed_memory"
    assert told["forks"][0] == "failed"
    assert "CapEff:\\t0000000000000000" in told["rights"][1]
    assert told["missing"]
    if way == "namespaces":
        processes, shown = json.loads(told["seen"][1])
        assert processes == 2
        assert "home" not in shown
    assert left_behind(marker) == []
