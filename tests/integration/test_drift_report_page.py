"""The drift report in a real browser: its charts are drawn from one file, and what users typed stays text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlops_assets.drift import judge, report
from mlops_assets.drift.policy import DriftPolicy
from tests.integration.browser import open_tab, running_browser
from tests.unit.drift.made_verdict import DAY, MONITORED, sample

EVIL = (
    "</script><script>window.hacked=1</script>",
    '<img src="http://203.0.113.1/x" onerror="window.hacked=2">',
    '<a href="javascript:window.hacked=3">Goa</a>',
    "&lt;script&gt;window.hacked=4&lt;/script&gt;",
    "<!--",
    '"; window.hacked=5; "',
)
CHARTS = ".js-plotly-plot"


def test_charts_are_drawn_and_what_users_typed_is_shown_as_typed(tmp_path: Path) -> None:
    current = sample(600, 1, area=np.random.default_rng(1).normal(140, 20, 600), town=[*EVIL] * 100)
    reference = sample(600)
    verdict = judge.judge("homes", DAY, 3, reference, current, MONITORED, DriftPolicy())
    assert set(verdict.drifted) == {"area", "town"}
    file = tmp_path / "report.html"
    file.write_bytes(report.render(verdict, reference, current, MONITORED, DriftPolicy(), "Homes <b>&amp;</b>"))
    with running_browser() as browser, open_tab(browser, file.as_uri()) as tab:
        tab.page.wait_for_function(f"document.querySelectorAll('{CHARTS}').length >= 5")
        assert tab.page.title() == "Homes <b>&amp;</b>: drift 2026-03-09"
        rows = tab.page.locator("main.drift tbody tr")
        assert rows.count() == len(MONITORED)
        assert "drifted" in rows.first.inner_text()
        town = rows.filter(has_text="town").first.inner_text()
        assert sum(one in town for one in EVIL) >= 3
        labels = " ".join(tab.page.locator(f"{CHARTS} .xtick").all_text_contents())
        assert "</script><script>window.hacked=1" in labels
        assert tab.page.evaluate("window.hacked") is None
        assert tab.page.locator("a[href^='javascript:window']").count() == 0
        assert tab.asked == [file.as_uri()]
        assert tab.overflow() == 0
        tab.shoot("drift_report")
