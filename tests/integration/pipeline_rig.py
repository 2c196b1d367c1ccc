"""The part of an installation that declared pipelines need, for tests.

Add here what starts, stops or asks one of these processes. Keep out what is tested. The programs are those that an
installation runs, with its own settings; each is ended by the process id that it was started with.
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from mlops_assets.installation import ports, postgres, schema
from mlops_assets.installation.programs import Program, platform_programs, rollout_programs
from mlops_assets.installation.up import prepare_home
from mlops_assets.runs.client import ForkServerClient
from mlops_assets.sandbox.collect import remove_folder
from mlops_assets.settings import Settings
from tests.e2e.installation import free_offset
from tests.servers import process, wait_until

BUSY_SECONDS = 30.0
FINAL = {"COMPLETED", "FAILED", "CANCELLED"}
PROGRAMS = ("pipelines", "runs", "stages", "daemon", "api")


class PipelineRig:
    """The programs named at work, until the end of the `with`.

    `settings` are more of MLOPS_* in lower case, `dagster` other numbers for dagster.yaml.
    """

    def __init__(
        self, *, programs: Sequence[str] = PROGRAMS, dagster: Mapping[str, int] | None = None, **settings: Any
    ) -> None:
        self._wanted, self._dagster, self._more = programs, dagster or {}, settings
        self._running: dict[str, tuple[subprocess.Popen[bytes], ExitStack]] = {}

    def __enter__(self) -> PipelineRig:
        self._stack = ExitStack()
        self.home = Path(tempfile.mkdtemp(prefix="pipelines-"))
        self.home.chmod(0o755)
        self._stack.callback(remove_folder, self.home)
        try:
            self.settings = Settings(home=self.home, port_offset=free_offset(self.home), **self._more)
            prepare_home(self.settings)
            self._set_dagster()
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

    def _set_dagster(self) -> None:
        file = self.home / "dagster.yaml"
        text = file.read_text()
        for name, value in self._dagster.items():
            text, found = re.subn(rf"^( *{name}): \d+$", rf"\1: {value}", text, flags=re.MULTILINE)
            assert found == 1, name
        file.write_text(text)

    # -- processes

    def start(self, name: str) -> None:
        """Start a program and wait until it is ready."""
        program = self._program(name)
        until_stopped = ExitStack()
        running = until_stopped.enter_context(
            process(
                program.command,
                self.settings.logs / f"{name}.log",
                lambda: self._is_ready(program),
                self._environment | program.environment,
                program.user,
                signal.Signals[f"SIG{program.stop_signal}"],
                program.stop_seconds,
            )
        )
        self._running[name] = running, until_stopped

    def stop(self, name: str, number: signal.Signals | None = None) -> None:
        """End a program, by default as an installation does, and wait for its end."""
        running, until_stopped = self._running.pop(name)
        if number is not None:
            running.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                running.wait(30)
        until_stopped.close()

    def restart(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a program, by default without warning, and start it again."""
        self.stop(name, number)
        self.start(name)

    def revive(self) -> None:
        """Start programs again that have ended by themselves, as an installation's supervisor does."""
        for name in [name for name, (running, _) in self._running.items() if running.poll() is not None]:
            self._running.pop(name)[1].close()
            self.start(name)

    @property
    def _environment(self) -> dict[str, str]:
        given = {f"MLOPS_{name.upper()}": str(value) for name, value in self._more.items()}
        return given | self.settings.environment()

    def _program(self, name: str) -> Program:
        every = platform_programs(self.settings) + rollout_programs(self.settings, "")
        return next(program for program in every if program.name == name)

    def _is_ready(self, program: Program) -> bool:
        if program.name == "postgres":
            schema.wait_for_database(self.settings)
            return True
        if program.name == "runs":
            ForkServerClient(str(self.settings.runs_socket)).wait_until_ready(60)
            return True
        if program.name == "stages":
            return self.settings.stages_socket.exists()
        return program.port is None or ports.answers(self.settings.host, program.port)

    def _stop_all(self) -> None:
        # The database last, also if it was started again.
        for name in sorted(self._running, key=lambda name: name == "postgres"):
            self.stop(name)

    def _explain(self, error: BaseException) -> None:
        for path in sorted(self.home.glob("logs/*.log")) + sorted(self.home.glob("run/runs/*.log")):
            error.add_note(f"-- {path.name}\n{path.read_text(errors='replace')[-2500:]}")

    # -- asking the API

    @contextmanager
    def client(self, token: str | None = None) -> Iterator[httpx.Client]:
        """A client with the operators' token, or another one."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        with httpx.Client(base_url=f"{self.settings.api_server_url}/api/v1", headers=headers, timeout=30) as client:
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
