"""Failing channels, kills, several notifiers, a database that is away: nothing is lost and nothing told twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from mlops_assets.notifications import collect, telling
from mlops_assets.notifications import notifier as notifiers
from mlops_assets.notifications.channels import Channel
from mlops_assets.notifications.message import Message
from mlops_assets.notifications.notifier import Notifier, follow
from mlops_assets.notifications.sender import Outcome
from mlops_assets.notifications.tables import CHANNEL, DELIVERY, NOTICE
from mlops_assets.rollout.ledger import Ledger
from tests.integration.notifications.notifying import PRODUCT, Kept, Notifying, release
from tests.unit.notifications.made_notice import made


def test_a_channel_that_fails_holds_up_no_other_and_gets_all_as_one_when_it_is_back(
    notifying: Notifying, kept: Kept
) -> None:
    notifier = notifying.start("json://h/1 json://h/2")
    kept.failing = {"json-2"}
    for number in range(3):
        notifying.note(made(key=f"k{number}", group=f"g{number}", title=f"[homes] job {number} failed"))
        notifying.pass_by(notifier, 600)
    assert len(kept.sent["json-1"]) == 3
    assert "json-2" not in kept.sent
    state = {row.name: row for row in notifying.rows(CHANNEL)}["json-2"]
    assert (state.tries, state.last_error) == (3, "HTTP 500")
    kept.failing = set()
    notifying.pass_by(notifier, 3600)
    assert len(kept.sent["json-2"]) == 1
    assert kept.sent["json-2"][0].title.startswith("3 notices")
    state = {row.name: row for row in notifying.rows(CHANNEL)}["json-2"]
    assert (state.tries, state.failing_since, state.last_error) == (0, None, None)


def test_a_failing_channel_is_tried_again_only_when_it_is_time(notifying: Notifying, kept: Kept) -> None:
    notifier = notifying.start()
    kept.failing = {"json-1"}
    notifying.note(made())
    notifying.pass_by(notifier)
    kept.failing = set()
    notifying.pass_by(notifier, 20)
    assert kept.titles == []
    notifying.pass_by(notifier, 11)
    assert kept.titles == ["[homes] homes_train failed"]


def test_after_a_day_a_message_is_given_up(notifying: Notifying, kept: Kept) -> None:
    notifier = notifying.start()
    kept.failing = {"json-1"}
    notifying.note(made())
    notifying.pass_by(notifier)
    notifying.pass_by(notifier, 86_500)
    assert [row.state for row in notifying.rows(DELIVERY)] == ["given_up"]
    kept.failing = set()
    notifying.pass_by(notifier, 7200)
    assert kept.titles == []


def test_a_sender_that_raises_is_a_failed_delivery(
    notifying: Notifying, caplog: pytest.LogCaptureFixture, kept: Kept
) -> None:
    def raising(channel: Channel, message: Message) -> Outcome:
        raise RuntimeError(f"refused {channel.url}")

    notifying.kept = raising  # type: ignore[assignment]
    notifier = notifying.start("json://kim:s3cr3tpass@host/path")
    notifying.note(made())
    notifying.pass_by(notifier)
    state = notifying.rows(CHANNEL)[0]
    assert state.tries == 1
    assert "RuntimeError" in state.last_error
    assert "s3cr3tpass" not in state.last_error + caplog.text


def test_killed_before_sending_the_next_notifier_sends(notifying: Notifying, kept: Kept) -> None:
    first = notifying.start()
    notifying.note(made())
    first.step()
    first.stop()
    second = notifying.start()
    notifying.pass_by(second)
    assert kept.titles == ["[homes] homes_train failed"]


class Killed(BaseException):
    """Ends a thread where it is, as a kill ends a process."""


def test_killed_while_sending_the_next_notifier_sends_when_the_claim_is_over(notifying: Notifying, kept: Kept) -> None:
    def killed(channel: Channel, message: Message) -> Outcome:
        raise Killed

    notifying.kept = killed  # type: ignore[assignment]
    first = notifying.start()
    notifying.note(made())
    notifying.pass_by(first)
    notifying.kept = kept
    second = notifying.start()
    notifying.pass_by(second)
    assert kept.titles == [], "the first may still be at it"
    notifying.pass_by(second, 61)
    assert kept.titles == ["[homes] homes_train failed"]
    notifying.pass_by(second, 61)
    assert len(kept.titles) == 1


def test_killed_anywhere_in_a_decision_nothing_is_half_done(
    notifying: Notifying, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = notifying.start()
    notifying.note(made(), made(key="other", group="other"))
    notifier.step()
    notifying.clock.forward(6)
    for function in ("_settle", "_wait", "_keep"):
        with monkeypatch.context() as patched:
            patched.setattr(telling, function, _killed)
            with pytest.raises(Killed):
                notifier.step()
        assert [row.outcome for row in notifying.rows(NOTICE)] == [None, None]
        assert notifying.rows(DELIVERY) == []
    notifying.pass_by(notifier)
    assert len(kept.titles) == 1
    assert kept.titles[0].startswith("2 notices")


def _killed(*_: Any, **__: Any) -> None:
    raise Killed


def test_killed_between_reading_a_source_and_keeping_its_place_nothing_is_lost(
    notifying: Notifying, ledger: Ledger, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = notifying.start()
    notifying.pass_by(notifier)
    version = release(ledger)
    ledger.promote(PRODUCT, "kim", "better")
    with monkeypatch.context() as patched:
        patched.setattr(collect, "_keep", _killed)
        with pytest.raises(Killed):
            notifier.step()
    assert notifying.rows(NOTICE) == []
    notifying.pass_by(notifying.start())
    assert kept.titles == [f"[homes] release {version} promoted"]


def test_many_notifiers_at_once_tell_everything_once(notifying: Notifying, ledger: Ledger, kept: Kept) -> None:
    notifiers = [notifying.start() for _ in range(4)]
    notifiers[0].step()
    for number in range(30):
        notifying.note(made(key=f"k{number}", group=f"g{number % 10}"))
    version = release(ledger)
    ledger.promote(PRODUCT, "kim", "better")

    def run(notifier: Notifier) -> None:
        for _ in range(4):
            notifier.step()
            notifier.delivery.wait(20)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, notifiers))
        notifying.clock.forward(6)
        list(pool.map(run, notifiers))
    assert len([row for row in notifying.rows(NOTICE) if row.outcome == "told"]) == 11
    assert sum(title.startswith("11 notices") for title in kept.titles) == len(kept.titles) == 1
    assert f"[homes] release {version} promoted" in kept.sent["json-1"][0].text


def test_facts_wait_while_the_channels_can_not_be_read(
    notifying: Notifying, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = notifying.home / "secrets"
    secrets.mkdir()
    file = secrets / "channels.yaml"
    file.write_text("- {name: a, url: json://h/s3cr3tpath, least: urgent}")
    file.chmod(0o600)
    notifier = notifying.start(urls="")
    notifying.note(made())
    for _ in range(3):
        notifying.pass_by(notifier)
    assert caplog.text.count("least: Input should be") == 1, "told once, not at every step"
    assert "s3cr3tpath" not in caplog.text
    file.write_text("- {name: a, url: json://h/s3cr3tpath}")
    notifying.pass_by(notifier)
    assert kept.titles == ["[homes] homes_train failed"]
    file.write_text("- nonsense")
    notifying.note(made(key="second", group="second"))
    notifying.pass_by(notifier)
    assert len(kept.titles) == 2, "the channels from before the fault are used"


def test_a_database_that_is_away_is_told_once_and_waited_for(
    notifying: Notifying, kept: Kept, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = notifying.start()
    notifying.note(made())
    steps = 0

    def away(*_: Any) -> None:
        nonlocal steps
        steps += 1
        if steps <= 3:
            raise SQLAlchemyError("postgresql://kim:s3cr3tpass@db")

    def pause(seconds: float) -> bool:
        notifying.clock.forward(6)
        return steps >= 6

    monkeypatch.setattr(notifiers, "collect", away)
    caplog.set_level("INFO")
    follow(notifier, pause)
    assert caplog.text.count("can't be read") == 1
    assert caplog.text.count("can be read again") == 1
    assert "s3cr3tpass" not in caplog.text
    assert kept.titles == ["[homes] homes_train failed"]


@pytest.mark.parametrize(
    ("steps_away", "expected"),
    [(20, ["[platform] the database is unhealthy", "[platform] the database is well again"]), (5, [])],
)
def test_a_database_that_stays_away_is_told_past_the_database(
    notifying: Notifying, kept: Kept, monkeypatch: pytest.MonkeyPatch, steps_away: int, expected: list[str]
) -> None:
    notifier, steps = notifying.start(), 0

    def away(*_: Any) -> None:
        nonlocal steps
        steps += 1
        kept.failing = {"json-1"} if steps < 10 else set()
        if steps <= steps_away:
            raise OperationalError("postgresql://kim:s3cr3tpass@db", {}, Exception("gone"))

    def pause(seconds: float) -> bool:
        notifying.clock.forward(10)
        return steps >= 25

    monkeypatch.setattr(notifiers, "collect", away)
    follow(notifier, pause)
    assert kept.titles == expected
    assert "s3cr3tpass" not in "".join(message.text for message in kept.sent.get("json-1", []))


def test_a_fault_in_a_step_does_not_end_the_notifier(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    notifier, steps = notifying.start(), []

    def faulty(*_: Any) -> None:
        steps.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(notifiers, "collect", faulty)
    follow(notifier, lambda _: len(steps) >= 3)
    assert len(steps) == 3
    assert "a step of the notifier failed" in caplog.text
