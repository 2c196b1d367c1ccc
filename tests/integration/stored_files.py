"""What every object store has to do for `Storage`, whosever it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops_assets.storage.files import Storage, sha256_of
from mlops_assets.storage.folders import fetch_files, last_written, remove_files


def check_files(storage: Storage, folder: Path) -> None:
    """Write, replace, read, list and remove files of an empty root."""
    kept, local = storage.at("house_prices", "v1"), folder / "rows"
    assert not kept.exists("a.json")
    assert kept.names() == ()
    kept.write_json("a.json", {"b": "é"})
    kept.write_json("a.json", {"b": "ü"})
    assert kept.read_json("a.json") == {"b": "ü"}
    local.write_bytes(b"row\n" * 1000)
    kept.write_file("rows", local)
    assert kept.sha256("rows") == sha256_of(local)
    kept.read_file("rows", folder / "back")
    assert (folder / "back").read_bytes() == local.read_bytes() == kept.read_bytes("rows")
    assert kept.names() == ("a.json", "rows")
    assert storage.at("house_prices").names() == ("v1",)
    assert (kept.exists("a.json"), storage.at("house_prices").exists("v1")) == (True, False)
    assert (kept.root / "a.json").read_bytes() == kept.read_bytes("a.json")
    kept.remove("a.json")
    kept.remove("a.json")
    assert kept.names() == ("rows",)
    check_whole_folders(storage, folder)


def check_whole_folders(storage: Storage, folder: Path) -> None:
    """A folder in a folder is brought, dated and removed with all that is in it, and nothing beside it."""
    whole, beside = storage.at("whole"), storage.at("whole2")
    assert last_written(whole) is None
    remove_files(whole)
    for place in (whole, whole.at("inner"), beside):
        place.write_bytes("rows", b"row")
    before = datetime.now(UTC)
    assert abs((last_written(whole) or before) - before) < timedelta(minutes=10)
    fetch_files(whole, folder / "brought")
    assert sorted(path.name for path in (folder / "brought").rglob("rows")) == ["rows", "rows"]
    remove_files(whole)
    assert (last_written(whole), beside.read_bytes("rows")) == (None, b"row")
