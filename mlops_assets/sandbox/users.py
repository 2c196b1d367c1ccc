"""A user for each running stage, so that no two can touch each other: numbers without a name, leased while it runs.

Only root can turn into them. A lease is a locked file that the stage's watcher holds as well, so that it ends with the
last process of the stage, even if the platform ended before.
"""

from __future__ import annotations

import fcntl
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FIRST, LAST = 61_000, 61_999
LOCKS = Path("/run/mlops-sandbox-users")


class NoUserFreeError(RuntimeError):
    """As many stages run as there are users for them."""


@dataclass(frozen=True)
class Lease:
    """A user, and the descriptor that whoever works for it keeps open."""

    user: int
    descriptor: int


@contextmanager
def leased(locks: Path = LOCKS) -> Iterator[Lease]:
    """Reserve a user. Raises NoUserFreeError, OSError; PermissionError for a folder of locks that others can reach."""
    locks.mkdir(mode=0o700, exist_ok=True)
    facts = locks.lstat()
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077 or not locks.is_dir() or locks.is_symlink():
        raise PermissionError(f"{locks}: must be a folder that only its owner can reach")
    users = list(range(FIRST, LAST + 1))
    random.shuffle(users)
    for user in users:
        descriptor = os.open(locks / str(user), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        try:
            yield Lease(user, descriptor)
        finally:
            os.close(descriptor)
        return
    raise NoUserFreeError(f"all {len(users)} users for stages are in use")
