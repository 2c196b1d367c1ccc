"""Raw CSV files with everything that can be wrong with them."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets.training.data.csv_file import CsvError, read_rows
from mlops_assets.training.data.spec import Source

COLUMNS = ("location", "total_sqft", "price")
GOOD = "location,total_sqft,price\nHebbal,1200,60\n,1300,\n"


def read(tmp_path: Path, content: str | bytes, columns=COLUMNS, **limits):
    path = tmp_path / "raw.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(path, columns, Source(**limits))


def refused(tmp_path: Path, content: str | bytes, **limits) -> CsvError:
    with pytest.raises(CsvError) as caught:
        read(tmp_path, content, **limits)
    assert "raw.csv" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.replace("\n", "\n\n"),
        GOOD.replace("Hebbal", '"Hebbal"'),
    ],
    ids=["plain", "bom", "crlf", "cr", "blank_lines", "quoted"],
)
def test_every_value_is_text_and_an_empty_one_is_missing(tmp_path: Path, content: str) -> None:
    frame = read(tmp_path, content)
    assert frame.columns.tolist() == list(COLUMNS)
    assert frame.to_dict("records") == [
        {"location": "Hebbal", "total_sqft": "1200", "price": "60"},
        {"location": None, "total_sqft": "1300", "price": None},
    ]


def test_words_that_other_readers_take_for_missing_stay_text(tmp_path: Path) -> None:
    frame = read(tmp_path, "location,total_sqft,price\nNA,null,1e3\nNone,nan, 007\n")
    assert frame["location"].tolist() == ["NA", "None"]
    assert frame["total_sqft"].tolist() == ["null", "nan"]
    assert frame["price"].tolist() == ["1e3", " 007"]


def test_other_order_and_more_columns_are_fine(tmp_path: Path) -> None:
    frame = read(tmp_path, "price,broker,location,total_sqft\n60,Mr X,Hebbal,1200\n")
    assert frame.loc[0].to_dict() == {
        "price": "60",
        "broker": "Mr X",
        "location": "Hebbal",
        "total_sqft": "1200",
    }


def test_a_quoted_value_may_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    frame = read(tmp_path, 'location,total_sqft,price\n"a, ""b""\nc",1,2\nd,3,4\n')
    assert frame["location"].tolist() == ['a, "b"\nc', "d"]


def test_a_last_line_without_line_end_is_complete(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD + "Hoodi,1000,50")["price"].tolist() == ["60", None, "50"]


def test_one_row_is_a_file(tmp_path: Path) -> None:
    assert len(read(tmp_path, "location,total_sqft,price\na,b,c")) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        (",".join(COLUMNS), "a header but no row"),
        (",".join(COLUMNS) + "\n\n\n", "a header but no row"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG image"),
        (b"PK\x03\x04" + bytes(50), "zip archive or an Excel"),
        (b"PAR1\x15\x04", "Parquet"),
        (gzip.compress(GOOD.encode(), mtime=0), "gzip data"),
        (GOOD.encode("utf-16"), "UTF-16"),
        (b"location\0,total_sqft", "NUL bytes"),
        ("<!DOCTYPE html><html>404</html>", "an HTML page"),
        ("\ufeff  <html><body>Log in", "an HTML page"),
    ],
)
def test_what_is_no_csv_is_told_as_what_it_seems_to_be(tmp_path: Path, content: str | bytes, told: str) -> None:
    assert told in str(refused(tmp_path, content))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CsvError, match=r"none\.csv: there is no such file"):
        read_rows(tmp_path / "none.csv", COLUMNS, Source())
    with pytest.raises(CsvError, match="this is a folder"):
        read_rows(tmp_path, COLUMNS, Source())


def test_the_errors_name_the_place_the_file_came_from(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_text("")
    with pytest.raises(CsvError, match=r"^https://host/prices\.csv: the file is empty"):
        read_rows(tmp_path / "raw.csv", COLUMNS, Source(), name="https://host/prices.csv")


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("location,total_sqfeet,price", "column 'total_sqft' is missing; the file has 'total_sqfeet'"),
        ("location,Total_SQFT,price", "column 'total_sqft' is missing; the file has 'Total_SQFT'"),
        ("location,price, total_sqft", "column 'total_sqft' is missing; the file has ' total_sqft'"),
        ("location,price", "column 'total_sqft' is missing"),
        ("location,total_sqft,price,price", "column 'price' is there 2 times"),
        ("location,total_sqft,price,x,x", "column 'x' is there 2 times"),
        ("location;total_sqft;price", "separated by semicolons; commas are expected"),
        ('"location";"total_sqft";"price"', "separated by semicolons; commas are expected"),
        ("location\ttotal_sqft\tprice", "separated by tabs"),
        ("location|total_sqft|price", "separated by vertical bars"),
        ("Hebbal,1200,60", "is this line a header? It begins 'Hebbal,1200,60'"),
    ],
)
def test_a_wrong_header_is_told_plainly(tmp_path: Path, header: str, told: str) -> None:
    error = refused(tmp_path, f"{header}\n1,2,3\n")
    assert told in str(error)
    assert error.line == 1


@pytest.mark.parametrize(
    ("rows", "line", "told"),
    [
        ("a,1,2\nb,1\nc,1,2\n", 3, "2 fields where the header has 3: too few, 'price'"),
        ("a,1,2\n\nb, c,1,2\n", 4, "4 fields where the header has 3: too many"),
        ("a,1,2\nb,1", 3, "the file ends in this row: it is cut off"),
        ('a,1,2\n"b,1,2\nc,1,2\n', 3, "never closed, the file ends at line 200,004"),
        ('a,1,2\n"b" c,1,2\n', 3, "the quotes are wrong"),
        ("a,1,2\nb,\0,2\n", 3, "NUL"),
        ('a,1,2\n"' + "x\n" * 70_000 + '",1,2\n', 3, "is a quote never closed?"),
        ("a,1,2\n" + "x" * 1_000_001 + "\n", 3, "longer than 1,000,000 characters"),
    ],
    ids=["few", "many", "cut", "quote", "after_quote", "nul", "long_field", "long_line"],
)
def test_a_damaged_row_is_told_with_its_line(tmp_path: Path, rows: str, line: int, told: str) -> None:
    # Past the first block, so that the file isn't taken for a binary one at its start.
    filler = "f,1,2\n" * 200_000
    error = refused(tmp_path, f"location,total_sqft,price\n{filler}{rows}")
    assert told in str(error)
    assert error.line == line + 200_000


@pytest.mark.parametrize("before", [0, 300_000])
def test_bytes_of_another_encoding_are_told_with_offset_and_line(tmp_path: Path, before: int) -> None:
    start = b"location,total_sqft,price\n" + b"f,1,2\n" * before + b"\xc3\xa9,1,2\nCaf"
    error = refused(tmp_path, start + b"\xe9,1,2\n")
    assert f"byte 0xe9 at offset {len(start):,} is not UTF-8" in str(error)
    assert error.line == before + 3


def test_a_file_that_ends_inside_a_character(tmp_path: Path) -> None:
    assert "inside a character" in str(refused(tmp_path, GOOD.encode() + b"Caf\xc3"))


def test_counting_stops_at_the_limit(tmp_path: Path) -> None:
    ten = "location,total_sqft,price\n" + "a,1,2\n" * 10
    assert len(read(tmp_path, ten, max_rows=10)) == 10
    error = refused(tmp_path, ten + "b,1,2\nbroken", max_rows=10)
    assert "more than 10 rows; max_rows is the limit" in str(error)
    assert error.line == 12


def test_two_million_rows_under_a_limit_cost_the_memory_of_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    with path.open("w") as file:
        file.write("location,total_sqft,price\n")
        for start in range(0, 2_000_000, 100_000):
            file.writelines(f"place {n},{n},{n}.5\n" for n in range(start, start + 100_000))
    script = (
        "import resource, sys; from pathlib import Path; import pandas\n"
        "from mlops_assets.training.data.csv_file import *; from mlops_assets.training.data.spec import Source\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_rows(Path(sys.argv[1]), ['price'], Source(max_rows=50_000))\n"
        "except CsvError as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    told, megabytes = (
        subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=120
        )
        .stdout.strip()
        .split("\n")
    )
    assert "line 50,002: more than 50,000 rows" in told
    assert float(megabytes) < path.stat().st_size / 1e6


@pytest.mark.real_data
def test_the_real_file_reads_as_another_reader_reads_it() -> None:
    import os

    import pandas as pd

    path = Path(os.environ["MLOPS_REAL_DATA"]) / "bengaluru_house_prices.csv"
    frame = read_rows(path, ("location", "price"), Source())
    other = pd.read_csv(path, dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(frame.fillna(""), other)
