"""What a stage's process gives up before it runs a line of the stage: rights, descriptors, environment, resources.

Standard library only.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterable, Mapping

from mlops_assets.sandbox import call_filter, system

FIXED_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
OPEN_FILES = 1024
# What libraries reserve and never touch, such as the stacks of their threads, mustn't count as the stage's memory.
RESERVED_BYTES, RESERVED_BYTES_PER_CPU = 512 << 20, 64 << 20


def limit_resources(limits: Mapping[str, float], *, own_user: bool) -> None:
    """Hard limits of the kernel, which hold where the watching is too slow. They are each process's own.

    The number of processes is counted per user, so it is limited only where the stage has a user (`own_user`).
    """
    cpu = int(limits["cpu_seconds"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    size = int(limits["output_mb"] * 1_000_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    reserved = RESERVED_BYTES + RESERVED_BYTES_PER_CPU * (os.cpu_count() or 1)
    data = int(limits["memory_mb"] * 1_000_000) + reserved
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if own_user:
        processes = int(limits["processes"])
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def become(user: int | None, *, capable: bool) -> bool:
    """Turn into this user and group for good (None: stay), without capabilities; True if calls are filtered too.

    `capable` says that there are capabilities to give up: the caller is root, in its own namespace or everywhere.
    Raises OSError when a right can't be given up: then nothing of the stage may run.
    """
    if capable:
        system.drop_bounding_capabilities()
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    system.drop_capabilities()
    system.forgo_new_privileges()
    # Changing the user hides /proc/self from the process itself; there is nothing in it to hide from itself.
    system.set_dumpable(True)
    system.end_with_parent(signal.SIGKILL)
    program = call_filter.program()
    if program is None:
        return False
    try:
        system.filter_calls(program)
    except OSError:
        return False
    return True


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor from 3 on, except these."""
    start = 3
    for number in sorted(n for n in kept if n >= start):
        os.closerange(start, number)
        start = number + 1
    os.closerange(start, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def replace_environment(declared: Mapping[str, str], home: str) -> None:
    """Leave nothing but the fixed variables, a home and what the stage declares, which wins."""
    os.environ.clear()
    os.environ.update({**FIXED_ENVIRONMENT, "HOME": home, "TMPDIR": os.path.join(home, "tmp"), **declared})
