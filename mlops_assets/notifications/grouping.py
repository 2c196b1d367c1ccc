"""Which notices are told and which are only counted, so that a repeated event is one message and a summary. Pure.

The first of a group is told; until its cooldown is over, others are counted; then one summary tells how many there
were and a new cooldown begins, or, if there were none, the group is forgotten. Keep out how groups are kept
(`telling`) and how simultaneous notices become one message (`message`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mlops_assets.notifications.notice import Kind, Severity

# A service that goes up and down should not be silent for long about being down.
SERVICE_COOLDOWN_SECONDS = 600.0
SERVICE_KINDS = frozenset({Kind.UNHEALTHY, Kind.RECOVERED})


@dataclass(frozen=True)
class Group:
    """Repeats of one thing since `since`, when it was last told; `counted` came after that, up to `last_at`.

    `last_id` is the newest notice of the group.
    """

    name: str
    since: datetime
    until: datetime
    severity: Severity
    last_id: int
    last_at: datetime
    counted: int = 0


def cooldown_of(kind: Kind, seconds: float) -> timedelta:
    """How long repeats of a kind are only counted, where `seconds` is what the installation wants."""
    return timedelta(seconds=min(seconds, SERVICE_COOLDOWN_SECONDS) if kind in SERVICE_KINDS else seconds)


def arrive(
    group: Group | None, name: str, notice_id: int, severity: Severity, at: datetime, now: datetime, cooldown: timedelta
) -> tuple[Group, bool]:
    """The group after one more notice, and whether that is told: the first is, and one more severe than it.

    A group whose cooldown is over has to be closed by `close` first.
    """
    if group is None:
        return Group(name, now, now + cooldown, severity, notice_id, at), True
    if severity.rank > group.severity.rank:
        return replace(group, severity=severity, last_id=notice_id, last_at=at), True
    return replace(group, counted=group.counted + 1, last_id=notice_id, last_at=at), False


def over(group: Group, now: datetime) -> bool:
    """Whether the group's cooldown has ended."""
    return now >= group.until


def close(group: Group, now: datetime, cooldown: timedelta) -> Group | None:
    """The group after its cooldown: a new one when a summary is due for what was counted, else None."""
    if not group.counted:
        return None
    return replace(group, since=now, until=now + cooldown, counted=0)
