"""What stages print and log, kept in a file for each attempt and read again in pages, also while it grows.

Add here another way to read a log. Keep out what is cut from a log (`sandbox.log_lines`) and how it is shown. A file
holds a record in JSON a line, `[number, at, level, text]`, numbers counting from 1, and `"end"` last. A reader finds a
number by halving the file, so that following a long log costs no more than following a short one. What a writer that
was killed left half-written is passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from mlops_assets.runs.kept_logs import KeptLogs
from mlops_assets.sandbox.log_lines import LogLine
from mlops_assets.storage.files import StorageError, safe_name, told

SUFFIX = ".jsonl"
# A page ends early when it gets this large: lines may be long.
PAGE_BYTES = 4_000_000
SCANNED_BYTES = 1 << 16
# A line is at most 32,000 bytes, each of which JSON may need six for.
LONGEST_RECORD = 1 << 18
_END = b'"end"\n'

Write = Callable[[Sequence[LogLine]], None]


@dataclass(frozen=True)
class NumberedLine:
    """One line of an attempt's log; `number` counts from 1, `at` is in seconds since 1970."""

    number: int
    at: float
    level: str
    text: str


class _Writer:
    """Adds lines to the log of one attempt. What `write` has returned from can be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._number, self._size = _last_record(self._file)
        os.ftruncate(self._file, self._size)

    def write(self, lines: Sequence[LogLine]) -> None:
        """Add lines. Raises StorageError, after which the log is as it was before."""
        records = []
        for line in lines:
            self._number += 1
            records.append(_record(NumberedLine(self._number, line.at, line.level, line.text)))
        try:
            self._append(b"".join(records))
        except BaseException:
            self._number -= len(records)
            raise

    def close(self) -> None:
        """Mark the attempt as ended. On a full disk that has to do without: its run's end tells it too."""
        try:
            with suppress(StorageError):
                self._append(_END)
        finally:
            os.close(self._file)

    def _append(self, content: bytes) -> None:
        with told(self._path):
            try:
                written = 0
                while written < len(content):
                    written += os.pwrite(self._file, content[written:], self._size + written)
            except BaseException:
                os.ftruncate(self._file, self._size)
                raise
        self._size += len(content)


class StageLogs:
    """The logs of all stages, below one folder: `<run id>/<stage>/<attempt>.jsonl`. Makes nothing until it writes.

    Logs of a run that another host has written are brought from their copy, if there are copies.
    """

    def __init__(self, folder: Path, kept: KeptLogs | None = None) -> None:
        self.folder = folder
        self._kept = kept

    @contextmanager
    def writer(self, run_id: str, stage: str, attempt: int) -> Iterator[Write]:
        """What adds lines to the log of an attempt, until the block ends. A log that is there already is gone on with.

        Raises StorageError, also for a run or a stage that can't be part of a path.
        """
        path = self._path(run_id, stage, attempt)
        with told(path):
            # Not for other users: stages of other runs are such users.
            for folder in (self.folder, path.parent.parent, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            writer = _Writer(path)
        try:
            yield writer.write
        finally:
            writer.close()

    def read(
        self,
        run_id: str,
        stage: str,
        attempt: int,
        after: int = 0,
        limit: int = 1000,
        *,
        over: Callable[[], bool] = lambda: False,
    ) -> tuple[list[NumberedLine], bool]:
        """Lines with numbers above `after`, `limit` at most, and whether no more will come after them.

        None that is there yet: no lines. `over` tells whether the run has ended, for an attempt that was killed before
        it could mark its own end; it is asked only when nothing else tells. Raises StorageError.
        """
        path = self._path(run_id, stage, attempt)
        self._bring(run_id)
        page = _page(path, after, limit)
        if not page.caught_up or page.ended:
            return page.lines, page.ended
        if attempt < max(self.attempts(run_id, stage), default=0) or over():
            # Once more, as the last lines may have come while that was found out.
            page = _page(path, after, limit)
            return page.lines, page.caught_up
        return page.lines, False

    def attempts(self, run_id: str, stage: str) -> list[int]:
        """The numbers of the attempts that have a log, smallest first. Raises StorageError."""
        folder = self.folder / safe_name(run_id) / safe_name(stage)
        self._bring(run_id)
        with told(folder):
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        numbers = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
        return sorted(int(number) for number in numbers if number.isascii() and number.isdigit())

    def before_last(self, run_id: str, stage: str, attempt: int, count: int) -> int:
        """The number of the line before the last `count`, of which as many count as fit a page. Raises StorageError."""
        path = self._path(run_id, stage, attempt)
        self._bring(run_id)
        return _before_last(path, count)

    def text(self, run_id: str, stage: str, attempt: int, after: int = 0) -> Iterator[str]:
        """The log in blocks of text: time, level and text of a line a line. Raises StorageError."""
        while True:
            lines, _ = self.read(run_id, stage, attempt, after, 5000)
            if not lines:
                return
            yield "".join(_as_text(line) for line in lines)
            after = lines[-1].number

    def _bring(self, run_id: str) -> None:
        if self._kept is not None:
            self._kept.bring(run_id)

    def _path(self, run_id: str, stage: str, attempt: int) -> Path:
        return self.folder / safe_name(run_id) / safe_name(stage) / f"{int(attempt)}{SUFFIX}"


@dataclass(frozen=True)
class _Page:
    """`caught_up`: there are no whole lines after these now; `ended`: and there never will be."""

    lines: list[NumberedLine]
    caught_up: bool
    ended: bool


def _page(path: Path, after: int, limit: int) -> _Page:
    lines: list[NumberedLine] = []
    size = 0
    with told(path):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return _Page([], caught_up=True, ended=False)
        with file:
            file.seek(_before(file, after))
            for raw in file:
                if raw == _END:
                    return _Page(lines, caught_up=True, ended=True)
                if not raw.endswith(b"\n"):
                    break
                line = _parsed(raw)
                if line is None or line.number <= after:
                    continue
                if len(lines) >= limit or size >= PAGE_BYTES:
                    return _Page(lines, caught_up=False, ended=False)
                lines.append(line)
                size += len(raw)
    return _Page(lines, caught_up=True, ended=False)


def _before(file: IO[bytes], after: int) -> int:
    """Where a record begins that isn't after the one with this number, and not far before the next."""
    low, high = 0, os.fstat(file.fileno()).st_size
    while after > 0 and high - low > SCANNED_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline(LONGEST_RECORD)
        start = file.tell()
        line = _parsed(file.readline(LONGEST_RECORD))
        if line is not None and line.number <= after:
            low = start
        else:
            high = middle
    return low


def _before_last(path: Path, count: int) -> int:
    with told(path):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return 0
        with file:
            start = max(0, os.fstat(file.fileno()).st_size - PAGE_BYTES)
            file.seek(start)
            end = file.read(PAGE_BYTES)
    records = end[: end.rfind(b"\n") + 1].removesuffix(_END).splitlines()
    # What begins in the middle of a line is none.
    whole = filter(None, map(_parsed, records[-count:] if start == 0 else records[1:][-count:]))
    return next((line.number - 1 for line in whole), 0)


def _record(line: NumberedLine) -> bytes:
    record = json.dumps([line.number, round(line.at, 3), line.level, line.text], ensure_ascii=False)
    return record.encode("utf-8", "replace") + b"\n"


def _parsed(raw: bytes) -> NumberedLine | None:
    """None for the mark of the end and for what a broken disk made of a line."""
    try:
        number, at, level, text = json.loads(raw)
        return NumberedLine(int(number), float(at), str(level), str(text))
    except (ValueError, TypeError):
        return None


def _last_record(file: int) -> tuple[int, int]:
    """The number of the last whole record, 0 without one, and where it ends; an end mark doesn't count."""
    size = os.fstat(file).st_size
    start = max(0, size - 2 * LONGEST_RECORD)
    tail = os.pread(file, size - start, start)
    end = tail.rfind(b"\n") + 1
    whole = tail[:end].removesuffix(_END)
    for raw in reversed(whole.splitlines(keepends=True)):
        line = _parsed(raw)
        if line is not None:
            return line.number, start + len(whole)
    return 0, start + len(whole)


def _as_text(line: NumberedLine) -> str:
    moment = datetime.fromtimestamp(line.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    return f"{moment}Z {line.level} {line.text}\n"
