"""Hosts that are network namespaces of this machine, each with an address of its own on one switch.

Needs root and iproute2. What runs in a host sees only its own interfaces; files are shared, so each host is given a
folder of its own. Keep out what runs there.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """One namespace. `inside` is put before a command to run it there."""

    name: str
    namespace: str
    address: str
    cable: str

    @property
    def inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.namespace)

    def unplug(self) -> None:
        """Cut it off from all others, silently: packets are lost, nobody is told."""
        _ip("link", "set", self.cable, "down")

    def plug_in(self) -> None:
        _ip("link", "set", self.cable, "up")


@contextmanager
def network(*names: str) -> Iterator[dict[str, Host]]:
    """Hosts by name; all reach each other, and this process reaches them."""
    mark, third = secrets.token_hex(3), secrets.randbelow(254) + 1
    bridge = f"ml{mark}"
    made: list[str] = []
    _ip("link", "add", bridge, "type", "bridge")
    try:
        _ip("addr", "add", f"10.77.{third}.254/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        hosts = {}
        for number, name in enumerate(names, start=1):
            host = Host(name, f"ml{mark}-{name}", f"10.77.{third}.{number}", f"m{mark}{number}")
            _ip("netns", "add", host.namespace)
            made.append(host.namespace)
            _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            _ip("link", "set", host.cable, "master", bridge, "up")
            for words in (
                ("link", "set", "lo", "up"),
                ("addr", "add", f"{host.address}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
            ):
                _ip("-n", host.namespace, *words)
            hosts[name] = host
        yield hosts
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "del", namespace], check=False, timeout=20)
        subprocess.run(["ip", "link", "del", bridge], check=False, timeout=20)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=20)
