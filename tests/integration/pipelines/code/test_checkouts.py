"""Commits of git repositories, fetched once and used by many."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mlops_assets.pipelines import git_checkout
from mlops_assets.pipelines.functions import located
from mlops_assets.pipelines.git_checkout import CheckoutError, checked_out
from mlops_assets.settings import Settings
from tests.integration.pipelines.code.repositories import (
    CODE,
    Repository,
    contents,
    in_repository,
    only_whole,
    refused,
)
from tests.integration.sandboxed import Stages
from tests.servers import wait_until


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


def test_a_repository_that_is_no_longer_allowed_is_not_used_any_more(
    settings: Settings, repository: Repository
) -> None:
    commit = repository.commit(code=CODE)
    located(in_repository(repository, commit), settings)
    stricter = Settings(home=settings.home, code_sources="https://")
    assert "takes code from https://" in refused(in_repository(repository, commit), stricter)


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
