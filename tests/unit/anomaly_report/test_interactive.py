"""The page: nothing from outside, nothing of a value is markup, the same figures as the summary, valid charts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from mlops_assets.anomaly_report import interactive
from tests.unit.anomaly_report.scored import CASES, GROUPS, scored, trained

EVIL = (
    "</script><script>alert(1)</script><img src='http://evil.test/x' onerror=alert(1)><a href='//evil.test'>&lt;b&gt;"
)
FACTS = {"data version": "sha256 ab12", "release": "7"}


class Page(HTMLParser):
    """Tags with their attributes, the text that is shown, and scripts by type."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[tuple[str, str]] = []
        self._open = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag
        if tag == "script":
            self.scripts.append((dict(attrs).get("type") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            kind, before = self.scripts[-1]
            self.scripts[-1] = (kind, before + data)
        elif self._open != "style":
            self.text += f"{data}\n"

    @property
    def charts(self) -> dict[str, Any]:
        return json.loads(next(text for kind, text in self.scripts if kind == "application/json"))


def page(frame: pd.DataFrame, title: str = "Traffic anomalies") -> Page:
    return Page(interactive.page(frame, title, FACTS, GROUPS))


@pytest.mark.parametrize("case", list(CASES))
def test_every_case_makes_a_page_that_loads_nothing(case: str) -> None:
    made = page(CASES[case])
    names = {tag for tag, _ in made.tags}
    assert not names & {"link", "img", "iframe", "object", "embed", "base"}
    assert not [attrs for _, attrs in made.tags if {"src", "href"} & set(attrs)]
    assert f"{len(CASES[case]):,}" in made.text
    assert "nan" not in made.text.lower()
    divs = {attrs["id"] for tag, attrs in made.tags if tag == "div" and "id" in attrs}
    assert divs == set(made.charts)


@pytest.mark.parametrize("case", list(CASES))
def test_every_chart_is_one_that_plotly_knows(case: str) -> None:
    from plotly.graph_objects import Figure

    for name, chart in interactive.figures(CASES[case], GROUPS).items():
        assert Figure(chart).data, name


def test_the_library_is_in_the_page_once_and_only_its_scripts_may_run() -> None:
    made = Page(whole := interactive.page(CASES["ordinary"], "t", FACTS, GROUPS))
    runs = [text for kind, text in made.scripts if not kind]
    assert len(runs) == 2
    assert len(whole) < 5_500_000
    policy = next(attrs["content"] for tag, attrs in made.tags if attrs.get("http-equiv")) or ""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in runs]
    assert [f"'sha256-{digest}'" in policy for digest in hashes] == [True, True]
    assert policy.startswith("default-src 'none'")
    scripts = re.search(r"script-src ([^;]*);", policy)
    assert scripts
    assert "unsafe-inline" not in scripts[1]


def test_the_policy_comes_before_every_script() -> None:
    names = [attrs.get("http-equiv") or tag for tag, attrs in page(CASES["ordinary"]).tags]
    assert names.index("Content-Security-Policy") < names.index("script")


def test_values_are_text_wherever_they_are_shown() -> None:
    frame = scored(120, 60).assign(sky=EVIL, why=EVIL[::-1], reasons=EVIL)
    made = Page(interactive.page(frame, EVIL, {EVIL: EVIL}, {"sky": EVIL}))
    plain = Page(interactive.page(frame.assign(sky="CLEAR", reasons="why"), "t", FACTS, {"sky": "weather"}))
    # The same elements whatever the values are; they stand in the text as they came.
    assert [tag for tag, _ in made.tags if tag != "p"] == [tag for tag, _ in plain.tags if tag != "p"]
    # The title twice, a fact's name and value, the head of a group, and a reason of each of the lowest.
    assert made.text.count(EVIL) == 2 + 2 + 1 + 20


def test_plotly_is_given_escaped_names() -> None:
    """Plotly reads some markup (bold, links) in labels and hover."""
    charts = interactive.figures(scored(120, 6).assign(sky=EVIL), GROUPS)
    shown = [charts["by_weather"]["data"][0]["text"][0], charts["by_weather"]["layout"]["yaxis"]["ticktext"][0]]
    for text in shown:
        assert "<" not in text
        assert ">" not in text


def test_the_data_of_the_charts_cannot_end_its_script() -> None:
    data = [text for kind, text in page(CASES["ordinary"]).scripts if kind == "application/json"]
    assert len(data) == 1
    # Plotly's own markup is in it, escaped.
    assert "<" not in data[0]
    assert "\\u003cbr\\u003e" in data[0]


def test_title_and_facts_are_told() -> None:
    text = page(CASES["ordinary"], "Anomalies of May").text
    assert "Anomalies of May" in text
    assert "data version: sha256 ab12" in text
    assert "release: 7" in text


def test_the_charts_show_the_figures_of_the_frame() -> None:
    frame = scored(2000, 40, "2024-01-01", days=60).assign(sky=["SNOW"] * 500 + ["CLEAR"] * 1500)
    charts = page(frame).charts
    bars = charts["score_histogram"]["data"][0]
    assert sum(bars["y"]) == 2000
    assert (
        sum(y for y, colour in zip(bars["y"], bars["marker"]["color"], strict=True) if colour == interactive.ORANGE)
        == 40
    )
    months = charts["share_by_month"]["data"]
    assert months[0]["x"] == ["2024-01", "2024-02"]
    assert sum(months[1]["y"]) == 2000
    assert sorted(tuple(pair) for pair in charts["by_weather"]["data"][0]["customdata"]) == [(10, 500), (30, 1500)]
    cells = charts["by_hour"]["data"][0]["customdata"]
    assert sum(odd for day in cells for odd, _ in day) == 40


def test_a_cell_without_records_and_a_month_without_enough_are_gaps() -> None:
    charts = interactive.figures(pd.concat([scored(60, 1, days=10), scored(2, 0, "2024-02-05", days=1),
                                            scored(60, 1, "2024-03-01", days=10)]), {})  # fmt: skip
    assert charts["share_by_month"]["data"][0]["y"][1] is None
    assert charts["share_by_month"]["data"][1]["y"] == [60, 2, 60]
    cells = charts["by_hour"]["data"][0]
    empty = [rate for rates, counts in zip(cells["z"], cells["customdata"], strict=True)
             for rate, (_, records) in zip(rates, counts, strict=True) if not records]  # fmt: skip
    assert empty
    assert set(empty) == {None}


def test_the_lowest_scores_have_their_reasons() -> None:
    frame = scored(100, 3).assign(reasons="hour 4 (1 % of accidents)")
    text = page(frame).text
    assert text.count("hour 4 (1 % of accidents)") == 20
    assert f"{frame['anomaly_score'].min():.4f}" in text


def test_months_that_the_model_was_trained_on_are_shaded_and_counted_apart() -> None:
    made = page(trained(scored(2000, 40, days=400), "2024-03"))
    for name in ("share_by_month", "trend_by_month"):
        spans = [shape for shape in made.charts[name]["layout"]["shapes"] if shape["type"] == "rect"]
        assert [(span["x0"], span["x1"]) for span in spans] == [("2023-12-17", "2024-03-16")]
    assert made.text.count("Shaded: the model was trained on these months.") == 2
    assert "after training" in made.text
    unknown = page(scored(2000, 40, days=400))
    assert not [shape for shape in unknown.charts["trend_by_month"]["layout"]["shapes"] if shape["type"] == "rect"]
    assert "train" not in unknown.text
