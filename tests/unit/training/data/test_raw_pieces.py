"""A raw file in pieces: every row once, equal rows together, and the same errors as of a file that is read whole."""

from __future__ import annotations

import csv
import random
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.training.data import raw_pieces
from mlops_assets.training.data.csv_file import CsvError, read_rows
from mlops_assets.training.data.raw_file import SourceError
from mlops_assets.training.data.spec import Column, Contract, LiveLabels, Source

CONTRACT = Contract(raw_columns=("place", "price"), columns=(Column(name="price", type="number"),))
SMALL = Source(rows_in_memory=1000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """5,000 rows, many of them equal to another, some with line ends in a field or nothing in it."""
    draw = random.Random(5)
    path = tmp_path / "raw.csv"
    with path.open("w", newline="") as out:
        write = csv.writer(out)
        write.writerow(["place", "price", "note"])
        for _ in range(5000):
            write.writerow([draw.choice(["Hebbal", "Whitefield", ""]), draw.randrange(900), draw.choice(["", "a\nb"])])
    return path


def pieces(path: Path, folder: Path, source: Source = SMALL) -> list[pd.DataFrame]:
    folder.mkdir(exist_ok=True)
    return list(raw_pieces.read_pieces(path, CONTRACT, source, folder))


def rows(*frames: pd.DataFrame) -> Counter[tuple[str | None, ...]]:
    return Counter(row for frame in frames for row in frame.itertuples(index=False, name=None))


def test_every_row_is_in_one_piece_and_equal_ones_are_together(file: Path, tmp_path: Path) -> None:
    found = pieces(file, tmp_path / "work")
    assert len(found) > 4
    assert all(len(piece) < 1500 for piece in found)
    assert rows(*found) == rows(read_rows(file, CONTRACT, Source()))
    seen = [set(rows(piece)) for piece in found]
    assert len(set().union(*seen)) == sum(map(len, seen)), "no row is in two pieces"
    assert sum(int(piece.duplicated().sum()) for piece in found) > 1000
    assert not list((tmp_path / "work").iterdir()), "what was divided is gone"


def test_the_same_file_gives_the_same_pieces(file: Path, tmp_path: Path) -> None:
    for one, other in zip(pieces(file, tmp_path / "one"), pieces(file, tmp_path / "other"), strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("limit", [None, 20_000])
def test_a_file_that_fits_is_one_piece_in_its_own_order(file: Path, tmp_path: Path, limit: int | None) -> None:
    (whole,) = pieces(file, tmp_path, Source(rows_in_memory=limit))
    pd.testing.assert_frame_equal(whole, read_rows(file, CONTRACT, Source()))


def test_a_bad_line_far_behind_is_named(file: Path, tmp_path: Path) -> None:
    with file.open("a") as out:
        out.write("Hebbal\n")
    with pytest.raises(CsvError) as whole:
        read_rows(file, CONTRACT, Source())
    with pytest.raises(CsvError) as divided:
        pieces(file, tmp_path)
    assert str(divided.value) == str(whole.value)
    assert divided.value.line


def test_a_limit_far_too_small_for_a_file_names_the_one_it_needs(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_pieces, "MOST_PIECES", 2)
    with pytest.raises(SourceError, match=r"rows_in_memory is 1,000; at least [34],\d{3} are needed"):
        pieces(file, tmp_path)


def test_live_labels_need_all_rows() -> None:
    with pytest.raises(ValueError, match="live_labels"):
        Source(rows_in_memory=1000, live_labels=LiveLabels())
