"""Airflow 3 standalone, beside which pipelines are measured: installed into its own folder, run on loopback.

`python -m tests.benchmarks.airflow_peer` installs it and runs the two-stage DAG once. Add here what Airflow needs to be
measured as its users run it: its defaults of `airflow standalone`, but without the example DAGs. Keep out what is
measured. Airflow is never a dependency of the project.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import psutil

from tests.servers import child_environment, free_port, wait_until

VERSION = "3.3.2"
DAG = "two_stage"
DAG_FILE = Path(__file__).with_name("airflow_two_stage.py")
FOLDER = Path(tempfile.gettempdir()) / "mlops-benchmarks" / f"airflow-{VERSION}"
# Its own list of versions that fit together, for `--airflow-constraints`.
OFFICIAL = "https://raw.githubusercontent.com/apache/airflow/constraints-{version}/constraints-{python}.txt"
SAME = ("pandas", "scikit-learn")
INSTALL_SECONDS, START_SECONDS, STOP_SECONDS = 1800.0, 240.0, 30.0
FINAL = {"success", "failed"}


def official_constraints() -> str:
    """The address of Airflow's own constraints for this Python."""
    return OFFICIAL.format(version=VERSION, python=f"{sys.version_info[0]}.{sys.version_info[1]}")


def installed(folder: Path = FOLDER, constraints: str | None = None) -> dict[str, Any]:
    """Install Airflow with the pandas and scikit-learn of this environment, compiled; what was installed.

    A folder where that was done before is used as it is.

    AssertionError, subprocess.TimeoutExpired: it can't be installed.
    """
    wanted = [f"apache-airflow=={VERSION}", *(f"{name}=={version(name)}" for name in SAME)]
    about = {"requirements": wanted, "constraints": constraints}
    done, python = folder / "installed.json", folder / "bin" / "python"
    if not done.exists() or json.loads(done.read_text())["asked"] != about:
        done.unlink(missing_ok=True)
        limit = ["-c", constraints] if constraints else []
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", *limit, *wanted)
        _run(str(python), "-m", "compileall", "-q", "-j", "0", str(folder / "lib"), may_fail=True)
        frozen = _run(str(python), "-m", "pip", "freeze").splitlines()
        done.write_text(json.dumps({"asked": about, "packages": frozen}))
    found = json.loads(done.read_text())
    sqlalchemy = next((line for line in found["packages"] if line.lower().startswith("sqlalchemy==")), "")
    return {"version": VERSION, "constraints": constraints or "none", "packages": len(found["packages"]),
            "sqlalchemy": sqlalchemy.partition("==")[2]}  # fmt: skip


def _run(*command: str, may_fail: bool = False) -> str:
    # Some packages ship files that no Python of today compiles.
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=INSTALL_SECONDS)
    assert may_fail or done.returncode == 0, f"{command[:4]} ended with {done.returncode}:\n{done.stderr[-3000:]}"
    return done.stdout


class Airflow:
    """`airflow standalone` with the two-stage DAG, until the end of the `with`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def __enter__(self) -> Airflow:
        self.home = Path(tempfile.mkdtemp(prefix="airflow-"))
        self._url = f"http://127.0.0.1:{(port := free_port())}"
        (self.home / "dags").mkdir()
        shutil.copy(DAG_FILE, self.home / "dags" / "two_stage.py")
        began = time.monotonic()
        with (self.home / "standalone.log").open("wb") as output:
            self._process = subprocess.Popen(
                [str(self._folder / "bin" / "airflow"), "standalone"],
                cwd=self.home,
                env=self._environment(port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._client = httpx.Client(base_url=self._url, timeout=30)
        try:
            self._wait("its web server", lambda: self._client.get("/api/v2/version").is_success)
            self._sign_in()
            self._wait("the DAG", lambda: self._client.get(f"/api/v2/dags/{DAG}").is_success)
            self._ask("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": False})
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.boot_seconds = time.monotonic() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self._stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def trigger(self) -> str:
        """Start a run over the REST API; its id."""
        run_id: str = self._ask("POST", f"/api/v2/dags/{DAG}/dagRuns", {"logical_date": None})["dag_run_id"]
        return run_id

    def state(self, run_id: str) -> str:
        """Where a run is; one of `FINAL` at its end."""
        state: str = self._ask("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}")["state"]
        return state

    def resident_megabytes(self) -> float:
        """Memory of all its processes, shared pages counted once for each."""
        family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        return sum(process.memory_info().rss for process in family if process.is_running()) / 1e6

    def _environment(self, port: int) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MLOPS_"))}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return kept | {
            "PATH": f"{self._folder / 'bin'}:{os.environ.get('PATH', '')}",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self._url,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def _sign_in(self) -> None:
        file = self.home / "simple_auth_manager_passwords.json.generated"
        self._wait("its password file", file.exists)
        ((name, password),) = json.loads(file.read_text()).items()
        given = self._ask("POST", "/auth/token", {"username": name, "password": password})
        self._client.headers["Authorization"] = f"Bearer {given['access_token']}"

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = self._client.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        def answered() -> bool:
            assert self._process.poll() is None, f"Airflow ended:\n{self._log()}"
            try:
                return ready()
            except httpx.TransportError:
                return False

        wait_until(answered, START_SECONDS, lambda: f"waited in vain for {what} of Airflow:\n{self._log()}")

    def _log(self) -> str:
        return (self.home / "standalone.log").read_text(errors="replace")[-4000:]

    def _stop(self) -> None:
        """End it as Ctrl-C does, then whatever of it is left."""
        family: list[psutil.Process] = []
        if psutil.pid_exists(self._process.pid):
            family = psutil.Process(self._process.pid).children(recursive=True)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)
        for left in psutil.wait_procs(family, timeout=5)[1]:
            left.kill()  # of the very process that was started: psutil compares the time of its start


def main() -> None:
    """Install, run once, print."""
    print(installed())
    with Airflow() as airflow:
        began = time.monotonic()
        run_id = airflow.trigger()
        wait_until(lambda: airflow.state(run_id) in FINAL, 120)
        taken = time.monotonic() - began
        print(f"started in {airflow.boot_seconds:.0f} s; the first run: {airflow.state(run_id)} after {taken:.2f} s")


if __name__ == "__main__":
    main()
