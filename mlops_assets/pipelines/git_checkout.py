"""Commits of git repositories as plain folders that stages read their code from: `checked_out`.

Add here what a fetch must refuse or limit. Keep out which repositories may be asked (`functions`). What is fetched is
a stranger's: no hook, filter, submodule or helper of it is used, it is counted before it is unpacked, and its links
may not lead out. A folder appears whole or not at all, so it can be used as soon as it is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.pipelines.git_program import BLOCK, Git, GitError
from mlops_assets.sandbox.collect import remove_folder

FETCH_SECONDS = 300.0
# Of the fetched history, of the files of one commit, and of the list of their names.
MOST_FETCHED_BYTES, MOST_BYTES, MOST_FILES, MOST_NAMES_BYTES = 2_000_000_000, 1_000_000_000, 50_000, 32_000_000
SHOWN = 500


class CheckoutError(RuntimeError):
    """A commit can't be had; `field` is what of the function is at fault: repository, branch or commit."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def checked_out(
    folder: Path, repository: str, branch: str, commit: str, *, seconds: float = FETCH_SECONDS, git: str = "git"
) -> Path:
    """The files of a commit of a branch, below `folder`, readable by every user; fetched unless they are there.

    The caller has checked that the address may be asked. Who asks for the same at once waits for the first. Raises
    CheckoutError when it takes longer than `seconds`, is too large, or isn't there.
    """
    digest = hashlib.sha256(f"{repository}\n{branch}".encode()).hexdigest()[:32]
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise CheckoutError("commit", "give the whole commit, 40 hexadecimal digits")
    target = folder / digest / commit
    deadline = time.monotonic() + seconds
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.with_name(f"{commit}.lock"), deadline):
            if not target.is_dir():
                _fetch(target, _Asked(repository, branch, commit), Git(git, repository, deadline))
            # Its time tells when it was used last; only what nobody used for long is removed.
            os.utime(target)
    except TimeoutError as error:
        raise CheckoutError("repository", f"{repository} wasn't fetched within {seconds:g} s") from error
    except (OSError, GitError) as error:
        raise CheckoutError("repository", f"{repository} can't be fetched: {error}") from error
    return target


@dataclass(frozen=True)
class _Asked:
    repository: str
    branch: str
    commit: str


@contextmanager
def _alone(path: Path, deadline: float) -> Iterator[None]:
    """With no other process or thread in this block for the same path. A killed one doesn't hold it."""
    with path.open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError from error
                time.sleep(0.05)
        yield


def _fetch(target: Path, asked: _Asked, git: Git) -> None:
    _remove_partial(target)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    partial.mkdir(mode=0o700)
    try:
        history, files = partial / "history", partial / "files"
        git.run("init", "--quiet", "--bare", "--template=", str(history))
        git.history = history
        _fetch_branch(asked, git)
        _check_size(asked, git)
        files.mkdir()
        git.run(f"--work-tree={files}", "checkout", "--quiet", "--force", "--no-recurse-submodules", asked.commit)
        _open_to_all(files, asked)
        # All of it has to be on the disk before it gets its name, under which nobody looks at it again.
        os.sync()
        files.rename(target)
    finally:
        # Again, in case the git of a killed process lived long enough to write once more.
        _remove_partial(target)


def _remove_partial(target: Path) -> None:
    """Remove what was begun, also by a process that was killed: nobody knows how far it came."""
    for partial in target.parent.glob(f".{target.name}.*"):
        remove_folder(partial)


def _fetch_branch(asked: _Asked, git: Git) -> None:
    options = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance", "--no-write-fetch-head")
    reference = f"+refs/heads/{asked.branch}:refs/heads/fetched"
    done = git.tried("fetch", *options, "--", asked.repository, reference, file_bytes=MOST_FETCHED_BYTES)
    if done.code != 0 and _largest_file(git.history) >= MOST_FETCHED_BYTES // BLOCK * BLOCK:
        raise CheckoutError("repository", f"{asked.repository} has more than {MOST_FETCHED_BYTES / 1e6:,.0f} MB")
    if "find remote ref" in done.errors or "invalid refspec" in done.errors:
        raise CheckoutError("branch", f"{asked.repository} has no branch {asked.branch!r}")
    if done.code != 0:
        raise CheckoutError("repository", f"{asked.repository} can't be fetched: {done.said}")
    if git.tried("merge-base", "--is-ancestor", asked.commit, "refs/heads/fetched").code != 0:
        raise CheckoutError("commit", f"{asked.commit} isn't in branch {asked.branch!r} of {asked.repository}")


def _largest_file(folder: Path | None) -> int:
    return max((path.stat().st_size for path in folder.rglob("tmp_pack_*")), default=0) if folder else 0


def _check_size(asked: _Asked, git: Git) -> None:
    """Return if the commit's files are few and small enough to be unpacked."""
    done = git.tried("ls-tree", "-r", "-l", "-z", "--full-tree", asked.commit, file_bytes=MOST_NAMES_BYTES)
    too_many = CheckoutError(
        "commit",
        f"{asked.commit} of {asked.repository} has more than {MOST_FILES:,} files or {MOST_BYTES / 1e6:,.0f} MB",
    )
    if done.too_large:
        raise too_many
    if done.code != 0:
        raise GitError(done.said)
    # mode, type, hash and size, then the name; a submodule has no size.
    sizes = [entry.split(maxsplit=4)[3] for entry in done.output.split(b"\0") if entry]
    if len(sizes) > MOST_FILES or sum(int(size) for size in sizes if size.isdigit()) > MOST_BYTES:
        raise too_many


def _open_to_all(files: Path, asked: _Asked) -> None:
    """Let every user read all of it. CheckoutError for a link that leads out."""
    for place, folders, names in os.walk(files):
        for name in (*folders, *names):
            path = Path(place, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
            elif _leads_out(path, files):
                shown = str(path.relative_to(files))[:SHOWN]
                raise CheckoutError("commit", f"{asked.commit} has a link that leads out of its files: {shown!r}")
    files.chmod(0o755)


def _leads_out(link: Path, root: Path) -> bool:
    # As it is written too: what leads out and in again would lead elsewhere once the folder has its last name.
    written = os.path.normpath(link.parent.relative_to(root) / os.readlink(link))
    if written.split("/")[0] in ("", ".."):
        return True
    try:
        return not link.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return True  # in a circle
