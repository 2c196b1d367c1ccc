"""Code of stages: files of the functions' folder, and commits of real git repositories, kind and hostile ones."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mlops_assets.pipelines import git_checkout
from mlops_assets.pipelines.functions import FunctionError, Located, located
from mlops_assets.pipelines.git_checkout import CheckoutError, checked_out
from mlops_assets.pipelines.spec import StageSpec
from mlops_assets.settings import Settings
from tests.integration.sandboxed import Stages, left_behind
from tests.servers import wait_until

CODE = "from helper import TWO\ndef double(prepare):\n    return prepare * TWO\n"


class Repository:
    """A git repository with a working folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    @property
    def address(self) -> str:
        return f"file://{self.folder}"

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always", *arguments],
            cwd=self.folder, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        """Write `<name>.py` files, keep all there is, and give the commit."""
        for name, content in files.items():
            (self.folder / f"{name}.py").write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=more")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "sources" / "code")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", code_sources=f"https:// file://{tmp_path}/sources/")


def stage(**function: Any) -> StageSpec:
    return StageSpec.model_validate({"name": "train", "stage_type": "MODEL_TRAINING", "function": function})


def in_repository(code: Repository, commit: str, **more: str) -> StageSpec:
    return stage(**({"repository": code.address, "commit": commit, "file": "code.py", "name": "double"} | more))


def refused(wanted: StageSpec, settings: Settings) -> str:
    with pytest.raises(FunctionError, match=r"^stage train: function\.") as caught:
        located(wanted, settings)
    return str(caught.value)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def only_whole(settings: Settings, commits: int) -> None:
    """Assert that below the repositories' folder is nothing but locks and so many whole checkouts."""
    left = [path for path in settings.repositories.glob("*/*") if not path.name.endswith(".lock")]
    assert len(left) == commits, left
    assert not any(path.name.startswith(".") for path in left)


def test_source_and_installed_functions_are_as_the_spec_says(settings: Settings) -> None:
    source = StageSpec.model_validate({"name": "a", "stage_type": "CLEANUP", "source": "def run(): ..."})
    assert located(source, settings) == Located("def run(): ...", None, None)
    assert located(stage(path="math:sqrt"), settings) == Located(None, "math:sqrt", None)


def test_a_function_in_a_file_is_run_with_its_neighbours(settings: Settings, tmp_path: Path) -> None:
    settings.functions.mkdir(parents=True)
    (settings.functions / "helper.py").write_text("TWO = 2\n")
    (settings.functions / "own").mkdir()
    (settings.functions / "own" / "code.py").write_text(CODE.replace("prepare", "x=21").replace("x=21 *", "x *"))
    found = located(stage(file="own/code.py", name="double"), settings)
    assert found == Located(None, "own/code.py:double", settings.functions)
    stages = Stages(tmp_path)
    outcome = stages.run(found.source, function=found.function, code_folder=found.code_folder)
    assert outcome.status == "completed", outcome.error
    assert outcome.result is not None
    assert outcome.result.path is not None
    assert outcome.result.path.read_text() == "42"


def test_a_file_that_is_missing_closed_or_elsewhere_is_named(settings: Settings, tmp_path: Path) -> None:
    assert "has no file code.py" in refused(stage(file="code.py", name="f"), settings)
    settings.functions.mkdir(parents=True)
    (settings.functions / "code.py").write_text("def f(): ...\n")
    (settings.functions / "folder.py").mkdir()
    (tmp_path / "secret.py").write_text("def f(): ...\n")
    (settings.functions / "link.py").symlink_to(tmp_path / "secret.py")
    (settings.functions / "round.py").symlink_to("round.py")
    assert "is no file" in refused(stage(file="folder.py", name="f"), settings)
    assert "leads out" in refused(stage(file="link.py", name="f"), settings)
    assert "round.py" in refused(stage(file="round.py", name="f"), settings)
    assert "has no file" in refused(stage(file="code.py/x.py", name="f"), settings)
    if os.geteuid() == 0:
        (settings.functions / "code.py").chmod(0o600)
        assert "can't be read by every user" in refused(stage(file="code.py", name="f"), settings)
        (settings.functions / "code.py").chmod(0o644)
        settings.functions.chmod(0o700)
        assert "can't be read by every user" in refused(stage(file="code.py", name="f"), settings)


def test_a_commit_is_run_as_it_was_whatever_came_later(
    settings: Settings, repository: Repository, tmp_path: Path
) -> None:
    first = repository.commit(code=CODE.replace("prepare", "").replace("return  *", "return 20 *"), helper="TWO = 2\n")
    repository.commit(code="raise SystemExit\n")
    found = located(in_repository(repository, first), settings)
    assert found.code_folder is not None
    assert sorted(contents(found.code_folder)) == ["code.py", "helper.py"]
    outcome = Stages(tmp_path).run(found.source, function=found.function, code_folder=found.code_folder)
    assert outcome.status == "completed", outcome.error
    assert outcome.result is not None
    assert outcome.result.path is not None
    assert outcome.result.path.read_text() == "40"
    # It stays usable without the repository.
    repository.folder.rename(tmp_path / "gone")
    assert located(in_repository(repository, first), settings) == found
    only_whole(settings, 1)


def test_everybody_may_read_a_checkout_and_nobody_else_write(settings: Settings, repository: Repository) -> None:
    (repository.folder / "deep" / "er").mkdir(parents=True)
    (repository.folder / "deep" / "er" / "run.py").write_text("1\n")
    (repository.folder / "deep" / "er" / "run.py").chmod(0o755)
    (repository.folder / "in.py").symlink_to("deep/er/run.py")
    commit = repository.commit(code="1\n")
    old = os.umask(0o077)
    try:
        folder = located(in_repository(repository, commit), settings).code_folder
    finally:
        os.umask(old)
    assert folder is not None
    assert (folder / "in.py").read_text() == "1\n"
    for path in (folder, *folder.rglob("*")):
        assert path.is_symlink() or path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_what_is_not_in_the_repository_is_named(settings: Settings, repository: Repository) -> None:
    commit = repository.commit(code=CODE)
    repository.git("checkout", "--quiet", "-b", "other")
    aside = repository.commit(more="1\n")
    assert "function.commit" in (words := refused(in_repository(repository, aside), settings))
    assert f"{aside} isn't in branch 'main'" in words
    assert "isn't in branch" in refused(in_repository(repository, "0" * 40), settings)
    tree = repository.git("rev-parse", f"{commit}^{{tree}}")
    assert "isn't in branch" in refused(in_repository(repository, tree), settings)
    assert "function.branch" in (words := refused(in_repository(repository, commit, branch="none"), settings))
    assert "has no branch 'none'" in words
    assert "has no branch" in refused(in_repository(repository, commit, branch="a..b"), settings)
    assert "function.file" in refused(in_repository(repository, commit, file="none.py"), settings)
    assert located(in_repository(repository, aside, branch="other"), settings).code_folder is not None
    nowhere = in_repository(repository, commit, repository=f"{repository.address}.none")
    assert "function.repository" in refused(nowhere, settings)
    only_whole(settings, 2)


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


def test_a_repository_that_is_no_longer_allowed_is_not_used_any_more(
    settings: Settings, repository: Repository
) -> None:
    commit = repository.commit(code=CODE)
    located(in_repository(repository, commit), settings)
    stricter = Settings(home=settings.home, code_sources="https://")
    assert "takes code from https://" in refused(in_repository(repository, commit), stricter)


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


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(20)
        yield listener.getsockname()[1]


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


def test_a_machine_without_git_says_so(settings: Settings, repository: Repository) -> None:
    commit = repository.commit(code=CODE)
    with pytest.raises(CheckoutError, match="git isn't installed on this machine"):
        checked_out(settings.repositories, repository.address, "main", commit, git="git-that-is-not-there")


def test_many_who_want_the_same_commit_fetch_it_once(
    settings: Settings, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit(code=CODE)
    fetches: list[Path] = []
    real = git_checkout._fetch
    monkeypatch.setattr(git_checkout, "_fetch", lambda target, *rest: fetches.append(target) or real(target, *rest))
    found: list[Path | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(located(in_repository(repository, commit), settings).code_folder))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found)), len(fetches)) == (8, 1, 1)
    only_whole(settings, 1)


def test_who_waits_for_a_fetch_that_does_not_end_is_told(tmp_path: Path, silent_server: int) -> None:
    address, faults = f"https://127.0.0.1:{silent_server}/x", []

    def fetch(seconds: float) -> None:
        try:
            checked_out(tmp_path / "out", address, "main", "0" * 40, seconds=seconds)
        except CheckoutError as error:
            faults.append(str(error))

    first = threading.Thread(target=fetch, args=(3.0,))
    first.start()
    wait_until(lambda: bool(list(tmp_path.glob("out/*/.*"))), 20)
    fetch(0.5)
    assert faults == [f"{address} wasn't fetched within 0.5 s"]
    first.join()


KILLED = """
import sys, pathlib
from mlops_assets.pipelines.git_checkout import checked_out
checked_out(pathlib.Path(sys.argv[1]), sys.argv[2], "main", sys.argv[3])
"""


def test_a_checkout_that_was_killed_is_never_used(settings: Settings, repository: Repository, tmp_path: Path) -> None:
    for number in range(2000):
        (repository.folder / f"f{number}.py").write_text(f"{number}\n")
    commit = repository.commit(code=CODE, helper="TWO = 2\n")
    for after in (0.0, 0.05, 0.15):
        arguments = [sys.executable, "-c", KILLED, str(settings.repositories), repository.address, commit]
        process = subprocess.Popen(arguments, start_new_session=True, stderr=subprocess.DEVNULL)
        wait_until(lambda: bool(list(settings.repositories.glob("*/.*"))), 60)
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    folder = located(in_repository(repository, commit), settings).code_folder
    assert folder is not None
    assert len(contents(folder)) == 2002
    only_whole(settings, 1)
