"""The file system a stage sees: a root of its own with the system's programs, Python, and its working folder.

Everything else of the machine (other runs, the platform's home, sockets, world-writable folders) isn't there at all.
Add a folder to `SYSTEM` when every stage needs it; what one stage needs is `readable` of its order.
Standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from mlops_assets.sandbox import system

SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc"),
    *("/sys/devices/system/cpu", "/sys/devices/system/node"),
)
INSIDE = "/stage"
DEVICES = ("null", "zero", "full", "random", "urandom")


def enter_namespaces(*, own_users: bool, network: bool) -> None:
    """Leave the machine's mounts, processes and IPC (and network) for private ones; processes: the next child.

    `own_users` first becomes root of a user namespace, for who isn't root. Raises OSError where that isn't allowed.
    """
    flags = system.NEW_MOUNTS | system.NEW_PIDS | system.NEW_IPC | (0 if network else system.NEW_NETWORK)
    user, group = os.getuid(), os.getgid()
    system.unshare(flags | (system.NEW_USERS if own_users else 0))
    if own_users:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    if not network:
        system.raise_loopback()
    system.mount("none", "/", None, system.RECURSIVE | system.PRIVATE)


def enclose(folder: str, *, readable: Iterable[str], shared_memory_bytes: int) -> str:
    """Build the new root and move into it; the caller is process 1 of its namespace. Raises OSError.

    Returns where `folder` is from then on. It (its `tmp` becomes /tmp) is all that can be written, besides /dev/shm
    of the size given.
    """
    os.umask(0o022)
    shown = _without_nested([*SYSTEM, sys.base_prefix, *_environment(), *_name_servers(), *readable])
    borrowed = os.path.join(folder, "tmp")
    held = {path: os.open(path, os.O_PATH) for path in [*shown, folder, borrowed]}
    # Only the mount point is borrowed from the working folder: what is mounted there is seen in this namespace alone.
    root = borrowed
    system.mount("tmpfs", root, "tmpfs", system.NO_SUID | system.NO_DEVICES, "mode=755,size=1m")
    # First, because what is readable may be below it.
    _bind(held[borrowed], "/tmp", root, read_only=False)  # noqa: S108 the stage's own
    for path in shown:
        _bind(held[path], path, root, read_only=True)
    _devices(root, shared_memory_bytes)
    _bind(held[folder], INSIDE, root, read_only=False)
    os.makedirs(f"{root}/var")
    os.symlink("/tmp", f"{root}/var/tmp")  # noqa: S108
    os.mkdir(f"{root}/proc")
    system.mount("proc", f"{root}/proc", "proc", system.NO_SUID | system.NO_DEVICES | system.NO_PROGRAMS)
    system.restrict_mount(root, read_only=True, recursive=False)
    for handle in held.values():
        os.close(handle)
    system.change_root(root)
    return INSIDE


def _without_nested(paths: Iterable[str]) -> list[str]:
    """Those that exist, none below another, in an order in which a link's target may come later."""
    present = sorted({os.path.abspath(path) for path in paths if os.path.exists(path)})
    kept: list[str] = []
    for path in present:
        if not any(path == k or path.startswith(f"{k}/") for k in kept):
            kept.append(path)
    return kept


def _environment() -> list[str]:
    """The virtual environment of this interpreter, which `sys.prefix` doesn't tell before `site` was imported."""
    folder = os.path.dirname(os.path.dirname(sys.executable))
    return [folder] if os.path.exists(os.path.join(folder, "pyvenv.cfg")) else []


def _name_servers() -> list[str]:
    """Where /etc/resolv.conf really is: often outside of /etc."""
    real = os.path.realpath("/etc/resolv.conf")
    return [] if real.startswith("/etc/") else [real]


def _bind(handle: int, path: str, root: str, *, read_only: bool) -> None:
    target = root + path
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    if path in SYSTEM and os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(f"/proc/self/fd/{handle}"):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    # The working folder without what is mounted in it, which is this very root.
    flags = system.BIND | (system.RECURSIVE if read_only else 0)
    system.mount(f"/proc/self/fd/{handle}", target, None, flags)
    system.restrict_mount(target, read_only=read_only, recursive=read_only)


def _devices(root: str, shared_memory_bytes: int) -> None:
    shared_memory = os.path.join(root, "dev", "shm")
    os.makedirs(shared_memory)
    for name in DEVICES:
        target = f"{root}/dev/{name}"
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        system.mount(f"/dev/{name}", target, None, system.BIND)
    for name, to in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(f"/proc/self/{to}", f"{root}/dev/{name}")
    flags = system.NO_SUID | system.NO_DEVICES | system.NO_PROGRAMS
    system.mount("tmpfs", shared_memory, "tmpfs", flags, f"mode=1777,size={shared_memory_bytes}")
