"""Logs of stages: pages of a growing file, attempts, and what a killed writer or a full disk leaves."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from mlops_assets.pipelines import stage_logs
from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.sandbox.log_lines import LogLine
from mlops_assets.storage.files import StorageError

RUN = "0c6a6f0e-6ec4-4e6c-a1a5-6b1c7f0a2b11"


@pytest.fixture
def logs(tmp_path: Path) -> StageLogs:
    return StageLogs(tmp_path / "stages")


def lines(*texts: str) -> list[LogLine]:
    return [LogLine(1_700_000_000.0 + number, "INFO", text) for number, text in enumerate(texts)]


def texts(logs: StageLogs, after: int = 0, limit: int = 1000, attempt: int = 1) -> tuple[list[str], bool]:
    found, ended = logs.read(RUN, "train", attempt, after, limit)
    assert [line.number for line in found] == list(range(after + 1, after + 1 + len(found)))
    return [line.text for line in found], ended


def file_of(logs: StageLogs, attempt: int = 1) -> Path:
    return logs.folder / RUN / "train" / f"{attempt}.jsonl"


def test_lines_can_be_read_as_soon_as_they_are_written(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines("one", "two"))
        assert texts(logs) == (["one", "two"], False)
        write([LogLine(1.5, "ERROR", "three")])
        (last,), ended = logs.read(RUN, "train", 1, after=2)
        assert (last.number, last.at, last.level, last.text, ended) == (3, 1.5, "ERROR", "three", False)
        assert texts(logs, after=3) == ([], False)
    assert texts(logs, after=3) == ([], True)


def test_a_stage_that_has_not_begun_has_no_lines_and_no_attempts(logs: StageLogs) -> None:
    assert texts(logs) == ([], False)
    assert logs.attempts(RUN, "train") == []
    assert not logs.folder.exists()


def test_only_the_page_that_reaches_the_end_says_so(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines("a", "b", "c", "d"))
    assert texts(logs, limit=2) == (["a", "b"], False)
    assert texts(logs, after=2, limit=2) == (["c", "d"], True)
    assert texts(logs, after=3, limit=1000) == (["d"], True)
    assert texts(logs, after=1_000_000) == ([], True)


def test_what_stands_in_a_line_comes_back_as_it_was(logs: StageLogs) -> None:
    odd = [
        "",
        '"end"',
        "a\rb",
        "tab\there",
        "Größe ✓ 🚀",
        '[1, 2.0, "INFO", "forged"]',
        "x" * 32_000,
        "\x1b[31m",
        "\u2028",
    ]
    with logs.writer(RUN, "train", 1) as write:
        write(lines(*odd))
    assert texts(logs) == (odd, True)


def test_every_number_is_found_in_a_long_log_of_uneven_lines(logs: StageLogs) -> None:
    given = [f"{number} " + "y" * (number % 7 * 900 if number % 50 else 30_000) for number in range(1, 4001)]
    with logs.writer(RUN, "train", 1) as write:
        write(lines(*given))
    for after in (0, 1, 49, 50, 51, 1234, 2000, 3949, 3998, 3999, 4000):
        found, _ = texts(logs, after=after, limit=3)
        assert found == given[after : after + 3]


def test_following_a_long_log_reads_a_small_part_of_it(logs: StageLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines(*(f"line {number}" for number in range(200_000))))
    parsed = []
    real = stage_logs._parsed
    monkeypatch.setattr(stage_logs, "_parsed", lambda raw: parsed.append(raw) or real(raw))
    assert texts(logs, after=199_998) == (["line 199998", "line 199999"], True)
    assert len(parsed) < 3000


def test_a_page_of_long_lines_ends_before_it_gets_too_large(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines(*("z" * 32_000 for _ in range(200))))
    found, ended = texts(logs, limit=5000)
    assert 100 <= len(found) < 200
    assert not ended
    rest, ended = texts(logs, after=len(found), limit=5000)
    assert (len(found) + len(rest), ended) == (200, True)


def test_a_line_that_a_killed_writer_left_half_written_is_passed_over(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines("whole", "half"))
        os.truncate(file_of(logs), file_of(logs).stat().st_size - 3)
        assert texts(logs) == (["whole"], False)


def test_an_attempt_that_was_killed_and_is_done_again_goes_on_after_its_last_whole_line(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines("first", "half"))
    content = file_of(logs).read_bytes()
    file_of(logs).write_bytes(content[: content.index(b"half") + 2])
    with logs.writer(RUN, "train", 1) as write:
        write(lines("again"))
        assert texts(logs) == (["first", "again"], False)
    assert texts(logs) == (["first", "again"], True)


def test_an_attempt_that_had_ended_and_is_done_again_is_going_on(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines("before"))
    with logs.writer(RUN, "train", 1) as write:
        assert texts(logs) == (["before"], False)
        write(lines("after"))
    assert texts(logs) == (["before", "after"], True)


def test_an_attempt_without_an_end_has_ended_once_the_next_one_began(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines("first"))
    file_of(logs).write_bytes(file_of(logs).read_bytes().removesuffix(b'"end"\n'))
    assert texts(logs) == (["first"], False)
    with logs.writer(RUN, "train", 2) as write, logs.writer(RUN, "train", 10):
        write(lines("second"))
        assert logs.attempts(RUN, "train") == [1, 2, 10]
        assert texts(logs) == (["first"], True)
        assert texts(logs, attempt=10) == ([], False)


def test_the_last_lines_of_a_run_that_ends_while_it_is_asked_about_are_there(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines("early"))

        def over() -> bool:
            write(lines("late"))
            return True

        found, ended = logs.read(RUN, "train", 1, over=over)
        assert ([line.text for line in found], ended) == (["early", "late"], True)


def test_no_attempt_has_ended_while_its_page_is_full(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines("a", "b", "c"))
        found, ended = logs.read(RUN, "train", 1, 0, 2, over=lambda: True)
        assert ([line.text for line in found], ended) == (["a", "b"], False)


@pytest.mark.parametrize("name", ["..", "../../etc", "a/b", "", ".hidden", "a\0b", "ä" * 10, "x" * 300])
def test_a_name_that_leads_elsewhere_is_refused(logs: StageLogs, name: str) -> None:
    for run_id, stage in ((name, "train"), (RUN, name)):
        with pytest.raises(StorageError), logs.writer(run_id, stage, 1):
            pass
        with pytest.raises(StorageError):
            logs.read(run_id, stage, 1)
        with pytest.raises(StorageError):
            logs.attempts(run_id, stage)
    assert not logs.folder.exists()


def test_logs_are_for_the_platforms_own_user_alone(logs: StageLogs) -> None:
    old = os.umask(0o022)
    try:
        with logs.writer(RUN, "train", 1):
            pass
    finally:
        os.umask(old)
    paths = [file_of(logs), *file_of(logs).parents[:3]]
    assert [path.stat().st_mode & 0o077 for path in paths] == [0, 0, 0, 0]


def test_a_full_disk_leaves_the_log_as_it_was(logs: StageLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def full(descriptor: int, content: bytes, place: int) -> int:
        if len(content) > 20:
            return real(descriptor, content[:20], place)
        raise OSError(errno.ENOSPC, "No space left on device")

    with logs.writer(RUN, "train", 1) as write:
        write(lines("kept"))
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            with pytest.raises(StorageError, match="no space left"):
                write(lines("lost", "lost too"))
        assert texts(logs) == (["kept"], False)
        write(lines("later"))
    assert texts(logs) == (["kept", "later"], True)


def test_the_text_of_a_log_has_times_and_levels(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write([LogLine(1_700_000_000.25, "INFO", "hello"), LogLine(1_700_000_001.0, "ERROR", "oh — no")])
    text = "".join(logs.text(RUN, "train", 1))
    assert text == "2023-11-14T22:13:20.250Z INFO hello\n2023-11-14T22:13:21.000Z ERROR oh — no\n"


def test_the_end_of_a_log_begins_after_a_line(logs: StageLogs) -> None:
    assert logs.before_last(RUN, "train", 1, 5) == 0
    with logs.writer(RUN, "train", 1) as write:
        assert logs.before_last(RUN, "train", 1, 5) == 0
        write(lines("a", "b\rc", '"end"', "d"))
        assert [logs.before_last(RUN, "train", 1, count) for count in (1, 2, 4, 5)] == [3, 2, 0, 0]
    assert [logs.before_last(RUN, "train", 1, count) for count in (1, 2, 4, 5)] == [3, 2, 0, 0]


def test_the_end_of_a_log_is_found_past_a_half_written_line(logs: StageLogs) -> None:
    with logs.writer(RUN, "train", 1) as write:
        write(lines("a", "b", "c"))
    whole = file_of(logs).read_bytes().removesuffix(b'"end"\n')
    file_of(logs).write_bytes(whole + b'[4, 1.0, "INFO", "cut o')
    assert logs.before_last(RUN, "train", 1, 2) == 1
    file_of(logs).write_bytes(whole.replace(b"[2,", b"\0\0,"))
    assert logs.before_last(RUN, "train", 1, 2) == 2


def test_a_reader_that_follows_a_writer_gets_every_line_once(logs: StageLogs) -> None:
    def work() -> None:
        with logs.writer(RUN, "train", 1) as write:
            for start in range(0, 3000, 7):
                write(lines(*(f"{number}" + "w" * (number % 500) for number in range(start, min(start + 7, 3000)))))

    writer = threading.Thread(target=work)
    writer.start()
    seen: list[str] = []
    ended = False
    while not ended:
        found, ended = texts(logs, after=len(seen), limit=100)
        seen += found
    writer.join()
    assert seen == [f"{number}" + "w" * (number % 500) for number in range(3000)]
