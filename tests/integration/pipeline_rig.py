"""The part of an installation that declared pipelines need, for tests.

Add here what starts, stops or asks one of these processes. Keep out what is tested. The programs are those that an
installation runs, with its own settings; each is ended by the process id that it was started with.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from mlops_assets.installation import ports, postgres, schema
from mlops_assets.installation.programs import Program, platform_programs, rollout_programs
from mlops_assets.installation.up import prepare_home
from mlops_assets.runs.client import ForkServerClient
from mlops_assets.sandbox.collect import remove_folder
from mlops_assets.settings import PROJECT, Settings
from tests.e2e.installation import free_offset
from tests.servers import child_environment, wait_until

BUSY_SECONDS = 30.0
FINAL = {"COMPLETED", "FAILED", "CANCELLED"}
PROGRAMS = ("pipelines", "runs", "stages", "daemon", "api")


class PipelineRig:
    """The programs named at work, until the end of the `with`. `settings` are more of MLOPS_* in lower case."""

    def __init__(self, *, programs: Sequence[str] = PROGRAMS, **settings: Any) -> None:
        self._wanted, self._more = programs, settings
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> PipelineRig:
        self._stack = ExitStack()
        self.home = Path(tempfile.mkdtemp(prefix="pipelines-"))
        self.home.chmod(0o755)
        self._stack.callback(remove_folder, self.home)
        try:
            self.settings = Settings(home=self.home, port_offset=free_offset(self.home), **self._more)
            prepare_home(self.settings)
            postgres.prepare(self.settings)
            self._stack.callback(self._stop_all)
            self.start("postgres")
            schema.migrate(self.settings)
            for name in self._wanted:
                self.start(name)
            self.token = (self.settings.secrets / "operator_token").read_text().strip()
        except BaseException as error:
            self._explain(error)
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._explain(error)
        self._stack.close()

    # -- processes

    def start(self, name: str) -> None:
        """Start a program and wait until it is ready."""
        program = self._program(name)
        with (self.settings.logs / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                program.command,
                cwd=PROJECT if program.user is None else "/",
                env=child_environment(self.environment | program.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **postgres.as_user(program.user),
            )
        wait_until(lambda: self._is_ready(name, program), 60, lambda: f"{name} isn't ready:\n{self.log(name)[-3000:]}")

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal a program and wait for its end."""
        process = self.processes.pop(name)
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def restart(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a program, by default without warning, and start it again."""
        self.stop(name, number)
        self.start(name)

    def log(self, name: str) -> str:
        """What a program has written so far."""
        return (self.settings.logs / f"{name}.log").read_text(errors="replace")

    @property
    def environment(self) -> dict[str, str]:
        """What every process of an installation is given."""
        given = {f"MLOPS_{name.upper()}": str(value) for name, value in self._more.items()}
        return given | self.settings.environment()

    def _program(self, name: str) -> Program:
        every = platform_programs(self.settings) + rollout_programs(self.settings, "")
        return next(program for program in every if program.name == name)

    def _is_ready(self, name: str, program: Program) -> bool:
        code = self.processes[name].poll()
        assert code is None, f"{name} ended with {code}:\n{self.log(name)[-3000:]}"
        if name == "postgres":
            schema.wait_for_database(self.settings)
            return True
        if name == "runs":
            ForkServerClient(str(self.settings.runs_socket)).wait_until_ready(60)
            return True
        if name == "stages":
            return self.settings.stages_socket.exists()
        return program.port is None or ports.answers(self.settings.host, program.port)

    def _stop_all(self) -> None:
        for name in reversed([name for name in self.processes if name != "postgres"]):
            self.stop(name)
        if "postgres" in self.processes:
            self.stop("postgres", signal.SIGINT)

    def _explain(self, error: BaseException) -> None:
        for path in sorted(self.home.glob("logs/*.log")) + sorted(self.home.glob("run/runs/*.log")):
            error.add_note(f"-- {path.name}\n{path.read_text(errors='replace')[-2500:]}")

    # -- asking the API

    @contextmanager
    def client(self, token: str | None = None) -> Iterator[httpx.Client]:
        """A client with the operators' token, or another one."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        with httpx.Client(base_url=f"{self.settings.api_url}/api/v1", headers=headers, timeout=30) as client:
            yield client

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """Ask, and fail unless it succeeds; the JSON of the answer. Asks again, as it is told to, after a 503."""
        give_up = time.monotonic() + BUSY_SECONDS
        with self.client() as client:
            answer = client.request(method, path, **given)
            while answer.status_code == 503 and time.monotonic() < give_up:
                time.sleep(0.2)
                answer = client.request(method, path, **given)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def create(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Store and deploy a pipeline; its view."""
        created: dict[str, Any] = self.ask("POST", "/pipelines", json=dict(spec))
        return created

    def run(self, pipeline: str, **order: Any) -> str:
        """Start a run; its id."""
        run_id: str = self.ask("POST", f"/pipelines/{pipeline}/runs", json=order)["id"]
        return run_id

    def read(self, run_id: str) -> dict[str, Any]:
        """The run with its stages."""
        detail: dict[str, Any] = self.ask("GET", f"/runs/{run_id}")
        return detail

    def finish(self, run_id: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for the end of a run; it with its stages."""
        wait_until(
            lambda: self.read(run_id)["status"] in FINAL, seconds, lambda: f"it doesn't end: {self.read(run_id)}"
        )
        return self.read(run_id)

    def until(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for something, or say what."""
        wait_until(ready, seconds, lambda: f"waited in vain for {what}")


def stage(detail: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One stage of a run that was read."""
    found: dict[str, Any] = next(stage for stage in detail["stages"] if stage["name"] == name)
    return found
