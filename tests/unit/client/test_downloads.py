"""A downloaded file is whole and the right one, or it isn't there; its name never leads out of the folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.client import DownloadError, NotFoundError, UnavailableError
from tests.unit.client.fake_api import Broken, FakeApi, artifact, ok, problem

CONTENT = "GET artifacts/a1/content"


def serving(content: bytes, **more: Any) -> FakeApi:
    api = FakeApi().on("GET artifacts/a1", ok(artifact(content, **more)))
    return api.on(CONTENT, lambda _: httpx.Response(200, stream=Broken([content[:3], content[3:]], None)))


def test_a_file_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "mine.csv"
    target.write_text("old")
    assert serving(b"a,b\n1,2\n").client.download("a1", target) == target
    assert target.read_bytes() == b"a,b\n1,2\n"
    assert os.listdir(tmp_path) == ["mine.csv"]
    before = os.umask(0o027)
    try:
        serving(b"x").client.download("a1", target)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "sent",
    [[b"other 8b"], [b"short"], [b"much too long for it"], [], [b"x" * 1000] * 1000],
)
def test_other_bytes_than_were_kept_are_refused_and_leave_the_old_file(tmp_path: Path, sent: list[bytes]) -> None:
    target = tmp_path / "mine.csv"
    target.write_text("old")
    api = serving(b"a,b\n1,2\n").on(CONTENT, lambda _: httpx.Response(200, stream=Broken(sent, None)))
    with pytest.raises(DownloadError, match="a1"):
        api.client.download("a1", target)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["mine.csv"]


def test_a_file_without_an_end_is_not_read_to_it(tmp_path: Path) -> None:
    pieces = 0

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            nonlocal pieces
            while True:
                pieces += 1
                yield b"x" * 1_000_000

    api = serving(b"small").on(CONTENT, lambda _: httpx.Response(200, stream=Endless()))
    with pytest.raises(DownloadError):
        api.client.download("a1", tmp_path / "mine")
    assert pieces < 10


def test_a_broken_download_begins_anew(tmp_path: Path) -> None:
    api = serving(b"content").on(
        CONTENT,
        lambda _: httpx.Response(200, stream=Broken([b"con"], httpx.ReadError("reset"))),
        problem(503),
        lambda _: httpx.Response(200, content=b"content"),
    )
    assert api.client.download("a1", tmp_path / "mine").read_bytes() == b"content"


def test_a_download_that_always_breaks_leaves_nothing(tmp_path: Path) -> None:
    api = serving(b"content").on(CONTENT, lambda _: httpx.Response(200, stream=Broken([b"con"], httpx.ReadError("no"))))
    with pytest.raises(UnavailableError):
        api.client.download("a1", tmp_path / "mine")
    assert os.listdir(tmp_path) == []


def test_in_a_folder_a_file_has_its_own_name_and_replaces_nothing(tmp_path: Path) -> None:
    api = serving(b"content", name="plots/roc curve.png")
    assert api.client.download("a1", tmp_path) == tmp_path / "roc curve.png"
    with pytest.raises(DownloadError, match="there already"):
        api.client.download("a1", str(tmp_path))
    (tmp_path / "roc curve.png").unlink()
    (tmp_path / "roc curve.png").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DownloadError, match="there already"):
        api.client.download("a1", tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../../up",
        "/etc/passwd",
        "..",
        ".",
        "",
        "/",
        ".bashrc",
        "a/..",
        "a\\..\\b",
        "x\0y",
        "\x1b[2J",
        "x" * 300,
        "ü" * 150,
    ],
)
def test_an_odd_name_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    found = serving(b"content", name=name).client.download("a1", folder)
    assert found.parent == folder
    assert os.listdir(folder) == [found.name]
    assert os.listdir(tmp_path) == ["in"]
    assert found.name.isprintable()
    assert not found.name.startswith(".")


def test_in_a_folder_the_ending_is_the_one_that_the_api_knows(tmp_path: Path) -> None:
    api = serving(b"content", name="result")
    told = "attachment; filename=\"result.parquet\"; filename*=UTF-8''r%C3%A9sultat.parquet"
    api.on(CONTENT, lambda _: httpx.Response(200, content=b"content", headers={"content-disposition": told}))
    assert api.client.download("a1", tmp_path) == tmp_path / "résultat.parquet"


@pytest.mark.parametrize("told", ["..%2Fup", "%2Fetc%2Fpasswd", "..", "%00", "%1b%5b2J", "%ff", ""])
def test_a_name_of_a_header_never_leads_out_of_the_folder(tmp_path: Path, told: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    header = {"content-disposition": f"attachment; filename*=UTF-8''{told}"}
    api = serving(b"content", id="../a1", stage="../up")
    api.on("GET artifacts/..%2Fa1/content", lambda _: httpx.Response(200, content=b"content", headers=header))
    assert api.client.download("a1", folder).parent == folder
    assert len(os.listdir(folder)) == 1
    assert os.listdir(tmp_path) == ["in"]


def test_what_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="nowhere"):
        serving(b"x").client.download("a1", tmp_path / "nowhere" / "mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="file"):
        serving(b"x").client.download("a1", tmp_path / "file" / "mine")


def test_a_removed_file_is_not_found(tmp_path: Path) -> None:
    api = FakeApi().on("GET artifacts/a1", ok(artifact(location=None))).on(CONTENT, problem(404, "it was removed"))
    with pytest.raises(NotFoundError, match="removed"):
        api.client.download("a1", tmp_path / "mine")
    assert os.listdir(tmp_path) == []


def test_every_artifact_of_every_page_is_told_once() -> None:
    def page(*ids: str) -> httpx.Response:
        return ok({"items": [artifact(id=one) for one in ids], "total": 3, "limit": 200, "offset": 0})

    api = FakeApi().on("GET artifacts", page("a", "b"), page("b", "c"))
    assert [one.id for one in api.client.artifacts(run="r1", type="PLOT", result=False)] == ["a", "b", "c"]
    asked = api.requests[1].url.params
    assert (asked["run"], asked["type"], asked["result"], asked["offset"]) == ("r1", "PLOT", "false", "2")
