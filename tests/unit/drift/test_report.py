"""The report: the verdict in words, Evidently's charts, and nothing that users typed may act in it."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from mlops_assets.drift import charts, report
from mlops_assets.drift.facts import Status, Summary, Verdict
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.sample import Sample
from tests.unit.drift.made_verdict import MONITORED, column, sample, verdict

EVIL = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=2"><!--'
OK = verdict(column("area"), column("town", kind="category"), column("garden"), column("estimate"), column("error"))


def page(said: Verdict = OK, reference: Sample | None = None, current: Sample | None = None, **more: Any) -> str:
    given = {"title": "Homes"} | more
    sides = (sample() if reference is None else reference), (sample(seed=1) if current is None else current)
    return report.render(said, *sides, MONITORED, DriftPolicy(), **given).decode()


def figures(reference: Sample, current: Sample) -> dict[str, tuple[str, float]]:
    """Evidently's method and distance of each column that is drawn."""
    metrics = json.loads(charts.drawn(OK, reference, current, MONITORED).json())["metrics"]
    return {one["config"]["column"]: (one["config"]["method"], one["value"]) for one in metrics}


def table(text: str) -> str:
    return text[text.index("<main") : text.index("</main>")]


def test_the_verdict_is_on_top_and_the_charts_below() -> None:
    drifted = column("area", 3.2, effect=0.32, p_value=1e-12, reasons=("Larger than in training.",))
    text = page(verdict(column("town", kind="category"), drifted), note="Compared with the newest data.")
    top = table(text)
    for shown in ("Homes", "2026-03-09", "release 3", "300 of 5,000", "Drift", "Two things changed.", "&lt; 1e-9",
                  "0.32 sd", "Larger than in training.", "About town.", "Compared with the newest data."):  # fmt: skip
        assert shown in top
    assert top.index("area") < top.index("town")
    assert text.index("<main") < text.index("drawDashboard(")
    assert "Drift in column 'area'" in text
    assert "<title>Homes: drift 2026-03-09</title>" in text[: text.index("<script")]


def test_what_evidently_says_follows_the_verdict() -> None:
    """Samples that are alike, called drifted, and samples that differ, called ok."""
    drifted = verdict(*(column(one.name, 1.5, one.kind) for one in MONITORED))
    assert "Data drift not detected" not in page(drifted)
    assert "Data drift detected" not in page(OK, current=sample(area=np.full(300, 900.0) + np.arange(300)))


def test_what_users_typed_is_text_and_no_code() -> None:
    names = {EVIL: 0.5, "Pune": 0.5}
    evil = column("town", 2.0, "category", reasons=(EVIL,), current=Summary(300, 0.0, top=names))
    said = verdict(evil)
    text = page(said, current=sample(town=[EVIL, "<b>Goa</b>"] * 150), title=EVIL, note=EVIL)
    assert "hacked=1" in table(text)
    assert "<script>window" not in text
    assert "<img" not in text
    assert "<b>" not in text
    assert "<!--" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    # As many scripts as a page has without them.
    assert text.lower().count("</script") == page().lower().count("</script")


def test_the_page_may_load_nothing() -> None:
    text = page()
    rule = text.index("Content-Security-Policy")
    assert rule < text.index("<script")
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", text)


@pytest.mark.parametrize(
    "odd",
    [
        {"area": np.full(300, np.nan)},
        {"area": np.full(300, 5.0)},
        {"area": np.r_[np.full(299, 5.0), 1e300]},
        {"area": np.r_[np.full(299, np.nan), 5.0]},
        {"town": [None] * 300},
        {"town": ["Pune"] * 300},
        {"town": [""] * 300},
        {"town": [f"town {place}" for place in range(300)]},
        {"error": np.full(300, np.nan)},
    ],
)
def test_odd_columns_on_either_side_are_no_fault(odd: dict[str, Any]) -> None:
    for sides in ((sample(**odd), sample()), (sample(), sample(**odd)), (sample(**odd), sample(**odd))):
        found = figures(*sides)
        assert {"garden", "estimate"} <= set(found)
    assert "About area." in page(OK, sample(**odd), sample(**odd))


def test_an_empty_day_is_a_page_without_charts() -> None:
    said = verdict(*(column(one.name, None, one.kind) for one in MONITORED), status=Status.INSUFFICIENT)
    text = page(said, current=sample(0))
    assert "Too few rows to tell" in text
    assert "drawDashboard" not in text


def test_methods_are_pinned_and_an_outlier_moves_nothing() -> None:
    reference, current = sample(3000), sample(3000, seed=1)
    values = current.rows["area"].to_numpy(copy=True)
    values[0] = 1e4
    found = figures(reference, sample(3000, seed=1, area=values))
    assert {method for name, (method, _) in found.items() if name != "town"} == {"wasserstein"}
    assert found["town"][0] == "jensenshannon"
    assert found["area"][1] == pytest.approx(figures(reference, current)["area"][1], abs=0.002)
    shifted = figures(reference, sample(3000, seed=1, area=values + 20))
    assert shifted["area"][1] == pytest.approx(1.0, abs=0.15)


def test_rare_categories_are_one_bar() -> None:
    many = sample(town=[f"town {place}" for place in range(300)])
    text = page(current=many)
    assert "(others)" in text
    assert len(set(re.findall(r"town \d+", text))) <= 30
