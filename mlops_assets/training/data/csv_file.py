"""Reading a raw CSV file strictly: every value a string, one clear error for each thing that can be wrong.

Add here what can be wrong with a file as text: bytes, encoding, delimiter, quotes, header, field counts.
Keep out what the values mean: types, ranges and shares are `contract`'s and the product's cleaning.
Memory stays bounded by the rows of a piece: the file streams through, and a value that repeats is kept once in it.
"""

from __future__ import annotations

import codecs
import csv
import difflib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mlops_assets.training.data.spec import Contract, Source

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BLOCK = 1 << 20
LONGEST_LINE = 1_000_000
# Small enough for the processor caches: 20,000 takes twice as long.
CHUNK_ROWS = 500
# A column with more distinct values than this is no longer searched for repeats: the search would cost more.
MOST_DISTINCT = 200_000
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x1f\x8b", "gzip data, packed twice"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x7fELF", "a program"),
    (b"\xff\xfe", "UTF-16 text; UTF-8 is expected"),
    (b"\xfe\xff", "UTF-16 text; UTF-8 is expected"),
)
DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


class CsvError(ValueError):
    """A raw file can't be read as the rows it should hold; the message names file, line and column."""

    def __init__(self, file: str, problem: str, *, line: int | None = None, column: str | None = None) -> None:
        super().__init__(f"{file}, line {line:,}: {problem}" if line else f"{file}: {problem}")
        self.file = file
        self.line = line
        self.column = column


def read_rows(
    path: Path, columns: Contract | Sequence[str], source: Source, *, name: str | None = None
) -> pd.DataFrame:
    """Rows of a CSV file with a header, all columns of the file as strings, None where a field is empty.

    `columns` are the raw columns that must be there, in any order; more are kept. `name` stands for the file
    in errors (its location before it was fetched). Blank lines are skipped. Raises CsvError.
    """
    (whole,) = read_pieces(path, columns, source, source.max_rows, name=name)
    return whole


def read_pieces(
    path: Path, columns: Contract | Sequence[str], source: Source, rows: int, *, name: str | None = None
) -> Iterator[pd.DataFrame]:
    """The rows of `read_rows` in their order, in pieces of `rows`; the last one may have fewer. Raises CsvError."""
    import pandas as pd

    shown = name or str(path)
    needed = columns.raw_columns if isinstance(columns, Contract) else tuple(columns)
    _refuse_what_is_no_text(path, shown)
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = _Reader(file, shown)
            header = _header(reader, needed)
            records = _checked(reader, header, source.max_rows)
            piece = _columns(records, header, rows)
            if piece is None:
                raise CsvError(shown, "there is a header but no row after it")
            while piece is not None:
                yield pd.DataFrame(dict(zip(header, piece, strict=True)), copy=False)
                piece = None
                piece = _columns(records, header, rows)
        except UnicodeDecodeError as error:
            raise _wrong_encoding(path, shown) from error


def _refuse_what_is_no_text(path: Path, shown: str) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(BLOCK)
    except FileNotFoundError as error:
        raise CsvError(shown, "there is no such file") from error
    except IsADirectoryError as error:
        raise CsvError(shown, "this is a folder; give the CSV file in it") from error
    except OSError as error:
        raise CsvError(shown, f"can't be opened: {error.strerror}") from error
    if not start.strip():
        raise CsvError(shown, "the file is empty")
    kind = next((kind for magic, kind in MAGIC if start.startswith(magic)), None)
    text = start.lstrip(codecs.BOM_UTF8 + b" \t\r\n")[:20].lower()
    if text.startswith((b"<!doctype html", b"<html")):
        kind = "an HTML page, perhaps an error or a login page"
    elif text.startswith(b"<?xml"):
        kind = "an XML document"
    elif kind is None and b"\0" in start:
        kind = "a binary file: it contains NUL bytes"
    if kind:
        raise CsvError(shown, f"not a CSV file; it seems to be {kind}")


def _wrong_encoding(path: Path, shown: str) -> CsvError:
    """Where the first bytes lie that aren't UTF-8. The decoder of a text file only knows its own buffer."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    before, lines = 0, 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                bad = error.object[error.start]
                lines += error.object[: error.start].count(b"\n")
                where = f"byte 0x{bad:02x} at offset {before - held + error.start:,}"
                hint = "the file may be Latin-1 or Windows-1252: save it as UTF-8"
                return CsvError(shown, f"{where} is not UTF-8; {hint}", line=lines + 1)
            before += len(block)
            lines += block.count(b"\n")
    return CsvError(shown, f"the file ends inside a character, at offset {before:,}", line=lines + 1)


class _Reader:
    """The records of an open file, and the line at which the current one began."""

    def __init__(self, file: IO[str], shown: str) -> None:
        self.shown = shown
        self.line = 0
        self.began = 1
        self.first_line = ""
        self.newline_last = True
        self._file = file
        self._records = csv.reader(self._lines(), strict=True)

    def _lines(self) -> Iterator[str]:
        while text := self._file.readline(LONGEST_LINE):
            self.line += 1
            if len(text) == LONGEST_LINE:
                raise self.error(f"longer than {LONGEST_LINE:,} characters; this is no CSV file")
            if "\0" in text:
                raise self.error("a NUL byte; the file is binary or damaged")
            self.first_line = self.first_line or text.strip()
            self.newline_last = text[-1] in "\r\n"
            yield text

    def error(self, problem: str, column: str | None = None) -> CsvError:
        """A CsvError at the line where the current record began."""
        return CsvError(self.shown, problem, line=min(self.began, self.line) or None, column=column)

    def __iter__(self) -> Iterator[list[str]]:
        while True:
            self.began = self.line + 1
            try:
                record = next(self._records)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._wrong_quotes(str(error)) from error
            if record:
                yield record

    def _wrong_quotes(self, problem: str) -> CsvError:
        if "unexpected end" in problem:
            last = f"the file ends at line {self.line:,}"
            return self.error(f"a quote opened in this record is never closed, {last}; is it cut off?")
        if "field limit" in problem:
            return self.error("a field is longer than 131,072 characters; is a quote never closed?")
        return CsvError(self.shown, f"the quotes are wrong: {problem}", line=self.line)


def _header(reader: _Reader, needed: Sequence[str]) -> list[str]:
    """The column names: every needed one is among them, and none is there twice."""
    try:
        header = next(iter(reader))
    except StopIteration:
        raise CsvError(reader.shown, "the file is empty") from None
    except CsvError as error:
        raise _other_delimiter(reader, needed) or error from error
    missing = [n for n in needed if n not in header]
    doubled = next((n for n in header if header.count(n) > 1), None)
    if missing:
        raise _other_delimiter(reader, missing) or _missing(reader, header, missing)
    if doubled is not None:
        raise reader.error(f"column {doubled!r} is there {header.count(doubled)} times", doubled)
    return header


def _other_delimiter(reader: _Reader, missing: Sequence[str]) -> CsvError | None:
    for delimiter, word in DELIMITERS.items():
        names = {n.strip('" ') for n in reader.first_line.split(delimiter)}
        if len(names) > 1 and names & set(missing):
            return reader.error(f"the columns are separated by {word}; commas are expected")
    return None


def _missing(reader: _Reader, header: list[str], missing: list[str]) -> CsvError:
    plain = {n.strip().casefold(): n for n in header}
    problems, like = [], 0
    for name in missing:
        close = difflib.get_close_matches(name.casefold(), plain, n=1, cutoff=0.6)
        like += len(close)
        seen = f"; the file has {plain[close[0]]!r}" if close else ""
        problems.append(f"column {name!r} is missing{seen}")
    if len(missing) > 1 and not like:
        problems.append(f"is this line a header? It begins {reader.first_line[:60]!r}")
    return reader.error("; ".join(problems), missing[0])


def _columns(records: Iterator[list[str]], header: list[str], rows: int) -> list[np.ndarray] | None:
    """One array of strings and None per column of the next rows, built by chunks so that no second copy of all exists.

    None when there are no more.
    """
    import numpy as np

    chunks: list[list[np.ndarray]] = [[] for _ in header]
    seen: list[dict[str, str | None]] = [{"": None} for _ in header]
    left = rows
    while chunk := list(islice(records, min(CHUNK_ROWS, left))):
        left -= len(chunk)
        for kept, known, values in zip(chunks, seen, zip(*chunk, strict=True), strict=True):
            array = np.empty(len(values), dtype=object)
            if len(known) < MOST_DISTINCT:
                array[:] = [known.setdefault(v, v) for v in values]
            else:
                array[:] = [v or None for v in values]
            kept.append(array)
    if not chunks[0]:
        return None
    seen.clear()
    return [np.concatenate(chunks.pop(0)) for _ in header]


def _checked(reader: _Reader, header: list[str], max_rows: int) -> Iterator[list[str]]:
    width = len(header)
    for count, record in enumerate(reader, start=1):
        if len(record) != width:
            raise _wrong_width(reader, record, header)
        if count > max_rows:
            raise reader.error(f"more than {max_rows:,} rows; max_rows is the limit")
        yield record


def _wrong_width(reader: _Reader, record: list[str], header: list[str]) -> CsvError:
    counted = f"{len(record)} fields where the header has {len(header)}"
    if len(record) > len(header):
        return reader.error(f"{counted}: too many; is a comma not quoted?")
    lacking = header[len(record)]
    if not reader.newline_last:
        return reader.error(f"{counted}, and the file ends in this row: it is cut off", lacking)
    return reader.error(f"{counted}: too few, {lacking!r} is the first without a value", lacking)
