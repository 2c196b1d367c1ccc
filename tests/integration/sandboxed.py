"""Runs stages in real processes for the tests of the sandbox, and looks for what they leave behind."""

from __future__ import annotations

import itertools
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_assets.sandbox.log_lines import LogLine
from mlops_assets.sandbox.order import Limits, StageOrder, StageOutcome
from mlops_assets.sandbox.run import run_stage

LIMITS = Limits(memory_mb=600, cpu_seconds=20, wall_seconds=30, output_mb=50, log_mb=1, processes=64)


class Stages:
    """Runs one stage after another, each in one of the `folders`; the log of the last one is `lines`."""

    def __init__(self, folder: Path, **run_options: Any) -> None:
        self.folder = folder
        self._numbers = itertools.count()
        self._run_options = run_options
        self.lines: list[LogLine] = []
        self.folders: list[Path] = []

    def order(self, source: str | None, stage: str = "prepare", **fields: Any) -> StageOrder:
        """An order for source text, which may be indented."""
        folder = self.folder / f"{stage}_{next(self._numbers)}"
        folder.mkdir(mode=0o700)
        self.folders.append(folder)
        text = None if source is None else textwrap.dedent(source)
        limits = fields.pop("limits", LIMITS)
        return StageOrder(stage=stage, folder=folder, source=text, limits=limits, **fields)

    def run(
        self, source: str | None, stage: str = "prepare", cancelled: Callable[[], bool] = lambda: False, **fields: Any
    ) -> StageOutcome:
        """Run it to its end."""
        self.lines = []
        order = self.order(source, stage, **fields)
        outcome = run_stage(order, heard=self.lines.extend, cancelled=cancelled, **self._run_options)
        assert (outcome.error is None) == (outcome.status == "completed") == (outcome.result is not None), outcome
        return outcome

    @property
    def log(self) -> list[str]:
        """The texts of the last stage's log."""
        return [line.text for line in self.lines]


def left_behind(mark: str | Path) -> list[int]:
    """Processes with a text in their environment or command, or that work in a folder or see it as theirs."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        process = Path("/proc", name)
        try:
            facts = [(process / file).read_bytes() for file in ("environ", "cmdline", "mountinfo")]
            facts.append(os.fsencode(os.readlink(process / "cwd")))
        except OSError:
            continue  # ended, even if nobody has collected it
        if any(os.fsencode(mark) in fact for fact in facts):
            found.append(int(name))
    return found
