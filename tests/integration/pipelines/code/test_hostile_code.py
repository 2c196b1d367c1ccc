"""Repositories, addresses and servers that want more than to give their code."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from mlops_assets.pipelines import git_checkout
from mlops_assets.pipelines.functions import located
from mlops_assets.pipelines.git_checkout import CheckoutError, checked_out
from mlops_assets.settings import Settings
from tests.integration.pipelines.code.repositories import (
    CODE,
    Repository,
    in_repository,
    only_whole,
    refused,
    stage,
)
from tests.integration.sandboxed import left_behind


def test_only_addresses_that_begin_as_allowed_are_asked(tmp_path: Path) -> None:
    sources = "https://host.example https://git.example/team/ git@ssh.example: file:///srv/code"
    settings = Settings(home=tmp_path / "home", code_sources=sources)
    for address in (
        "https://host.example.evil/x", "https://host.example:8443/x", "https://git.example/other/x",
        "https://git.example/team/../other/x", "https://git.example/team/%2e%2e/other/x",
        "https://git.example/team/..%2fother/x", "https://git.example/team/x/./y",
        "git@other.example:x", "ssh://git@ssh.example/x", "git@ssh.example:../x",
        "file:///srv/codex", "file:///etc", "file:///srv/code/../other",
    ):  # fmt: skip
        wanted = stage(repository=address, commit="0" * 40, file="a.py", name="f")
        words = refused(wanted, settings)
        assert "takes code from" in words or "goes up or round" in words, address
    assert not settings.repositories.exists()


def test_what_a_repository_would_have_run_is_not_run(
    settings: Settings, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "was_run"
    script = f"#!/bin/sh\ntouch {mark}\ncat\n"
    for name in ("post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman", "pre-auto-gc"):
        for folder in (repository.folder / ".git" / "hooks", repository.folder / "hooks", tmp_path / "templates/hooks"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(script)
            (folder / name).chmod(0o755)
    (repository.folder / ".gitattributes").write_text("*.py filter=evil\n")
    (repository.folder / ".gitmodules").write_text(f'[submodule "m"]\n\tpath = m\n\turl = ext::touch {mark}\n')
    commit = repository.commit(code=CODE)
    # Settings of this machine, as whoever could write them would have them.
    home = tmp_path / "someone"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[filter "evil"]\n\tsmudge = touch {mark}; cat\n\trequired = true\n'
        f"[init]\n\ttemplateDir = {tmp_path}/templates\n"
        f"[core]\n\thooksPath = {tmp_path}/templates/hooks\n\tfsmonitor = touch {mark}\n"
    )
    mark.unlink(missing_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(tmp_path / "templates"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    folder = located(in_repository(repository, commit), settings).code_folder
    assert folder is not None
    assert (folder / "code.py").read_text() == CODE
    assert not mark.exists()
    assert not list(folder.rglob(".git"))


def test_submodules_are_left_out(settings: Settings, repository: Repository, tmp_path: Path) -> None:
    inner = Repository(tmp_path / "sources" / "inner")
    inner.commit(secret="1\n")
    repository.git("submodule", "--quiet", "add", inner.address, "sub")
    folder = located(in_repository(repository, repository.commit(code=CODE)), settings).code_folder
    assert folder is not None
    assert list((folder / "sub").iterdir()) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc", "a/../../x", "round", "../files/code.py", ".."])
def test_links_that_lead_out_are_refused(settings: Settings, repository: Repository, target: str) -> None:
    (repository.folder / "a").mkdir()
    (repository.folder / "a" / "keep.py").write_text("1\n")
    (repository.folder / "round").symlink_to(target)
    words = refused(in_repository(repository, repository.commit(code=CODE)), settings)
    assert "function.commit" in words
    assert "a link that leads out of its files: 'round'" in words
    only_whole(settings, 0)


def test_a_repository_that_is_too_large_is_refused_before_it_is_unpacked(
    settings: Settings, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        (repository.folder / f"f{number}.py").write_text("x" * 1000)
    commit = repository.commit(code=os.urandom(100_000).hex())
    for name, value, words in (
        ("MOST_FILES", 20, "more than 20 files"),
        ("MOST_BYTES", 20_000, "0 MB"),
        ("MOST_NAMES_BYTES", 512, "files or"),
        ("MOST_FETCHED_BYTES", 51_200, "has more than 0 MB"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(git_checkout, name, value)
            assert words in refused(in_repository(repository, commit), settings), name
    only_whole(settings, 0)
    located(in_repository(repository, commit), settings)


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, silent_server: int) -> None:
    address = f"https://127.0.0.1:{silent_server}/x"
    with pytest.raises(CheckoutError, match="wasn't fetched within 1 s"):
        checked_out(tmp_path / "out", address, "main", "0" * 40, seconds=1)
    assert left_behind(address) == []
    assert not [path for path in (tmp_path / "out").glob("*/*") if not path.name.endswith(".lock")]


class Unhelpful(BaseHTTPRequestHandler):
    """Sends on to /inside, and wants a password below /closed."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(401 if self.path.startswith("/closed") else 301)
        self.send_header("WWW-Authenticate", "Basic realm=x")
        self.send_header("Location", "/inside/info/refs?service=git-upload-pack")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_sends_on_or_wants_a_password_is_not_followed(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Unhelpful) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for place in ("moved", "closed"):
            with pytest.raises(CheckoutError) as caught:
                checked_out(tmp_path, f"http://127.0.0.1:{server.server_port}/{place}", "main", "0" * 40, seconds=20)
            assert (caught.value.field, "can't be fetched" in str(caught.value)) == ("repository", True)
        server.shutdown()
        thread.join()
    assert {path.split("/")[1] for path in Unhelpful.asked} == {"moved", "closed"}


def test_a_helper_transport_is_refused_even_if_it_came_through(tmp_path: Path) -> None:
    mark = tmp_path / "was_run"
    for address in (f"ext::touch {mark}", "fd::17", f"--upload-pack=touch {mark}"):
        with pytest.raises(CheckoutError):
            checked_out(tmp_path / "out", address, "main", "0" * 40, seconds=20)
    assert not mark.exists()
