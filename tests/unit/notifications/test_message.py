"""One notice is a message of its own; several are one list."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.notifications.message import MOST_LISTED, compose
from mlops_assets.notifications.notice import Kind, Severity
from tests.unit.notifications.made_notice import made

ALLOWED = {"b", "br", "a", "ul", "li", "p"}


class Tags(HTMLParser):
    """Every tag of a page, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_single_notice_keeps_its_words() -> None:
    message = compose([made()])
    assert message.title == "[homes] homes_train failed"
    assert message.text == "ValueError: bad\nRun 1.\nhttp://127.0.0.1:3000/runs/1"
    assert '<a href="http://127.0.0.1:3000/runs/1">' in message.html


def test_several_are_a_list_the_most_severe_first() -> None:
    down = made(kind=Kind.UNHEALTHY, severity=Severity.CRITICAL, title="[platform] MLflow is unhealthy", link=None)
    message = compose([made(), made(title="[homes] other failed"), down])
    assert message.title.startswith("3 notices (1 critical, 2 warning): [platform] MLflow is unhealthy")
    assert message.text.splitlines()[0] == "• [platform] MLflow is unhealthy"
    assert message.text.count("• ") == 3
    assert message.text.count("http://") == 2
    assert message.html.count("<li>") == 3


def test_a_long_list_is_cut_and_says_where_the_rest_is() -> None:
    message = compose([made(title=f"[homes] failure {n}") for n in range(MOST_LISTED + 480)])
    assert message.text.count("• ") == MOST_LISTED
    assert "… and 480 more: mlops notify recent" in message.text
    assert "… and 480 more" in message.html
    assert len(message.text) < 12_000


@pytest.mark.parametrize(
    ("notices", "expected"),
    [
        ([made(kind=Kind.PROMOTION, severity=Severity.INFO)], "success"),
        ([made(kind=Kind.RECOVERED, severity=Severity.INFO)], "success"),
        ([made(kind=Kind.CANDIDATE, severity=Severity.INFO)], "info"),
        ([made(kind=Kind.PROMOTION, severity=Severity.INFO), made(kind=Kind.RETRAIN, severity=Severity.INFO)], "info"),
        ([made()], "warning"),
        ([made(), made(severity=Severity.CRITICAL)], "failure"),
    ],
)
def test_severity_becomes_the_type_that_services_colour_by(notices: list[object], expected: str) -> None:
    assert compose(notices).type == expected


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), min_size=1, max_size=4))
def test_no_text_becomes_markup(texts: list[tuple[str, str]]) -> None:
    evil = '<script>alert(1)</script><img src="x" onerror=y>&amp;'
    message = compose([made(title=title + evil, body=body + evil) for title, body in texts])
    page = Tags(message.html)
    assert set(page.tags) <= ALLOWED
    assert "<script>" in page.text
