"""The calls of Linux that Python has no function for: namespaces, mounts, capabilities, process options.

Add a call here when the isolation of a stage needs it. Keep out what it is for (enclosure.py, privileges.py).
Standard library only: a stage's process imports this before anything else is in reach.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct

NEW_MOUNTS = 0x00020000
NEW_IPC = 0x08000000
NEW_USERS = 0x10000000
NEW_PIDS = 0x20000000
NEW_NETWORK = 0x40000000

BIND, RECURSIVE, PRIVATE = 4096, 16384, 1 << 18
NO_SUID, NO_DEVICES, NO_PROGRAMS = 2, 4, 8
_READ_ONLY, _DETACH = 1, 2
_AT_RECURSIVE, _MOUNT_SETATTR = 0x8000, 442
_CAPABILITY_VERSION = 0x20080522
_LAST_CAPABILITY = 63
_DEATH_SIGNAL, _DUMPABLE, _DROP_BOUNDING, _SUBREAPER, _NO_NEW_PRIVILEGES = 1, 4, 24, 36, 38
_AMBIENT, _AMBIENT_CLEAR = 47, 4
_SECCOMP, _SECCOMP_FILTER = 22, 2
_INTERFACE_FLAGS, _INTERFACE_UP = 0x8914, 0x1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave the namespaces named by the flags for new ones. Raises OSError."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mount a file system, or bind a folder to another place. Raises OSError naming the target."""
    done = _libc.mount(
        source.encode(),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        options.encode(),
    )
    _checked(done, f"mount {target}")


def restrict_mount(target: str, *, read_only: bool, recursive: bool) -> None:
    """No devices and no set-uid programs below a mount point; read-only too if asked. Raises OSError."""
    attributes = struct.pack("QQQQ", NO_SUID | NO_DEVICES | (_READ_ONLY if read_only else 0), 0, 0, 0)
    done = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(-100),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(_AT_RECURSIVE if recursive else 0),
        ctypes.c_char_p(attributes),
        ctypes.c_size_t(len(attributes)),
    )
    _checked(done, f"mount_setattr {target}")


def change_root(folder: str) -> None:
    """Make a mount point the root of everything; what was the root is out of reach afterwards. Raises OSError."""
    os.chdir(folder)
    _checked(_libc.pivot_root(b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", ctypes.c_int(_DETACH)), "umount")
    os.chdir("/")


def end_with_parent(signal_number: int) -> None:
    """Get this signal when the parent ends. A later change of user takes the wish back."""
    _prctl(_DEATH_SIGNAL, signal_number)


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own."""
    _prctl(_SUBREAPER, 1)


def set_dumpable(allowed: bool) -> None:
    """Whether processes of the same user may look into this one."""
    _prctl(_DUMPABLE, int(allowed))


def forgo_new_privileges() -> None:
    """No program that this process or its descendants start can gain rights."""
    _prctl(_NO_NEW_PRIVILEGES, 1)


def drop_bounding_capabilities() -> None:
    """Empty the set of capabilities that could ever be had; needs the right to do so (root, or a user namespace)."""
    _prctl(_AMBIENT, _AMBIENT_CLEAR)
    for capability in range(_LAST_CAPABILITY + 1):
        if _libc.prctl(_DROP_BOUNDING, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            return  # past the last one that this kernel knows


def drop_capabilities() -> None:
    """Give up every capability held. Raises OSError."""
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    _checked(_libc.capset(header, bytes(24)), "capset")


def filter_calls(program: bytes) -> None:
    """Install a seccomp filter: 8-byte BPF instructions. Needs `forgo_new_privileges` before. Raises OSError."""
    code = ctypes.create_string_buffer(program, len(program))
    wrapped = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    done = _libc.prctl(_SECCOMP, ctypes.c_ulong(_SECCOMP_FILTER), ctypes.c_char_p(wrapped), 0, 0)
    _checked(done, "seccomp")


def raise_loopback() -> None:
    """Switch on the loopback interface of a new network namespace. Raises OSError."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", _INTERFACE_UP)
        fcntl.ioctl(any_socket, _INTERFACE_FLAGS, request)


def _prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
