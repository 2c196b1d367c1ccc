"""Stages that are forked from a server with the libraries imported are as well kept apart as those started cold."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.sandbox import values
from mlops_assets.sandbox.isolation import isolation
from mlops_assets.sandbox.warm import Warm, WarmServer
from tests.integration.sandboxed import LIMITS, Stages, left_behind


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("warm")
    folder.chmod(0o700)
    path = folder / "socket"
    with WarmServer(path, preload=("numpy", "pandas", "no_such_library")) as running:
        stages = Stages(folder, starter=Warm(path))
        while stages.run("import sys\ndef run(): return 'pandas' in sys.modules").status != "completed":
            time.sleep(0.1)
        yield path
        assert running.is_alive


@pytest.fixture
def stages(server: Path, tmp_path: Path) -> Stages:
    return Stages(tmp_path, starter=Warm(server))


def returned(stages: Stages, source: str, **fields: Any) -> Any:
    outcome = stages.run(source, **fields)
    assert outcome.result is not None, outcome.error
    return values.load(outcome.result)


IS_WARM = "import sys\ndef run(): return 'pandas' in sys.modules"


def test_libraries_are_there_already(stages: Stages) -> None:
    deadline = time.monotonic() + 60
    while not returned(stages, IS_WARM):
        assert time.monotonic() < deadline
    assert stages.run("import pandas as pd\ndef run(): return pd.DataFrame({'x': [1]})").status == "completed"


def test_it_is_isolated_as_well(stages: Stages) -> None:
    source = """
        import os
        def run():
            status = open("/proc/self/status").read()
            return [os.getuid(), os.getpid(), status, dict(os.environ), sorted(os.listdir("/proc/self/fd"))]
        """
    user, pid, status, environment, descriptors = returned(stages, source)
    assert (user != os.geteuid()) == isolation().unprivileged_user
    assert (pid < 10) == isolation().namespaces
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert set(environment) == {"PATH", "LANG", "TZ", "HOME", "TMPDIR"}
    assert len(descriptors) <= 5


def test_stages_share_no_randomness(stages: Stages) -> None:
    source = "import numpy, random\ndef run(): return [numpy.random.random(), random.random()]"
    first, second = returned(stages, source), returned(stages, source)
    assert first[0] != second[0]
    assert first[1] != second[1]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("while True: pass", "killed_cpu"),
        ("import time; time.sleep(60)", "timed_out"),
        ("kept = [bytearray(9_000_000) for _ in range(200)]; import time; time.sleep(9)", "killed_memory"),
        ("open('x', 'wb').write(bytes(60_000_000))", "output_too_large"),
        ("import ctypes; ctypes.string_at(0)", "failed"),
        ("return lambda: 1", "unstorable"),
    ],
)
def test_limits_hold(body: str, status: str, stages: Stages) -> None:
    limits = replace(LIMITS, cpu_seconds=2, wall_seconds=4)
    assert stages.run(f"def run():\n    {body}", limits=limits).status == status
    assert left_behind(stages.folder) == []


def test_arguments_go_in_and_stages_run_side_by_side(stages: Stages, server: Path, tmp_path: Path) -> None:
    table = stages.run("import pandas as pd\ndef run(): return pd.DataFrame({'x': range(10)})").result
    assert table is not None

    def one(number: int) -> object:
        folder = tmp_path / f"side_{number}"
        folder.mkdir()
        own = Stages(folder, starter=Warm(server))
        source = f"def run(prepare): return int(prepare['x'].sum()) + {number}"
        return returned(own, source, stage="add", arguments={"prepare": table})

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(8))) == [45 + number for number in range(8)]


def test_cancel_reaches_it(stages: Stages) -> None:
    asked = threading.Event()
    source = "import time\ndef run():\n    print(1)\n    time.sleep(60)"
    threading.Timer(0.3, asked.set).start()
    assert stages.run(source, cancelled=asked.is_set).status == "cancelled"


def test_a_stage_ends_when_the_platform_is_killed(stages: Stages, server: Path) -> None:
    marker = f"MARK{uuid.uuid4().hex}"
    order = stages.order(None, function="m:f")
    program = f"""
from pathlib import Path
from typing import Any
from mlops_assets.sandbox.order import StageOrder
from mlops_assets.sandbox.run import run_stage
from mlops_assets.sandbox.warm import Warm
source = "import os\\ndef run():\\n    print(1)\\n    os.system('sleep 60; : {marker}')"
run_stage(StageOrder(stage="s", folder=Path({str(order.folder)!r}), source=source), starter=Warm(Path({str(server)!r})),
          heard=lambda _: print("started", flush=True), cancelled=lambda: False)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as platform:
        assert platform.stdout is not None
        assert platform.stdout.readline() == b"started\n"
        assert left_behind(marker)
        platform.kill()
    deadline = time.monotonic() + 20
    while left_behind(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_behind(marker) == []


def test_without_a_server_or_with_another_interpreter_it_starts_cold(stages: Stages, tmp_path: Path) -> None:
    (tmp_path / "cold").mkdir()
    gone = Stages(tmp_path / "cold", starter=Warm(tmp_path / "gone"))
    assert returned(gone, IS_WARM) is False
    python = Path(sys.executable).parent / ".." / "bin" / Path(sys.executable).name
    assert returned(stages, IS_WARM, python=python) is False


def test_a_killed_server_costs_only_time(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "socket"
    with WarmServer(path, preload=()) as running:
        assert running._process is not None
        running._process.kill()
        running._process.wait()
        assert not running.is_alive
        assert returned(Stages(tmp_path, starter=Warm(path)), "def run(): return 1") == 1


def test_its_socket_must_be_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ValueError, match="0700"), WarmServer(tmp_path / "socket"):
        pass
