"""A whole installation for tests: its own home and ports, driven through `mlops` like a person would."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mlops_assets.installation import leftovers
from mlops_assets.installation.ports import is_free
from mlops_assets.settings import Settings

MLOPS = Path(sys.executable).parent / "mlops"
COMMAND_SECONDS = 300


@dataclass
class Installation:
    """`home` and `offset` make it its own; `variables` are added to every command's environment.

    `inside` is put before a command to run it on another host, `name` tells of it, and `seconds` is a command's limit.
    """

    home: Path
    offset: int
    variables: dict[str, str] = field(default_factory=dict)
    inside: tuple[str, ...] = ()
    name: str = "this host"
    seconds: float = COMMAND_SECONDS

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, port_offset=self.offset)

    @property
    def service(self) -> str:
        """Address of the house-price service."""
        return f"http://127.0.0.1:{self.settings.ports.production(0)}"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MLOPS_")}
        own = {"MLOPS_HOME": str(self.home), "MLOPS_PORT_OFFSET": str(self.offset), "COLUMNS": "160"}
        return kept | own | self.variables | dict(more or {})

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`mlops ARGUMENTS`, to its end."""
        return subprocess.run(
            [*self.inside, str(MLOPS), *arguments],
            env=self.environment(more),
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
        )

    def ok(self, *arguments: str, **more: str) -> str:
        """The same, which must succeed; its output."""
        done = self.run(*arguments, **more)
        told = f"mlops {' '.join(arguments)} on {self.name}:\n{done.stdout}\n{done.stderr}{self.logs()}"
        assert done.returncode == 0, told
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`mlops ARGUMENTS` in the background."""
        return subprocess.Popen(
            [*self.inside, str(MLOPS), *arguments],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self) -> list[psutil.Process]:
        """Everything alive that belongs to this installation."""
        return leftovers.marked(self.home)

    def logs(self) -> str:
        """The end of every log, for a failed assertion."""
        found = sorted((self.home / "logs").glob("*.log"))
        return "".join(f"\n== {p.name}\n{p.read_text(errors='replace')[-1500:]}" for p in found)


@contextmanager
def installation(**variables: str) -> Iterator[Installation]:
    """A fresh installation, stopped and removed at the end whatever happened."""
    home = Path(tempfile.mkdtemp(prefix="mlops-e2e-"))
    made = Installation(home, free_offset(home), variables)
    try:
        yield made
    finally:
        made.run("down")
        leftovers.end(made.processes())
        shutil.rmtree(home, ignore_errors=True)


def free_offset(home: Path) -> int:
    """An offset that leaves every port free, below those that the system takes for outgoing connections."""
    for offset in random.sample(range(10_000, 22_000, 100), 100):
        ports = Settings(home=home, port_offset=offset).ports.model_dump().values()
        if all(is_free("127.0.0.1", port) for port in ports):
            return offset
    raise AssertionError("no free range of ports")
