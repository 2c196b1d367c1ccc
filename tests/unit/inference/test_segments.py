"""Whole lines are read once, oldest first; a segment goes only when nothing more can come of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inference.journal import Journal
from inference.segments import Segments, lines_of


def shipped(segments: Segments, limit: int = 1 << 20) -> bytes:
    """Everything that can be taken at once, and done with."""
    segments.look()
    pieces = segments.take(limit)
    segments.done(pieces)
    segments.clean()
    return b"".join(piece.data for piece in pieces)


def files(root: Path) -> list[str]:
    return sorted(p.name for p in root.rglob("*") if p.is_file())


def left_by_a_dead_writer(root: Path, content: bytes) -> Path:
    """An open segment that nobody holds a lock on."""
    path = root / "homes" / "00000000000000000001-one-1-ab-0.open"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_no_journal_is_no_trouble(tmp_path: Path) -> None:
    segments = Segments(tmp_path / "missing")
    assert shipped(segments) == b""
    assert segments.backlog() == (0, 0.0)


def test_open_segments_are_read_as_they_grow_and_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "homes", "one")
    segments = Segments(tmp_path)
    journal.append(b"a\n")
    assert shipped(segments) == b"a\n"
    assert shipped(segments) == b""
    journal.append(b"b\nc\n")
    assert shipped(segments) == b"b\nc\n"
    assert len(files(tmp_path)) == 1
    journal.append(b"d\n")
    journal.close()
    assert shipped(segments) == b"d\n"
    assert files(tmp_path) == []


def test_a_batch_takes_whole_lines_of_the_oldest_segments_first(tmp_path: Path) -> None:
    for service in ("b", "a", "c"):
        journal = Journal(tmp_path / service, "one")
        journal.append(b"".join(b"%s%d\n" % (service.encode(), n) for n in range(3)))
        journal.close()
    segments = Segments(tmp_path)
    assert [shipped(segments, 6) for _ in range(6)] == [
        b"b0\nb1\n",
        b"b2\na0\n",
        b"a1\na2\n",
        b"c0\nc1\n",
        b"c2\n",
        b"",
    ]
    assert files(tmp_path) == []


def test_a_line_longer_than_a_batch_is_read_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "homes", "one")
    long = b"x" * 5000 + b"\n"
    journal.append(b"a\n" + long)
    journal.close()
    segments = Segments(tmp_path)
    assert shipped(segments, 100) == b"a\n"
    assert shipped(segments, 100) == long


def test_an_unfinished_last_line_of_a_dead_writer_is_skipped_and_counted(tmp_path: Path) -> None:
    left_by_a_dead_writer(tmp_path, b"whole\ntor")
    segments = Segments(tmp_path)
    assert shipped(segments) == b"whole\n"
    assert segments.torn == 1
    assert files(tmp_path) == []


def test_what_a_dead_writer_left_is_not_deleted_unread(tmp_path: Path) -> None:
    path = left_by_a_dead_writer(tmp_path, b"a\nb\n")
    segments = Segments(tmp_path)
    segments.look()
    segments.take()
    segments.clean()
    assert path.exists()


def test_a_segment_is_followed_through_its_renaming(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "homes", "one")
    segments = Segments(tmp_path)
    journal.append(b"a\n")
    segments.look()
    pieces = segments.take()
    journal.append(b"b\n")
    journal.close()
    segments.done(pieces)
    segments.clean()
    assert shipped(segments) == b"b\n"
    assert files(tmp_path) == []


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "homes").mkdir()
    (tmp_path / "rejected").mkdir()
    for name in ("status.json", "homes/.hidden.open", "homes/note.txt", "rejected/a.closed"):
        (tmp_path / name).write_bytes(b"x\n")
    segments = Segments(tmp_path)
    assert shipped(segments) == b""
    assert len(files(tmp_path)) == 4


def test_backlog_counts_bytes_and_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_a_dead_writer(tmp_path, b"12345\n")
    segments = Segments(tmp_path)
    segments.look()
    size, age = segments.backlog()
    assert size == 6
    assert age > 1e9  # its name says 1970


def test_a_segment_marked_to_be_read_again_stays(tmp_path: Path) -> None:
    path = left_by_a_dead_writer(tmp_path, b"a\n")
    segments = Segments(tmp_path)
    segments.look()
    (piece,) = segments.take()
    piece.segment.again_at = 0.0
    segments.done([piece])
    segments.clean()
    assert path.exists()
    assert shipped(segments) == b"a\n"
    assert not path.exists()


def test_lines_know_where_they_are(tmp_path: Path) -> None:
    path = left_by_a_dead_writer(tmp_path, b"one\n\nthree\n")
    segments = Segments(tmp_path)
    segments.look()
    lines = lines_of(segments.take())
    assert [(line.start, line.data) for line in lines] == [(0, b"one"), (5, b"three")]
    assert lines[0].segment.name == f"homes/{path.stem}"
    assert os.fspath(lines[0].segment.path) == os.fspath(path)
