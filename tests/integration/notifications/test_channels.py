"""Real mails and real web calls; channels that fail, hang or refuse; and no secret anywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from mlops_assets.notifications import outbox
from mlops_assets.notifications.channels import Channel
from mlops_assets.notifications.from_drift import notice as drift_notice
from mlops_assets.notifications.from_runs import (
    AskedRetrain,
    FailedGate,
    FailedRun,
    asked_retrain,
    failed_gate,
    failed_run,
)
from mlops_assets.notifications.links import Links
from mlops_assets.notifications.message import Message, compose
from mlops_assets.notifications.notice import Kind, Notice
from mlops_assets.notifications.notifier import Notifier
from mlops_assets.notifications.sender import Sender
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.notifications.notified import PASSWORD, TOKEN, HandClock, Mailbox, Webhook, mail_url, web_url
from tests.servers import free_port, wait_until
from tests.unit.notifications.made_notice import AT, made

LINKS = Links("http://127.0.0.1:8000", "http://127.0.0.1:3000")
HELLO = Message("[homes] hello", "first\nhttp://a/b?c=1", "first<br/><b>second</b>", "warning")


@pytest.fixture
def sender() -> Iterator[Sender]:
    made_one = Sender()
    yield made_one
    made_one.stop()


def stored(database: Database) -> str:
    """Every word in the notifications' tables."""
    names = ("notice", "notice_group", "notice_delivery", "notice_channel", "notice_cursor", "service_probe")
    with database.engine.connect() as connection:
        return "\n".join(str(row) for name in names for row in connection.execute(text(f"SELECT * FROM mlops.{name}")))


def test_a_web_service_is_told_title_text_and_type(web: Webhook, sender: Sender) -> None:
    outcome = sender(Channel("team", web_url(web)), HELLO)
    assert (outcome.sent, outcome.error) == (True, "")
    assert web.paths == [f"/hooks/{TOKEN}"]
    post = web.posted[0]
    assert (post["title"], post["message"], post["type"]) == (HELLO.title, HELLO.text, "warning")


def test_a_mail_has_subject_and_html(mail: Mailbox, sender: Sender) -> None:
    outcome = sender(Channel("mail", mail_url(mail)), HELLO)
    assert outcome.sent, outcome.error
    sent = mail.mails[0]
    assert sent["subject"] == "[homes] hello"
    body = sent.get_body(("html",))
    assert body is not None
    assert "<b>second</b>" in body.get_content()


def test_a_mail_as_text_when_the_address_says_so(mail: Mailbox, sender: Sender) -> None:
    assert sender(Channel("mail", f"{mail_url(mail)}&format=text"), HELLO).sent
    body = mail.mails[0].get_body(("plain",))
    assert body is not None
    assert body.get_content().split() == HELLO.text.split()


def test_a_title_with_line_ends_adds_no_header(mail: Mailbox, sender: Sender) -> None:
    message = compose([made(title="[homes] x\r\nBcc: evil@example.com\n\nbody")])
    assert sender(Channel("mail", mail_url(mail)), message).sent
    assert mail.mails[0]["bcc"] is None
    assert mail.mails[0]["subject"] == "[homes] x Bcc: evil@example.com body"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"json://kim:{PASSWORD}@127.0.0.1:{{port}}/hooks/{TOKEN}", "Connection refused"),
        (f"mailto://127.0.0.1:{{port}}?user=kim&pass={PASSWORD}&from=a@b.com&to=c@d.com", "Connection refused"),
        (f"slakc://{TOKEN}", "apprise knows no slakc://"),
        (f"slack://{TOKEN}", "isn't a complete slack:// one"),
        (f"json://127.0.0.1:{{port}}/{TOKEN}?optional=yes", "Connection refused"),
    ],
)
def test_a_channel_that_can_not_be_reached_says_why_without_secrets(url: str, said: str, sender: Sender) -> None:
    outcome = sender(Channel("c", url.format(port=free_port())), HELLO)
    assert not outcome.sent
    assert said in outcome.error
    assert PASSWORD not in outcome.error
    assert TOKEN not in outcome.error


def test_a_refused_password_is_a_failure_that_does_not_show_it(mail: Mailbox, sender: Sender) -> None:
    outcome = sender(Channel("mail", mail_url(mail, "wr0ngPassw0rd")), HELLO)
    assert not outcome.sent
    assert "535" in outcome.error
    assert "wr0ngPassw0rd" not in outcome.error
    assert mail.mails == []


def test_a_service_that_answers_500_is_a_failure(web: Webhook, sender: Sender) -> None:
    web.status = 500
    outcome = sender(Channel("team", web_url(web)), HELLO)
    assert not outcome.sent
    assert "error=500" in outcome.error


def test_a_service_that_hangs_is_left_after_the_limit(web: Webhook) -> None:
    web.hanging.set()
    outcome = Sender(seconds=2.0)(Channel("team", web_url(web) + "?rto=60"), HELLO)
    assert not outcome.sent
    assert outcome.error == "no answer within 2 s"


def test_stopping_ends_what_is_being_sent(web: Webhook) -> None:
    from concurrent.futures import ThreadPoolExecutor

    web.hanging.set()
    sender = Sender()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(sender, Channel("team", web_url(web) + "?rto=60"), HELLO)
        assert web.arrived.wait(20)
        sender.stop()
        assert sending.result(20).stopped
    assert sender(Channel("team", web_url(web)), HELLO).stopped


def test_checking_an_address_sends_nothing(web: Webhook, sender: Sender) -> None:
    assert sender.check(Channel("team", web_url(web))).sent
    assert not sender.check(Channel("team", "slack://x")).sent
    assert web.posted == []


def every_kind(database: Database) -> list[Notice]:
    """One notice of each kind that isn't the ledger's or the probes'."""
    verdict = {"columns": [{"name": "size", "status": "drifted", "strength": 2.0, "reasons": ["mean 3 → 4"]}]}
    gate = FailedGate(("homes", "metrics"), "r2_gate", "r2", 1, None, True, "too low", {"value": "0.4"}, AT)
    return [
        failed_run(FailedRun("r1", "homes_train", "homes", "model", f"no: pg://kim:{PASSWORD}@h", AT), LINKS),
        failed_gate(gate, LINKS),
        asked_retrain(AskedRetrain("r3", "homes_train", "homes", "drift", "3 days", AT), LINKS),
        drift_notice("homes", date(2026, 3, 1), 1, verdict, AT, LINKS),
        *(
            made(kind=kind, key=f"kind:{kind}", group=f"kind:{kind}", title=f"[homes] {kind}")
            for kind in Kind
            if kind not in (Kind.RUN_FAILED, Kind.GATE_FAILED, Kind.RETRAIN, Kind.DRIFT)
        ),
    ]


def test_every_kind_reaches_mail_and_web_and_no_secret_is_kept_or_logged(
    database: Database, mail: Mailbox, web: Webhook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broken = f"json://kim:{PASSWORD}@127.0.0.1:{free_port()}/{TOKEN}"
    urls = f"{mail_url(mail)}\n{web_url(web)} {broken}"
    clock = HandClock(datetime.now(UTC))
    notifier = Notifier(Settings(home=tmp_path, notify_urls=urls), database, now=clock)
    titles = []
    try:
        for notice in every_kind(database):
            with database.session() as session, session.begin():
                outbox.add(session, [notice], clock())
            notifier.step()
            clock.forward(6)
            notifier.step()
            notifier.delivery.wait(60)
            titles.append(notice.title)
    finally:
        notifier.stop()
    assert len(titles) == len(Kind)
    assert [m["subject"] for m in mail.mails] == titles
    assert web.titles == titles
    kept = stored(database)
    assert "Connection refused" in kept
    for secret in (PASSWORD, TOKEN):
        assert secret not in kept
        assert secret not in caplog.text
        assert all(secret not in str(post) for post in web.posted)


def test_a_hanging_channel_delays_no_other(database: Database, mail: Mailbox, web: Webhook, tmp_path: Path) -> None:
    web.hanging.set()
    clock = HandClock(datetime.now(UTC))
    urls = f"{web_url(web)}?rto=60 {mail_url(mail)}"
    notifier = Notifier(Settings(home=tmp_path, notify_urls=urls), database, now=clock)
    try:
        for number in range(2):
            with database.session() as session, session.begin():
                outbox.add(session, [made(key=f"k{number}", group=f"g{number}")], clock())
            notifier.step()
            clock.forward(6)
            notifier.step()

            def next_mail(expected: int = number + 1) -> bool:
                notifier.step()
                return len(mail.mails) == expected

            wait_until(next_mail, 25)
        assert web.arrived.wait(20)
    finally:
        notifier.stop()
    assert "'waiting'" in stored(database)
