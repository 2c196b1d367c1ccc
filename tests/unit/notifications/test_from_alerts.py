"""What people read of an alert, when it is the same one, and what of a post is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from mlops_assets.notifications.from_alerts import MOST_ALERTS, Post, notices
from mlops_assets.notifications.notice import Kind, Notice, Severity

BEGAN = datetime(2026, 3, 2, 14, 5, tzinfo=UTC)
NOW = BEGAN + timedelta(hours=1)


def alert(**changed: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "DaemonSilent", "severity": "critical", "daemon": "SENSOR", "job": "platform"},
        "annotations": {"summary": "SENSOR is silent", "description": "mlops logs daemon", "runbook": "README#x"},
        "startsAt": BEGAN.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1:9090/graph",
        "fingerprint": "0123456789abcdef",
    } | changed


def read(*alerts: dict[str, Any]) -> list[Notice]:
    return notices(Post(version="4", alerts=list(alerts)).alerts, NOW)


def over(**changed: Any) -> dict[str, Any]:
    return alert(status="resolved", endsAt=(BEGAN + timedelta(minutes=9)).isoformat(), **changed)


def test_a_fired_alert_says_what_since_when_and_what_to_do() -> None:
    (notice,) = read(alert())
    assert (notice.kind, notice.severity, notice.product) == (Kind.ALERT, Severity.CRITICAL, None)
    assert notice.title == "[platform] DaemonSilent: SENSOR is silent"
    assert notice.body == "mlops logs daemon\ndaemon SENSOR\nSince 2026-03-02 14:05 UTC.\nWhat to do: README#x"
    assert notice.at == BEGAN


def test_its_end_says_from_when_to_when_and_reaches_whoever_heard_of_the_alert() -> None:
    (notice,) = read(over())
    assert notice.title == "[platform] DaemonSilent is over: SENSOR is silent"
    assert "From 2026-03-02 14:05 UTC to 2026-03-02 14:14 UTC." in notice.body
    assert "What to do" not in notice.body
    assert notice.severity is Severity.CRITICAL


def test_a_repeat_has_the_key_of_the_first_and_another_outbreak_has_its_own() -> None:
    again = (BEGAN + timedelta(days=1)).isoformat()
    found = [*read(alert()), *read(alert(annotations={"summary": "silent for longer"})), *read(over())]
    found += read(alert(startsAt=again)) + read(alert(fingerprint="ff"))
    keys = [notice.key for notice in found]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_the_moment_is_the_same_in_every_time_zone() -> None:
    (here,), (there,) = read(alert()), read(alert(startsAt="2026-03-02T15:05:00+01:00"))
    assert here.key == there.key


def test_an_end_is_never_counted_with_its_beginning() -> None:
    (began,), (ended,) = read(alert()), read(over())
    assert began.group != ended.group


@pytest.mark.parametrize("said", ["", "page", "Critical", "none"])
def test_a_severity_that_is_not_ours_is_a_warning(said: str) -> None:
    labels = {"alertname": "Mine", "severity": said}
    assert read(alert(labels=labels))[0].severity is Severity.WARNING


@pytest.mark.parametrize("said", ["../x", "Homes", "a" * 80, "x\n[homes] all is well", ""])
def test_a_product_that_cannot_be_one_is_none(said: str) -> None:
    assert read(alert(labels={"alertname": "Mine", "product": said}))[0].product is None
    assert read(alert(labels={"alertname": "Mine", "product": "homes"}))[0].title.startswith("[homes] Mine")


def test_words_from_elsewhere_are_cleaned_and_cut() -> None:
    words = {"summary": "down\nat postgresql://me:hunter2@host/x", "description": "y" * 9000}
    (notice,) = read(alert(annotations=words, labels={"alertname": "Mine", "path": "\x1b[31m" + "z" * 9000}))
    assert "hunter2" not in notice.title + notice.body
    assert "\n" not in notice.title
    assert "\x1b" not in notice.body
    assert len(notice.body) <= 3000


def test_an_alert_without_words_has_its_name() -> None:
    (notice,) = read(alert(annotations={}, labels={}))
    assert notice.title == "[platform] Alert: Alert"


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "pending"},
        {"startsAt": "yesterday"},
        {"fingerprint": "../../etc"},
        {"fingerprint": ""},
        {"labels": {"alertname": "x" * 20_000}},
        {"labels": {f"label{n}": "x" for n in range(200)}},
        {"labels": {"alertname": 5}},
        {"labels": None},
    ],
)
def test_what_is_no_alert_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Post(version="4", alerts=[alert(**changed)])


def test_a_post_of_another_version_of_nothing_or_of_too_much_is_refused() -> None:
    for post in (
        {"version": "5", "alerts": [alert()]},
        {"version": "4", "alerts": []},
        {"version": "4", "alerts": [alert()] * (MOST_ALERTS + 1)},
        {"alerts": [alert()]},
    ):
        with pytest.raises(ValidationError):
            Post.model_validate(post)
