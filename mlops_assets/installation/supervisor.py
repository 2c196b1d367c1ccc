"""supervisord, the process manager: its configuration from the programs, and its state and orders over its socket.

Keep out which programs there are (`programs.py`) and what a start means to a person (`up.py`).
"""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets.installation.entry import environment_file
from mlops_assets.installation.leftovers import PROGRAM_VARIABLE
from mlops_assets.installation.programs import BIN, PYTHON, Program
from mlops_assets.observability.supervisor_socket import (
    SupervisorRefusedError,
    SupervisorSilentError,
    call,
    socket_of,
)
from mlops_assets.settings import PROJECT, Settings

LOG_BYTES = "10MB"
LOG_BACKUPS = 3
START_SECONDS = 15.0
CALL_SECONDS = 10.0


class SupervisorError(RuntimeError):
    """The process manager doesn't do what it was told; the message names the log to read."""


@dataclass(frozen=True)
class ProgramState:
    """What supervisord says of one program. `state` is its word: RUNNING, STARTING, BACKOFF, FATAL, STOPPED…"""

    name: str
    state: str
    pid: int
    started_at: float
    description: str


class Supervisor:
    """The process manager of one installation; no process until `start`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.socket = socket_of(settings)
        self.config = settings.run_dir / "supervisord.conf"
        self.log = settings.logs / "supervisord.log"

    def write_config(self, programs: list[Program]) -> None:
        """Write the configuration, and beside it the environment of each program; only the owner may read them."""
        parser = configparser.RawConfigParser()
        parser["supervisord"] = {
            "logfile": str(self.log),
            "logfile_maxbytes": LOG_BYTES,
            "pidfile": str(self.settings.run_dir / "supervisord.pid"),
            "childlogdir": str(self.settings.logs),
            "directory": str(PROJECT),
            "minfds": "4096",
        }
        parser["unix_http_server"] = {"file": str(self.socket), "chmod": "0600"}
        parser["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        }
        for program in programs:
            parser[f"program:{program.name}"] = self._section(program)
        text = io.StringIO()
        parser.write(text)
        write_private(self.config, text.getvalue())

    def _section(self, program: Program) -> dict[str, str]:
        user = ["--user", program.user] if program.user else []
        entry = [PYTHON, "-m", "mlops_assets.installation.entry", program.name, *user, "--"]
        environment = json.dumps(program.environment, sort_keys=True)
        write_private(environment_file(self.settings.run_dir, program.name), environment)
        digest = hashlib.sha256(environment.encode()).hexdigest()
        return {
            "command": " ".join(_quoted(part) for part in [*entry, *program.command]),
            # The digest makes supervisord see a change of the file, which it doesn't read.
            "environment": f'{PROGRAM_VARIABLE}="{program.name}",MLOPS_RUN_ENVIRONMENT="{digest}"',
            "autostart": "false",
            "autorestart": "true",
            # A program that needs another one may fail until that one is back: keep trying.
            "startretries": "1000",
            "startsecs": "2",
            "priority": str(100 + program.stage),
            "stopsignal": program.stop_signal,
            "stopwaitsecs": str(program.stop_seconds),
            "killasgroup": "true",
            "stdout_logfile": str(self.settings.logs / f"{program.name}.log"),
            "stdout_logfile_maxbytes": LOG_BYTES,
            "stdout_logfile_backups": str(LOG_BACKUPS),
            "redirect_stderr": "true",
        }

    def running(self) -> bool:
        """True if supervisord answers."""
        try:
            return bool(self._call("getState")["statecode"] == 1)
        except SupervisorError:
            return False

    def start(self) -> None:
        """Start supervisord in the background and wait until it answers."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment |= self.settings.environment() | {"MLOPS_RUN_DIR": str(self.settings.run_dir)}
        environment[PROGRAM_VARIABLE] = "supervisord"
        result = subprocess.run(
            [str(BIN / "supervisord"), "-c", str(self.config)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if result.returncode != 0:
            raise SupervisorError(f"supervisord doesn't start: {result.stderr.strip() or result.stdout.strip()}")
        give_up = time.monotonic() + START_SECONDS
        while not self.running():
            if time.monotonic() > give_up:
                raise SupervisorError(f"supervisord doesn't answer; see {self.log}")
            time.sleep(0.05)

    def apply(self) -> None:
        """Make supervisord run what the configuration says: restart the changed, drop the removed."""
        added, changed, removed = self.reload()
        for name in [*removed, *changed]:
            self.drop(name)
        for name in [*added, *changed]:
            self.add(name)

    def reload(self) -> tuple[list[str], list[str], list[str]]:
        """Read the configuration; which programs are new, changed and gone. Nothing is started or stopped."""
        added, changed, removed = self._call("reloadConfig")[0]
        return added, changed, removed

    def drop(self, name: str) -> None:
        """Stop a program and forget it."""
        self._call("stopProcessGroup", name)
        self._call("removeProcessGroup", name)

    def add(self, name: str) -> None:
        """Take a program as the configuration has it; it isn't started."""
        self._call("addProcessGroup", name)

    def start_program(self, name: str) -> None:
        """Start a program and return at once; a program that runs already is left alone."""
        try:
            self._call("startProcess", name, False)
        except SupervisorError as error:
            if "ALREADY_STARTED" not in str(error):
                raise

    def stop_program(self, name: str) -> None:
        """Tell a program to stop and return at once; one that doesn't run is left alone."""
        try:
            self._call("stopProcess", name, False)
        except SupervisorError as error:
            if "NOT_RUNNING" not in str(error):
                raise

    def states(self) -> dict[str, ProgramState]:
        """State of each program by name; empty when supervisord doesn't run."""
        try:
            found = self._call("getAllProcessInfo")
        except SupervisorError:
            return {}
        return {
            i["name"]: ProgramState(i["name"], i["statename"], i["pid"], i["start"], i["description"]) for i in found
        }

    def shut_down(self) -> None:
        """Stop every program, then supervisord; returns when its socket is gone."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return call(self.socket, method, *arguments, seconds=CALL_SECONDS)
        except SupervisorRefusedError as refused:
            raise SupervisorError(f"supervisord: {refused}") from refused
        except SupervisorSilentError as error:
            raise SupervisorError(f"supervisord doesn't answer on {self.socket}: {error}") from error


def _quoted(text: str) -> str:
    """`text` as one word of supervisord's configuration, where % starts an expansion."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.rename(path)


def tail(path: Path, lines: int) -> list[str]:
    """The last `lines` lines of a log file; none if it isn't there yet."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 400 * lines))
            return file.read().decode("utf-8", errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []
