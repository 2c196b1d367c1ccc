"""Fetching from this machine: limits, gzip, changes meanwhile, and credentials that never show."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.storage.files import StorageError
from mlops_assets.training.data import raw_file, sources
from mlops_assets.training.data.raw_file import RawFile, SourceError
from mlops_assets.training.data.sources import fetch, fetch_sample, redacted
from mlops_assets.training.data.spec import Source

ROWS = b"location,price\n" + b"Hebbal,60\n" * 5_000


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "prices.csv"
    path.parent.mkdir()
    path.write_bytes(ROWS)
    return path


def nothing_left(folder: Path) -> bool:
    return not folder.exists() or list(folder.iterdir()) == []


@pytest.mark.parametrize("form", ["{0}", "file://{0}", "file://localhost{0}"])
def test_a_local_file_is_copied_and_hashed(raw: Path, tmp_path: Path, form: str) -> None:
    fetched = fetch(Source(location=form.format(raw)), tmp_path / "out")
    assert fetched.path.read_bytes() == ROWS
    assert (fetched.sha256, fetched.bytes) == (hashlib.sha256(ROWS).hexdigest(), len(ROWS))
    assert str(raw) in fetched.location
    assert not fetched.sample


def test_the_override_wins(raw: Path, tmp_path: Path) -> None:
    assert fetch(Source(location="/nowhere.csv"), tmp_path / "out", str(raw)).bytes == len(ROWS)


@pytest.mark.parametrize("packed", [gzip.compress(ROWS), gzip.compress(ROWS[:7]) + gzip.compress(ROWS[7:])])
def test_gzip_is_the_same_content_whatever_its_name_and_members(raw: Path, tmp_path: Path, packed: bytes) -> None:
    plain = fetch(Source(location=str(raw)), tmp_path / "out")
    raw.write_bytes(packed)
    unpacked = fetch(Source(location=str(raw)), tmp_path / "out2")
    assert (unpacked.sha256, unpacked.bytes) == (plain.sha256, plain.bytes)
    assert "unpacked from gzip" in unpacked.description


@given(data=st.binary(max_size=5_000), cut=st.integers(1, 400), packed=st.booleans())
def test_any_bytes_in_any_portions_arrive_as_they_are(data: bytes, cut: int, packed: bool) -> None:
    if data.startswith(raw_file.GZIP):
        return
    sent, kept = gzip.compress(data) if packed else data, io.BytesIO()
    receiver = RawFile(kept, Path("x"), "x", 1, 60)
    for start in range(0, len(sent), cut):
        receiver.write(sent[start : start + cut])
    receiver.finish()
    assert kept.getvalue() == data
    assert receiver.sha256 == hashlib.sha256(data).hexdigest()


def test_a_gzip_bomb_stops_at_the_limit(raw: Path, tmp_path: Path) -> None:
    with gzip.open(raw, "wb") as file:
        for _ in range(200):
            file.write(bytes(1_000_000))
    assert raw.stat().st_size < 1_000_000
    with pytest.raises(SourceError, match="what the gzip file unpacks to is larger than 5 MB"):
        fetch(Source(location=str(raw), max_megabytes=5), tmp_path / "out")
    assert nothing_left(tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gzip.compress(ROWS)[:-20], "the gzip file is cut off"),
        (gzip.compress(ROWS)[:20] + b"\xff" * 30 + gzip.compress(ROWS)[50:], "the gzip file is damaged"),
        (gzip.compress(ROWS) + b"rubbish", "the gzip file is damaged"),
    ],
)
def test_a_damaged_gzip_is_told(raw: Path, tmp_path: Path, content: bytes, told: str) -> None:
    raw.write_bytes(content)
    with pytest.raises(SourceError, match=told):
        fetch(Source(location=str(raw)), tmp_path / "out")
    assert nothing_left(tmp_path / "out")


def test_too_large_a_file_is_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"larger than 0\.01 MB; max_megabytes"):
        fetch(Source(location=str(raw), max_megabytes=0.01), tmp_path / "out")
    assert nothing_left(tmp_path / "out")


def test_an_older_raw_file_stays_when_a_fetch_fails(raw: Path, tmp_path: Path) -> None:
    fetch(Source(location=str(raw)), tmp_path / "out")
    with pytest.raises(SourceError):
        fetch(Source(location=str(tmp_path / "none.csv")), tmp_path / "out")
    assert (tmp_path / "out" / "raw.csv").read_bytes() == ROWS


@pytest.mark.parametrize("change", ["append", "same_size", "replace", "cut"])
def test_a_file_that_changes_while_it_is_copied_is_noticed(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    real = RawFile.write

    def write_and_change(self: RawFile, block: bytes) -> None:
        real(self, block)
        if change == "append":
            with raw.open("ab") as file:
                file.write(b"more,1\n")
        elif change == "same_size":
            raw.write_bytes(ROWS[:-10] + b"Hoodi,555\n")
        elif change == "replace":
            other = raw.with_suffix(".new")
            other.write_bytes(ROWS)
            os.replace(other, raw)
        else:
            os.truncate(raw, 100)

    monkeypatch.setattr(RawFile, "write", write_and_change)
    monkeypatch.setattr(sources, "BLOCK", 20_000)
    with pytest.raises(SourceError, match="changed while it was being copied") as caught:
        fetch(Source(location=str(raw)), tmp_path / "out")
    assert caught.value.transient
    assert nothing_left(tmp_path / "out")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for location, told in (
        (tmp_path / "pipe", "not a regular file"), ("/dev/zero", "not a regular file"),
        (tmp_path, "is a folder"), (tmp_path / "none.csv", "there is no such file"),
        ("/" + "x" * 300, "File name too long"),
    ):  # fmt: skip
        with pytest.raises(SourceError, match=told):
            fetch(Source(location=str(location)), tmp_path / "out")


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (None, "no location is declared"), ("a\0b", "NUL"), ("ftp://host/a.csv", "only a path"),
        ("file://server/share/a.csv", "file:///"), ("http://[bad/a.csv", "not a valid URL"),
        ("http:///a.csv", "not a valid URL"), ("s3://bucket", "s3://bucket/key"),
        ("s3://key:hush@bucket/a.csv", "s3://bucket/key"), ("file:///a%00b.csv", "file:///"),
    ],
)  # fmt: skip
def test_a_location_that_can_not_be_is_told(tmp_path: Path, location: str | None, told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        fetch(Source(location=location), tmp_path / "out")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://user:hush@host/a.csv?sig=hush#hush", "https://***@host/a.csv?***"),
        ("https://hush@host:8443/a.csv", "https://***@host:8443/a.csv"),
        ("s3://key:hush@bucket/a.csv", "s3://***@bucket/a.csv"),
        ("https://host/a.csv", "https://host/a.csv"),
        ("https://[hush/a.csv", "https://***"),
        ("/data/a?b.csv", "/data/a?b.csv"),
    ],
)
def test_a_location_is_shown_without_credentials(location: str, shown: str) -> None:
    assert redacted(location) == shown


def test_a_full_disk_is_the_disks_fault(raw: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, timeout=20).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        raw.write_bytes(ROWS * 50)
        with pytest.raises(StorageError, match=r"disk/raw\.csv: no space left.*MB free"):
            fetch(Source(location=str(raw)), disk)
        assert nothing_left(disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True, timeout=20)


def test_sample_rows_are_a_file_like_any_other_and_marked(tmp_path: Path) -> None:
    from mlops_assets.products.samples.house_prices import generate
    from mlops_assets.training.data.csv_file import read_rows

    source = Source(sample_rows=300, sample_seed=7)
    fetched = fetch_sample(generate, source, tmp_path)
    assert fetched.sample
    assert "sample data: 300 generated rows, seed 7" in fetched.description
    import pandas as pd

    rows = read_rows(fetched.path, ("location", "price"), source)
    pd.testing.assert_frame_equal(rows, generate(300, 7))
    again = fetch_sample(generate, source, tmp_path / "again")
    other = fetch_sample(generate, source.model_copy(update={"sample_seed": 8}), tmp_path / "other")
    assert again.sha256 == fetched.sha256 != other.sha256
