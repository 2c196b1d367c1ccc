"""What `mlops notify …` and `mlops doctor` do about notifications, for the CLI and for tests.

Keep out argument parsing (`cli`) and sending (`sender`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import select

from mlops_assets.notifications import channels as declared
from mlops_assets.notifications import outbox
from mlops_assets.notifications.channels import Channel, ChannelError
from mlops_assets.notifications.clock import utc_now
from mlops_assets.notifications.message import Message
from mlops_assets.notifications.notice import Kind
from mlops_assets.notifications.sender import Outcome, Sender
from mlops_assets.notifications.tables import CHANNEL
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database

MOST_AT_ONCE = 8


def send_test(settings: Settings, console: Console, sender: Sender | None = None) -> bool:
    """Send a message to every channel, print what became of it, and return whether all took it.

    Raises:
        ChannelError: there is no channel, or an entry can't be used.
    """
    found = declared.load(settings)
    if not found:
        file = declared.channels_file(settings)
        raise ChannelError(f"nobody would hear of anything: set {declared.VARIABLE} or declare channels in {file}")
    words = "A test: notices of this installation reach you here."
    message = Message(title="[platform] test of this channel", text=words, html=words, type="info")
    outcomes = _each(found, sender or Sender(), message)
    table = Table(box=None, pad_edge=False)
    for column in ("channel", "service", "told", ""):
        table.add_column(column, no_wrap=column != "")
    for channel, outcome in zip(found, outcomes, strict=True):
        said = "[green]ok[/]" if outcome.sent else f"[red]{escape(outcome.error)}[/]"
        table.add_row(escape(channel.name), channel.scheme, _wanted(channel), said)
    console.print(table)
    return all(outcome.sent for outcome in outcomes)


def _each(found: Sequence[Channel], sender: Sender, message: Message | None) -> list[Outcome]:
    """Send to every channel at once; with no message, only look whether the addresses can be used."""
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        return list(pool.map(sender.check if message is None else lambda channel: sender(channel, message), found))


def _wanted(channel: Channel) -> str:
    kinds = "all kinds" if len(channel.kinds) == len(Kind) else ", ".join(sorted(channel.kinds))
    return f"{kinds}, {channel.least} and above"


def recent(settings: Settings, console: Console, limit: int) -> None:
    """Print the newest notices and where each went."""
    database = Database.connect(settings.database)
    try:
        told = outbox.newest(database, limit)
    finally:
        database.dispose()
    if not told:
        console.print("no notices yet")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("when (UTC)", "severity", "kind"):
        table.add_column(column, no_wrap=True)
    table.add_column("notice", overflow="fold")
    table.add_column("told", overflow="fold")
    for each in told:
        notice = each.notice
        where = ", ".join(f"{name} {state.replace('_', ' ')}" for name, state in each.channels.items())
        quiet = {"counted": "counted", None: "not yet"}.get(each.outcome, "no channel wants it")
        table.add_row(
            f"{notice.at:%m-%d %H:%M:%S}",
            notice.severity,
            notice.kind,
            escape(notice.title),
            escape(where or quiet),
        )
    console.print(table)


def channel_health(settings: Settings, sender: Sender | None = None) -> tuple[bool, str]:
    """Whether every channel can be used and takes what is sent, and in words what is wrong. Raises SQLAlchemyError."""
    try:
        found = declared.load(settings)
    except ChannelError as error:
        return False, str(error)
    if not found:
        return True, f"no channel is declared ({declared.VARIABLE} or {declared.FILE}): nobody is told anything"
    wrong = {
        channel.name: outcome.error
        for channel, outcome in zip(found, _each(found, sender or Sender(), None), strict=True)
        if not outcome.sent
    }
    database = Database.connect(settings.database)
    try:
        with database.session() as session:
            failing = session.execute(select(CHANNEL).where(CHANNEL.c.failing_since.is_not(None))).all()
    finally:
        database.dispose()
    names = {channel.name for channel in found}
    for row in failing:
        if row.name in names:
            minutes = (utc_now() - row.failing_since).total_seconds() / 60
            wrong.setdefault(row.name, f"{row.last_error} (for {minutes:.0f} min, {row.tries} tries)")
    if wrong:
        return False, "; ".join(f"{name}: {said}" for name, said in sorted(wrong.items()))
    return True, f"{len(found)} channel{'s' if len(found) > 1 else ''}: {', '.join(sorted(names))}"
