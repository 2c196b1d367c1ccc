"""A notice's texts are clean, short, and without the secrets that errors carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.notifications.notice import LONGEST_BODY, LONGEST_NAME, LONGEST_TITLE, Severity, clean, titled
from tests.unit.notifications.made_notice import made


@given(st.text(max_size=5000), st.text(max_size=5000))
def test_any_text_becomes_one_that_a_database_and_a_mail_header_hold(title: str, body: str) -> None:
    notice = made(title=title, body=body, key=body, group=title)
    assert len(notice.title.splitlines()) <= 1
    assert len(notice.title) <= LONGEST_TITLE
    assert len(notice.body) <= LONGEST_BODY
    assert len(notice.key) <= LONGEST_NAME
    for text in (notice.title, notice.body, notice.key, notice.group):
        assert "\x00" not in text
        text.encode()


@pytest.mark.parametrize(
    "text",
    [
        "can't reach postgresql+psycopg2://kim:s3cr3t@db:5432/x",
        "can't reach postgresql://:s3cr3t@db",
        "GET https://kim:s3cr3t@host/path failed",
        "amqp://u:p@s3cr3t@host is down",
    ],
)
def test_credentials_in_an_address_are_hidden(text: str) -> None:
    assert "s3cr3t" not in clean(text)
    assert "s3cr3t" not in made(body=text, title=text).body
    assert "://***@" in clean(text)


def test_an_address_without_credentials_stays() -> None:
    assert clean("see http://127.0.0.1:3000/runs/1 and a@b") == "see http://127.0.0.1:3000/runs/1 and a@b"


def test_long_keys_that_begin_alike_stay_apart() -> None:
    assert made(key="k" * 400 + "a").key != made(key="k" * 400 + "b").key
    assert made(key="k" * 400 + "a").key == made(key="k" * 400 + "a").key


def test_titles_name_the_product_or_the_platform() -> None:
    assert titled("homes", "release 5 promoted") == "[homes] release 5 promoted"
    assert titled(None, "MLflow is unhealthy") == "[platform] MLflow is unhealthy"


def test_severities_are_ordered() -> None:
    assert Severity.INFO.rank < Severity.WARNING.rank < Severity.CRITICAL.rank
