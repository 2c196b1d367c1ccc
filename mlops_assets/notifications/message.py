"""What a channel is told at once, as plain text and as HTML: one notice, or a list of several. Pure.

Keep out the words of a notice (`from_ledger`, …) and which of the two a service takes (`apprise_process`).
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.notifications.notice import Kind, Notice, Severity, cut

MOST_LISTED = 20
LONGEST_LISTED = 240
GOOD = frozenset({Kind.PROMOTION, Kind.UNBLOCKED, Kind.RECOVERED})


@dataclass(frozen=True)
class Message:
    """One message. `type` is apprise's word: info, success, warning or failure."""

    title: str
    text: str
    html: str
    type: str


def compose(notices: Sequence[Notice]) -> Message:
    """The message about these notices, at least one, oldest first."""
    return _single(notices[0]) if len(notices) == 1 else _digest(notices)


def _single(notice: Notice) -> Message:
    lines, link = notice.body.splitlines(), notice.link
    return Message(
        title=notice.title,
        text="\n".join([*lines, *([link] if link else [])]),
        html="<br/>\n".join([*map(html.escape, lines), *([_anchor(link)] if link else [])]),
        type=_type([notice]),
    )


def _digest(notices: Sequence[Notice]) -> Message:
    """The most severe first, each with the first line of its body."""
    ordered = sorted(notices, key=lambda notice: -notice.severity.rank)
    left = len(ordered) - MOST_LISTED
    more = f"… and {left} more: mlops notify recent" if left > 0 else ""
    text, rich = [], []
    for notice in ordered[:MOST_LISTED]:
        first = cut(notice.body.partition("\n")[0], LONGEST_LISTED)
        plain = [f"• {notice.title}", first, notice.link or ""]
        text.append("\n  ".join(part for part in plain if part))
        marked = [
            f"<b>{html.escape(notice.title)}</b>",
            html.escape(first),
            _anchor(notice.link) if notice.link else "",
        ]
        rich.append(f"<li>{'<br/>'.join(part for part in marked if part)}</li>")
    return Message(
        title=_digest_title(ordered),
        text="\n".join([*text, *([more] if more else [])]),
        html=f"<ul>{''.join(rich)}</ul>" + (f"<p>{html.escape(more)}</p>" if more else ""),
        type=_type(ordered),
    )


def _digest_title(notices: Sequence[Notice]) -> str:
    """`3 notices (1 critical): [house_prices] release 5 promoted …`"""
    counts = Counter(notice.severity for notice in notices)
    urgent = [f"{counts[s]} {s}" for s in (Severity.CRITICAL, Severity.WARNING) if counts[s]]
    said = f" ({', '.join(urgent)})" if urgent else ""
    return cut(f"{len(notices)} notices{said}: {notices[0].title}, …", 200)


def _type(notices: Sequence[Notice]) -> str:
    worst = max(notices, key=lambda notice: notice.severity.rank)
    if worst.severity is not Severity.INFO:
        return {Severity.WARNING: "warning", Severity.CRITICAL: "failure"}[worst.severity]
    return "success" if all(notice.kind in GOOD for notice in notices) else "info"


def _anchor(link: str) -> str:
    return f'<a href="{html.escape(link)}">{html.escape(link)}</a>'
