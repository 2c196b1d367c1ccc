"""The lines of a run's logs that come next, over all of its stages and attempts, and where a reader has got to.

Add here what decides which line is next. Keep out how logs are kept (`pipelines.stage_logs`) and sent (`events`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mlops_assets.api.pipelines.run_schemas import StageLine, StageRunView, StageStatus
from mlops_assets.api.pipelines.run_state import RunState
from mlops_assets.pipelines.stage_logs import NumberedLine, StageLogs
from mlops_assets.storage.files import StorageError

LINES_AT_ONCE = 1000
BYTES_AT_ONCE = 1_000_000
AT_WORK = (StageStatus.PENDING, StageStatus.RUNNING)
_TEXT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}(-[0-9]{1,2}-[0-9]{1,9}|!))*")


@dataclass
class Position:
    """How far each stage's log is told, by its place in the execution order: attempt and line; `done` have no more.

    As text: how many of the first stages are done, then each other one, `<place>-<attempt>-<line>` or `<place>!`.
    """

    lines: dict[int, tuple[int, int]] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)

    @classmethod
    def read(cls, text: str) -> Position:
        """From its text; the beginning for any other text."""
        found = cls()
        if not _TEXT.fullmatch(text):
            return found
        first, *others = text.split(".")
        found.done.update(range(int(first)))
        for other in others:
            place, *line = other.removesuffix("!").split("-")
            if line:
                found.lines[int(place)] = (max(1, int(line[0])), int(line[1]))
            else:
                found.done.add(int(place))
        return found

    def __str__(self) -> str:
        first = 0
        while first in self.done:
            first += 1
        others = {place: f"{place}!" for place in self.done if place > first}
        others |= {place: f"{place}-{a}-{n}" for place, (a, n) in self.lines.items() if place not in self.done}
        return ".".join([str(first), *(others[place] for place in sorted(others))])


class LogTail:
    """Reads on in the logs of one run."""

    def __init__(self, logs: StageLogs, run_id: str, position: Position) -> None:
        self._logs, self._run_id = logs, run_id
        self.position = position

    def read(self, state: RunState) -> tuple[list[tuple[StageLine, str]], bool]:
        """The next lines, each with the position after it, and whether there are more at once."""
        found: list[tuple[StageLine, str]] = []
        size = 0
        for place, stage in enumerate(state.stages):
            if place in self.position.done:
                continue
            for line in self._of_stage(place, stage, state):
                if len(found) >= LINES_AT_ONCE or size >= BYTES_AT_ONCE:
                    return found, True
                self.position.lines[place] = (line.attempt, line.number)
                found.append((line, str(self.position)))
                size += len(line.text)
        return found, False

    def _of_stage(self, place: int, stage: StageRunView, state: RunState) -> Iterator[StageLine]:
        over = stage.status not in AT_WORK or state.finished
        attempt, after = self.position.lines.get(place, (1, 0))
        ended = True
        while stage.name in state.own and attempt <= stage.attempt:
            lines, ended = self._lines(stage.name, attempt, after, over or attempt < stage.attempt)
            for line in lines:
                yield _line(stage.name, attempt, line)
                after = line.number
            if not lines and not ended:
                return
            if not lines:
                attempt, after = attempt + 1, 0
        if over:
            self.position.done.add(place)

    def _lines(self, stage: str, attempt: int, after: int, over: bool) -> tuple[list[NumberedLine], bool]:
        try:
            return self._logs.read(self._run_id, stage, attempt, after, LINES_AT_ONCE, over=lambda: over)
        except StorageError:  # retention has removed it in this moment, or the disk can't be read: no lines then
            return [], True


def _line(stage: str, attempt: int, line: NumberedLine) -> StageLine:
    at = datetime.fromtimestamp(line.at, UTC)
    return StageLine(stage=stage, attempt=attempt, number=line.number, at=at, level=line.level, text=line.text)
