"""Watching a source: one content, one run; touched, known, half-written and missing files none."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.data import watch
from mlops_assets.training.data.raw_file import SourceError
from mlops_assets.training.spec import Product

Look = Callable[..., watch.Seen]


@pytest.fixture(scope="module")
def product() -> Product:
    return declared_products()[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "listings.csv"
    written(path, "first")
    return path


def written(path: Path, content: str, age: float = 60.0) -> None:
    """Write a file that was last changed `age` seconds ago."""
    path.write_text(content)
    moment = time.time() - age
    os.utime(path, (moment, moment))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Contents that are data versions, by their hash; stands for the table."""
    versions: dict[str, int] = {}

    class Versions:
        def __init__(self, *_: Any) -> None: ...

        def list(self, _: str) -> list[Any]:
            return [SimpleNamespace(sha256=sha256, version=number) for sha256, number in versions.items()]

    monkeypatch.setattr(watch, "DatasetVersions", Versions)
    return versions


@pytest.fixture
def look(product: Product, known: dict[str, int]) -> Look:
    def at(location: Path | str, cursor: str | None = None) -> watch.Seen:
        return watch.look(product, str(location), cursor, database=None)  # type: ignore[arg-type]

    return at


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def test_a_new_content_is_asked_for_once(look: Look, file: Path) -> None:
    first = look(file)
    assert first.run_key == f"house_prices-{sha256('first')}"
    again = look(file, first.cursor)
    assert again.run_key is None
    assert "unchanged" in again.said


def test_a_touched_file_has_the_same_key_and_a_known_one_has_none(
    look: Look, file: Path, known: dict[str, int]
) -> None:
    first = look(file)
    written(file, "first", age=30)
    assert look(file, first.cursor).run_key == first.run_key, "Dagster drops a key that it has seen"
    known[sha256("first")] = 7
    touched = look(file, first.cursor)
    assert touched.run_key is None
    assert "V7" in touched.said
    assert look(file, touched.cursor).said.endswith("unchanged")


def test_another_content_of_the_same_size_is_seen(look: Look, file: Path, known: dict[str, int]) -> None:
    known[sha256("first")] = 1
    cursor = look(file).cursor
    written(file, "secnd", age=30)
    assert look(file, cursor).run_key == f"house_prices-{sha256('secnd')}"


def test_a_file_that_takes_the_place_of_another_with_its_times_is_seen(look: Look, file: Path, tmp_path: Path) -> None:
    before, state = look(file), file.stat()
    fresh = tmp_path / "fresh.csv"
    fresh.write_text("secnd")
    os.utime(fresh, ns=(state.st_atime_ns, state.st_mtime_ns))
    os.replace(fresh, file)
    assert look(file, before.cursor).run_key == f"house_prices-{sha256('secnd')}"


def test_a_file_that_is_being_written_is_waited_for(look: Look, file: Path) -> None:
    cursor = look(file).cursor
    written(file, "sec", age=0)
    during = look(file, cursor)
    assert (during.run_key, during.cursor) == (None, cursor), "the next look decides"
    assert "being written" in during.said
    written(file, "second", age=10)
    assert look(file, cursor).run_key == f"house_prices-{sha256('second')}"


def test_a_clock_that_went_back_does_not_hide_a_file_for_ever(look: Look, file: Path) -> None:
    written(file, "from tomorrow", age=-86_400)
    assert look(file).run_key == f"house_prices-{sha256('from tomorrow')}"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_missing_file_is_named_and_found_when_it_is_back(look: Look, file: Path, scheme: str) -> None:
    location = f"{scheme}{file}"
    first = look(location)
    content = file.read_text()
    file.unlink()
    missing = look(location, first.cursor)
    assert (missing.run_key, missing.cursor) == (None, first.cursor)
    assert str(file) in missing.said
    written(file, content, age=9)
    assert look(location, missing.cursor).run_key == first.run_key


def test_a_folder_is_named_and_no_run(look: Look, tmp_path: Path) -> None:
    os.utime(tmp_path, (1, 1))
    seen = look(tmp_path)
    assert seen.run_key is None
    assert str(tmp_path) in seen.said
    assert "folder" in seen.said


def test_a_file_that_changes_while_it_is_read_is_looked_at_again(
    look: Look, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(*_: Any) -> Any:
        raise SourceError(f"{file} changed while it was being copied", transient=True)

    cursor = look(file).cursor
    written(file, "second")
    monkeypatch.setattr(watch.sources, "fetch", torn)
    seen = look(file, cursor)
    assert (seen.run_key, seen.cursor) == (None, cursor)
    assert "changed while" in seen.said


def test_what_is_remembered_and_said_of_a_url_holds_no_secret(
    look: Look, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import httpx

    secret, fetched = "hush", []

    async def told_nothing(_: str) -> httpx.Headers:
        return httpx.Headers()

    def fetch(_: Any, __: Path, location: str) -> Any:
        fetched.append(location)
        return SimpleNamespace(sha256="ab" * 32)

    monkeypatch.setattr(watch, "_ask", told_nothing)
    monkeypatch.setattr(watch.sources, "fetch", fetch)
    url = f"https://user:{secret}@example.invalid/listings.csv?token={secret}"
    seen = look(url)
    assert fetched == [url]
    assert seen.run_key == f"house_prices-{'ab' * 32}"
    assert secret not in f"{seen.cursor} {seen.said}"
    assert secret not in caplog.text
    assert look(url, seen.cursor).run_key == seen.run_key, "a server that tells nothing is fetched at each look"
