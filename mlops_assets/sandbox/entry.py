"""Program of a stage's process tree: `python -I -S entry.py ORDER_FDS`, started by start.py. Standard library only.

Reads the order from its control socket, isolates itself, and forks the stage below a watcher.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

if __name__ == "__main__":
    # Found by path, as nothing of the platform's environment is there; the stage doesn't get to see the place.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from mlops_assets.sandbox import enclosure, privileges, stage, system
from mlops_assets.sandbox.channel import Channel, write_all
from mlops_assets.sandbox.processes import Tree
from mlops_assets.sandbox.watch import Report, Watch

LENGTH_BYTES = 8


def serve(control: int, descriptors: dict[str, Any], prepare: Callable[[], None], *, with_parent: bool) -> None:
    """Carry out the order that comes over the control socket, and end this process.

    `descriptors`: log, events and report to write to, `inputs` to read by name. `prepare` runs in the stage's process
    before its code, to make installed packages importable. `with_parent` ends all when this process's parent ends.
    """
    order = _order(control)
    isolation = order["isolation"]
    report_to = descriptors["report"]
    try:
        os.umask(0o077)
        if isolation["namespaces"]:
            if with_parent:
                system.end_with_parent(signal.SIGKILL)
            enclosure.enter_namespaces(own_users=isolation["user_namespace"], network=order["network"])
            _go_on_as_first_process()
            shared = int(order["limits"]["memory_mb"] * 500_000)
            order["folder"] = enclosure.enclose(order["folder"], readable=order["readable"], shared_memory_bytes=shared)
        else:
            system.adopt_orphans()
            if with_parent:
                _stop_with_parent(control)
        # Processes of the same user can't look into the watcher, where stage and watcher share one.
        system.set_dumpable(False)
        os.umask(0o077)
    except OSError as error:
        _refuse(report_to, error)
    tree = Tree(alone=isolation["namespaces"], user=order["user"])
    watch = Watch(order["folder"], order["limits"], tree, control=control, alone=isolation["namespaces"])
    report = watch.run(lambda: os._exit(_stage(order, descriptors, prepare)))
    write_all(report_to, report.as_json())
    os._exit(0)


def _stop_with_parent(control: int) -> None:
    """When the parent ends, hear it as an order to stop: there is no namespace that would end all with this process."""
    connection = socket.socket(fileno=os.dup(control))
    signal.signal(signal.SIGTERM, lambda *_: connection.shutdown(socket.SHUT_RDWR))
    system.end_with_parent(signal.SIGTERM)


def _order(control: int) -> dict[str, Any]:
    with socket.socket(fileno=os.dup(control)) as connection:
        length = int.from_bytes(_received(connection, LENGTH_BYTES), "big")
        return json.loads(_received(connection, length))


def _received(connection: socket.socket, length: int) -> bytes:
    content = bytearray()
    while len(content) < length:
        block = connection.recv(min(1 << 20, length - len(content)))
        if not block:
            os._exit(71)  # the platform went away before it had given the order
        content += block
    return bytes(content)


def _go_on_as_first_process() -> None:
    """Continue in a child, which is process 1 of the new namespace; this process only waits for its end."""
    pid = os.fork()
    if pid == 0:
        system.end_with_parent(signal.SIGKILL)
        return
    os.closerange(0, 65536)
    _, status = os.waitpid(pid, 0)
    os._exit(min(abs(os.waitstatus_to_exitcode(status)), 255))


def _stage(order: dict[str, Any], descriptors: dict[str, Any], prepare: Callable[[], None]) -> int:
    """In the stage's process: give up every right, then run."""
    inputs: dict[str, int] = descriptors["inputs"]
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(descriptors["log"], 1)
        os.dup2(descriptors["log"], 2)
        privileges.close_all_but([descriptors["events"], descriptors["report"], *inputs.values()])
        os.set_inheritable(descriptors["events"], False)
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        has_user = order["user"] is not None or order["isolation"]["user_namespace"]
        privileges.limit_resources(order["limits"], own_user=has_user)
        capable = order["user"] is not None or order["isolation"]["user_namespace"]
        filtered = privileges.become(order["user"], capable=capable)
        privileges.replace_environment(order["environment"], order["folder"])
        prepare()
    except (OSError, ValueError) as error:
        _refuse(descriptors["report"], error)
    os.close(descriptors["report"])
    channel = Channel(descriptors["events"])
    channel.tell("started", filtered=filtered)
    return stage.run(order, channel, inputs)


def _refuse(report_to: int, error: Exception) -> None:
    """Tell that the isolation asked for can't be had; nothing of the stage has run."""
    write_all(report_to, json.dumps({**vars(Report(reason="not_isolated")), "message": str(error)}).encode() + b"\n")
    os._exit(72)


def _import_installed_packages() -> None:
    import site

    # Its user may be unable to reach the interpreter that is already running; `site` would only complain.
    os.stat(os.__file__)
    os.stat(sys.executable)
    site.main()


if __name__ == "__main__":
    sys.path.pop(0)
    serve(0, json.loads(sys.argv[1]), _import_installed_packages, with_parent=True)
