"""From a fact in the database to one message: nothing lost, nothing told twice, repeats summed up."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from mlops_assets.notifications import collect, outbox
from mlops_assets.notifications.notice import Kind, Severity
from mlops_assets.notifications.tables import METADATA, NOTICE
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from tests.integration.notifications.notifying import PRODUCT, Kept, Notifying, drifted, release, with_production
from tests.unit.notifications.made_notice import made


def test_decisions_are_told_with_reason_and_link(notifying: Notifying, ledger: Ledger, kept: Kept) -> None:
    notifier = notifying.start()
    notifying.pass_by(notifier)
    assert kept.titles == [], "what was before the first start is old"
    version = release(ledger)
    ledger.begin(PRODUCT, [0.2], actor="platform", reason="loaded")
    notifying.pass_by(notifier)
    ledger.promote(PRODUCT, "kim", "clearly better")
    notifying.pass_by(notifier)
    ledger.rollback(PRODUCT, actor="kim", reason="complaints")
    notifying.pass_by(notifier)
    assert kept.titles == [
        f"[homes] candidate {version} serves 20% of the users",
        f"[homes] release {version} promoted",
        f"[homes] release {version} rolled back",
    ]
    promoted = kept.sent["json-1"][1]
    assert "Why: clearly better" in promoted.text
    assert "Decided by kim" in promoted.text
    assert promoted.text.endswith(":8000/rollouts")
    assert [message.type for message in kept.sent["json-1"]] == ["info", "success", "warning"]


def test_more_decisions_than_a_page_of_several_products_are_all_read(
    notifying: Notifying, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = notifying.start()
    notifier.step()
    monkeypatch.setattr(collect, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(collect, "OVERLAP_ROWS", 0)
    promoted = []
    for _ in range(4):
        promoted.append(release(ledger))
        ledger.promote(PRODUCT, "kim", "better")
    with_production(ledger.database, "flats")
    for _ in range(6):
        notifier.step()
    titles = [row.title for row in notifying.rows(NOTICE)]
    assert sorted(titles) == sorted(
        [*(f"[homes] release {n} promoted" for n in promoted), "[flats] release 1 is the first to serve"]
    )


def test_a_drift_block_is_told_when_it_begins_and_ends(notifying: Notifying, ledger: Ledger, kept: Kept) -> None:
    notifier = notifying.start()
    notifying.pass_by(notifier)
    ledger.block(PRODUCT, "size drifted on 2 days", actor="platform")
    notifying.pass_by(notifier)
    ledger.block(PRODUCT, "size and rooms drifted on 3 days", actor="platform")
    notifying.pass_by(notifier, 7200)
    notifying.pass_by(notifier, 7200)
    ledger.block(PRODUCT, None, actor="platform")
    notifying.pass_by(notifier)
    assert kept.titles == ["[homes] drift blocks promotion", "[homes] drift no longer blocks promotion"]


def test_drifted_days_are_told_once_also_when_they_are_computed_again(
    notifying: Notifying, database: Database, kept: Kept
) -> None:
    drifted(database, date(2026, 3, 1), datetime.now(UTC) - timedelta(hours=1))
    notifier = notifying.start()
    notifying.pass_by(notifier)
    assert kept.titles == []
    drifted(database, date(2026, 3, 2), datetime.now(UTC))
    drifted(database, date(2026, 3, 3), datetime.now(UTC), status="ok")
    notifying.pass_by(notifier)
    drifted(database, date(2026, 3, 2), datetime.now(UTC))
    notifying.pass_by(notifier)
    notifying.pass_by(notifier, 7200)
    assert kept.titles == ["[homes] 2026-03-02: size drifted"]
    assert "/drift/homes/2026-03-02" in kept.sent["json-1"][0].text


def test_a_backfill_of_many_days_is_one_message_and_a_summary(
    notifying: Notifying, database: Database, kept: Kept
) -> None:
    notifier = notifying.start()
    notifying.pass_by(notifier)
    for day in range(1, 29):
        drifted(database, date(2026, 2, day), datetime.now(UTC))
    notifying.pass_by(notifier)
    assert len(kept.titles) == 1
    notifying.pass_by(notifier, 3700)
    assert len(kept.titles) == 2
    assert "(27 more times)" in kept.titles[1]


def test_a_hundred_repeats_in_an_hour_are_one_message_then_a_summary(notifying: Notifying, kept: Kept) -> None:
    notifier = notifying.start()
    for number in range(100):
        notifying.note(made(key=f"run:{number}", at=notifying.clock()))
        notifying.pass_by(notifier, 36)
    assert kept.titles == [
        "[homes] homes_train failed",
        "[homes] homes_train failed (99 more times)",
    ] or kept.titles == ["[homes] homes_train failed"]
    notifying.pass_by(notifier, 3600)
    notifying.pass_by(notifier, 3600)
    notifying.pass_by(notifier, 3600)
    assert kept.titles == ["[homes] homes_train failed", "[homes] homes_train failed (99 more times)"]
    assert "99 more times since" in kept.sent["json-1"][1].text
    notifying.note(made(key="run:later"))
    notifying.pass_by(notifier)
    assert kept.titles[2:] == ["[homes] homes_train failed"], "after a quiet hour it is news again"


def test_what_happens_at_once_is_one_message(notifying: Notifying, kept: Kept) -> None:
    notifier = notifying.start()
    notifying.note(*[made(key=f"k{n}", group=f"g{n}", title=f"[homes] job {n} failed") for n in range(7)])
    notifier.step()
    notifier.delivery.wait(20)
    assert kept.titles == [], "simultaneous facts are waited for"
    notifying.clock.forward(3)
    notifying.note(made(key="k8", group="g8", severity=Severity.CRITICAL, title="[homes] worse"))
    notifying.pass_by(notifier, 3)
    assert len(kept.titles) == 1
    assert kept.titles[0].startswith("8 notices (1 critical, 7 warning): [homes] worse")


def test_each_channel_hears_what_it_wants(notifying: Notifying, kept: Kept) -> None:
    secrets = notifying.home / "secrets"
    secrets.mkdir()
    file = secrets / "channels.yaml"
    file.write_text(
        "- {name: on call, url: 'json://h/1', least: critical}\n- {name: drift, url: 'json://h/2', kinds: [drift]}\n"
    )
    file.chmod(0o600)
    notifier = notifying.start(urls="json://h/3")
    notifying.note(
        made(key="a", group="a"),
        made(key="b", group="b", kind=Kind.DRIFT, title="drifted"),
        made(key="c", group="c", kind=Kind.UNHEALTHY, severity=Severity.CRITICAL, title="down"),
    )
    notifying.pass_by(notifier)
    assert [m.title for m in kept.sent["on call"]] == ["down"]
    assert [m.title for m in kept.sent["drift"]] == ["drifted"]
    assert kept.sent["json-1"][0].title.startswith("3 notices")


def test_the_newest_notices_are_listed_with_where_they_went(notifying: Notifying, kept: Kept) -> None:
    notifier = notifying.start("json://h/1 json://h/2")
    kept.failing = {"json-2"}
    notifying.note(made(key="a"), made(key="b"), made(key="c", group="c"))
    notifying.pass_by(notifier)
    told = outbox.newest(notifying.database, 2)
    assert [(each.notice.key, each.outcome, each.channels) for each in told] == [
        ("c", "told", {"json-1": "sent", "json-2": "waiting"}),
        ("b", "counted", {}),
    ]


def test_old_notices_go_and_new_ones_stay(notifying: Notifying, kept: Kept) -> None:
    notifier = notifying.start()
    notifying.note(made(key="old", group="a"))
    notifying.pass_by(notifier)
    notifying.pass_by(notifier, timedelta(days=89).total_seconds())
    notifying.note(made(key="new", group="b"))
    notifying.pass_by(notifier, 3700)
    assert outbox.known(notifying.database, ["old", "new"]) == {"old", "new"}
    notifying.pass_by(notifier, timedelta(days=2).total_seconds())
    notifying.pass_by(notifier, 3700)
    assert outbox.known(notifying.database, ["old", "new"]) == {"new"}
    assert len(kept.titles) == 2


def test_a_key_is_noted_once_and_known(database: Database) -> None:
    assert outbox.note(database, [made(), made(title="other words")]) == 1
    assert outbox.note(database, [made()]) == 0
    assert outbox.note(database, []) == 0
    assert outbox.known(database, ["run:1", "run:2"]) == {"run:1"}
    assert outbox.known(database, []) == set()


def test_the_tables_are_those_of_the_migration(database: Database) -> None:
    asked = text(
        "SELECT table_name, column_name, is_nullable FROM information_schema.columns WHERE table_schema = 'mlops'"
    )
    with database.engine.connect() as connection:
        present = {tuple(row) for row in connection.execute(asked)}
    for table in METADATA.sorted_tables:
        there = {row for row in present if row[0] == table.name}
        assert there == {(table.name, column.name, "YES" if column.nullable else "NO") for column in table.columns}
