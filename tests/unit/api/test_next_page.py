"""Where people go on to: whatever a link asks for, a browser stays on this site."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_assets.api.next_page import FIRST_PAGE, next_page

HERE = "https://here/below/sign-in/callback"


@pytest.mark.parametrize(
    "wanted",
    [
        "/dagster/",
        "/dagster/runs/4f?logs=a%20b&x=[1]#end",
        "/pipelines/new#version=2&stage=train",
        "/mlflow/#/experiments/1",
        "/drift?to=https://example.org//x",
        "/sign-in-of-others",
        "/runs/a%3Ab",
    ],
)
def test_a_path_of_this_site_is_gone_on_to(wanted: str) -> None:
    assert next_page(wanted) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        *(None, "", "/", "x", "dagster/", "?a", "#a", "/" + "a" * 2000),
        *("//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example", "/%2f/evil.example", "/%5cevil"),
        *("https://evil.example", "https:evil.example", "javascript:alert(1)", "data:text/html,x", "mailto:a@b"),
        *("/\t/evil.example", "/\n/evil.example", " //evil.example", "/ /evil", "/\x00", "/é", "/\u2028x", "/a\x7f"),
        *("/.//evil.example", "/..//evil.example", "/x/..//evil.example", "/%2e%2e//evil", "/x/../y", "/x/%2e%2e/y"),
        *("/x//evil.example", "/http://evil.example"),
        *("/sign-in", "/sign-in/callback?code=1", "/sign-in?next=/x", "/sign%2din", "/sign-in/provider"),
    ],
)
def test_everything_else_leads_to_the_first_page(wanted: str | None) -> None:
    assert next_page(wanted) == FIRST_PAGE


@given(st.text(st.sampled_from("/\\.:@?#%25efx \t\n"), max_size=12).map(lambda text: f"/{text}"))
@example("/@evil")
@example("/:80/x")
def test_whatever_is_asked_for_stays_here_as_the_pages_use_it(wanted: str) -> None:
    found = next_page(wanted)
    for address in (urljoin(HERE, f"../{found[1:]}"), urljoin("https://here/below/", f".{found}")):
        parts = urlsplit(address)
        assert (parts.scheme, parts.netloc) == ("https", "here")
        assert parts.path.startswith("/below/")
