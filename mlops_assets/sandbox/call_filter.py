"""Which kernel calls a stage may not make: a seccomp filter as BPF instructions, for x86-64 and ARM64.

Refused are calls that widen what the kernel shows of itself (namespaces, mounts, tracing, keys, bpf) and those that
hold memory outside any process's own, where the limit couldn't see it. Add a call here with both its numbers.
"""

from __future__ import annotations

import errno
import platform
import struct

# name: (x86-64, ARM64)
_REFUSED = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "shmget": (29, 194),
    "msgget": (68, 186),
}
# Answered as if the kernel were too old to have them, because libraries then take another way.
_UNKNOWN = {
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "io_uring_setup": (425, 425),
    "clone3": (435, 435),
}
_CLONE = (56, 220)
_NEW_NAMESPACES = 0x7E020000
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000

_LOAD, _EQUALS, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_CALL, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16


def program(machine: str | None = None) -> bytes | None:
    """The filter for a machine (`platform.machine()` by default); None where the calls have other numbers."""
    known = _ARCHITECTURES.get(machine or platform.machine())
    if known is None:
        return None
    column, architecture = known
    refuse = _instruction(_RETURN, _ERROR | errno.EPERM)
    unknown = _instruction(_RETURN, _ERROR | errno.ENOSYS)
    code = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUALS, architecture, 1, 0),
        refuse,
        _instruction(_LOAD, _CALL),
        _instruction(_AT_LEAST, _X32, 0, 1),
        refuse,
    ]
    for numbers, answer in [(n, refuse) for n in _REFUSED.values()] + [(n, unknown) for n in _UNKNOWN.values()]:
        code += [_instruction(_EQUALS, numbers[column], 0, 1), answer]
    code += [
        _instruction(_EQUALS, _CLONE[column], 0, 3),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        refuse,
        _instruction(_RETURN, _ALLOW),
    ]
    return b"".join(code)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
