"""What `mlops notify` and the doctor print, with real services behind the channels."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from mlops_assets.notifications import commands, outbox
from mlops_assets.notifications.channels import ChannelError
from mlops_assets.notifications.notifier import Notifier
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.notifications.notified import TOKEN, HandClock, Mailbox, Webhook, mail_url, web_url
from tests.servers import free_port
from tests.unit.notifications.made_notice import made


def test_the_test_command_tells_channel_by_channel(mail: Mailbox, web: Webhook, tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    good = Settings(home=tmp_path, notify_urls=f"{mail_url(mail)} {web_url(web)}")
    assert commands.send_test(good, console)
    assert len(mail.mails) == len(web.posted) == 1
    bad = Settings(home=tmp_path, notify_urls=f"{web_url(web)} json://127.0.0.1:{free_port()}/{TOKEN}")
    assert not commands.send_test(bad, console)
    shown = console.export_text()
    assert shown.count("ok") == 3
    assert "json-2" in shown
    assert "Connection refused" in shown
    assert TOKEN not in shown
    with pytest.raises(ChannelError, match="MLOPS_NOTIFY_URLS"):
        commands.send_test(Settings(home=tmp_path), console)


def test_recent_lists_notices_and_where_they_went(
    database: Database, postgres_url: str, web: Webhook, tmp_path: Path
) -> None:
    console = Console(record=True, width=200)
    clock = HandClock(datetime.now(UTC))
    settings = Settings(home=tmp_path, database_url=postgres_url, notify_urls=web_url(web))
    commands.recent(settings, console, 5)
    outbox.note(database, [made(title="[homes] [bold]x[/]"), made(key="again")])
    notifier = Notifier(settings, database, now=clock)
    clock.forward(6)
    notifier.step()
    notifier.delivery.wait(60)
    notifier.stop()
    commands.recent(settings, console, 5)
    shown = console.export_text()
    assert "no notices yet" in shown
    assert "[homes] [bold]x[/]" in shown
    assert "json-1 sent" in shown
    assert "counted" in shown


def test_the_doctor_names_channels_that_fail(
    database: Database, postgres_url: str, web: Webhook, tmp_path: Path
) -> None:
    def health(urls: str) -> tuple[bool, str]:
        return commands.channel_health(Settings(home=tmp_path, database_url=postgres_url, notify_urls=urls))

    assert health("") == (True, "no channel is declared (MLOPS_NOTIFY_URLS or channels.yaml): nobody is told anything")
    assert health(web_url(web)) == (True, "1 channel: json-1")
    web.status = 503
    clock = HandClock(datetime.now(UTC))
    settings = Settings(home=tmp_path, database_url=postgres_url, notify_urls=web_url(web))
    notifier = Notifier(settings, database, now=clock)
    outbox.note(database, [made()])
    clock.forward(6)
    notifier.step()
    notifier.delivery.wait(60)
    notifier.stop()
    good, said = health(web_url(web))
    assert not good
    assert "json-1: " in said
    assert "error=503" in said
    assert "1 tries" in said
    good, said = health(f"slack://{TOKEN}")
    assert not good
    assert "slack-1: the address isn't a complete slack:// one" in said
    assert TOKEN not in said
    good, said = health(f"{TOKEN}")
    assert not good
    assert TOKEN not in said
