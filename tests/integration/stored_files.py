"""What every object store has to do for `Storage`, whosever it is."""

from __future__ import annotations

from pathlib import Path

from mlops_assets.storage.files import Storage, sha256_of


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
