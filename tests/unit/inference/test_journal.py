"""Lines reach the disk in order and whole, or wait, or are told as lost; nothing is ever raised."""

from __future__ import annotations

import errno
import os
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.journal import Journal, JournalState


def lines_in(folder: Path) -> list[bytes]:
    return [line for path in sorted(folder.iterdir()) for line in path.read_bytes().splitlines(keepends=True)]


def suffixes(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "homes-production"


@pytest.fixture
def limit_files() -> Iterator[None]:
    """Afterwards files may be as large as before."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def largest_file(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_nothing_is_opened_before_the_first_line(folder: Path) -> None:
    journal = Journal(folder, "one")
    journal.append(b"")
    journal.rotate_if_due()
    journal.close()
    assert journal.state() == JournalState()
    assert not folder.exists()


def test_lines_are_there_when_append_returns(folder: Path) -> None:
    journal = Journal(folder, "one")
    journal.append(b"a\n")
    journal.append(b"b\nc\n")
    journal.append(b"without end")
    assert lines_in(folder) == [b"a\n", b"b\n", b"c\n", b"without end\n"]
    assert journal.state() == JournalState(backlog_bytes=18)
    assert suffixes(folder) == [".open"]
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    journal.close()
    assert suffixes(folder) == [".closed"]


def test_large_and_old_segments_end(folder: Path) -> None:
    journal = Journal(folder, "one", segment_bytes=10, segment_seconds=3600)
    for number in range(4):
        journal.append(b"line %d\n" % number)
    assert suffixes(folder) == [".closed", ".closed"]
    old = Journal(folder, "two", segment_seconds=0)
    old.append(b"last\n")
    assert suffixes(folder) == [".closed", ".closed", ".open"]
    old.rotate_if_due()
    assert suffixes(folder) == [".closed"] * 3
    assert lines_in(folder) == [b"line 0\n", b"line 1\n", b"line 2\n", b"line 3\n", b"last\n"]


def test_two_journals_never_share_a_segment(folder: Path) -> None:
    journals = [Journal(folder, "same") for _ in range(2)]
    for journal in journals:
        journal.append(b"x\n")
    assert len(list(folder.iterdir())) == 2
    for journal in journals:
        journal.close()


def test_threads_append_whole_lines(folder: Path) -> None:
    journal = Journal(folder, "one", segment_bytes=500)
    threads = [
        threading.Thread(target=lambda n=n: [journal.append(b"%d %d\n" % (n, i)) for i in range(200)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert sorted(lines_in(folder)) == sorted(b"%d %d\n" % (n, i) for n in range(4) for i in range(200))


@pytest.mark.usefixtures("limit_files")
def test_lines_wait_while_the_disk_takes_nothing(folder: Path) -> None:
    journal = Journal(folder, "one")
    journal.append(b"0\n")
    largest_file(0)
    for number in range(1, 4):
        journal.append(b"%d\n" % number)
    journal.rotate_if_due()
    state = journal.state()
    assert (state.buffered_lines, state.lost_lines) == (3, 0)
    assert state.problem is not None
    assert "no space" in state.problem
    largest_file(resource.RLIM_INFINITY)
    journal.rotate_if_due()
    journal.append(b"4\n")
    assert lines_in(folder) == [b"0\n", b"1\n", b"2\n", b"3\n", b"4\n"]
    assert journal.state() == JournalState(backlog_bytes=10)
    journal.close()


@pytest.mark.usefixtures("limit_files")
def test_a_line_that_is_only_tried_is_on_the_disk_or_nowhere(folder: Path) -> None:
    journal = Journal(folder, "one")
    assert journal.try_append(b"first\n")
    largest_file(0)
    assert not journal.try_append(b"second\n")
    state = journal.state()
    assert state.problem is not None
    assert (state.buffered_lines, state.lost_lines) == (0, 0)
    # One that must survive waits, and none is written before it.
    journal.append(b"third\n")
    assert not journal.try_append(b"4\n")
    assert journal.state().buffered_lines == 1
    largest_file(resource.RLIM_INFINITY)
    assert journal.try_append(b"fifth\n")
    assert lines_in(folder) == [b"first\n", b"third\n", b"fifth\n"]
    assert journal.state().problem is None
    journal.close()


@pytest.mark.usefixtures("limit_files")
def test_a_problem_is_forgotten_when_nothing_waits_for_its_end(folder: Path) -> None:
    journal = Journal(folder, "one")
    largest_file(0)
    assert not journal.try_append(b"only tried\n")
    assert journal.state().problem is not None
    largest_file(resource.RLIM_INFINITY)
    journal.rotate_if_due()
    assert journal.state().problem is None
    journal.close()


@pytest.mark.usefixtures("limit_files")
def test_a_line_that_fits_in_part_is_cut_off_and_written_whole_later(folder: Path) -> None:
    journal = Journal(folder, "one")
    largest_file(10)
    journal.append(b"first\nsecond\nthird\n")  # the limit falls into the second line
    assert lines_in(folder) == [b"first\n"]
    assert journal.state().buffered_lines == 2
    assert journal.state().problem is not None
    largest_file(resource.RLIM_INFINITY)
    journal.append(b"fourth\n")
    journal.rotate_if_due()
    assert lines_in(folder) == [b"first\n", b"second\n", b"third\n", b"fourth\n"]
    assert journal.state().problem is None
    journal.close()


def test_lines_beyond_the_memory_are_counted_as_lost(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    journal = Journal(folder, "one", buffer_bytes=10)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for number in range(6):
            journal.append(b"nr %d\n" % number)
        assert journal.state().buffered_lines == 2
        assert journal.state().lost_lines == 4
    journal.rotate_if_due()
    assert lines_in(folder) == [b"nr 0\n", b"nr 1\n"]
    assert journal.state() == JournalState(backlog_bytes=10, lost_lines=4)
    journal.close()


def test_a_large_buffer_is_written_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.journal.WRITE_BYTES", 25)
    journal = Journal(folder, "one")
    folder.write_text("in the way")
    expected = [b"line %03d\n" % number for number in range(100)]
    for line in expected:
        journal.append(line)
    assert journal.state().buffered_lines == 100
    folder.unlink()
    journal.close()
    assert lines_in(folder) == expected


def test_a_segment_that_somebody_removed_is_told_as_lost(folder: Path) -> None:
    journal = Journal(folder, "one")
    journal.append(b"a\nb\n")
    next(folder.iterdir()).unlink()
    journal.close()
    journal.append(b"c\n")
    assert journal.state().lost_lines == 2
    assert lines_in(folder) == [b"c\n"]
    journal.close()
