"""What is special about the dashboard of traffic anomalies."""

from __future__ import annotations

import json

import pytest

from mlops_assets.observability.grafana import score_queries, traffic_anomalies
from mlops_assets.settings import PROJECT
from mlops_assets.training.catalogue import declared_products

COMMITTED = PROJECT / "deploy" / "grafana" / "dashboards" / "traffic_anomalies.json"


def test_the_panel_with_days_of_its_own_needs_a_relative_range() -> None:
    board = json.loads(COMMITTED.read_text())
    assert [panel["title"] for panel in board["panels"] if panel.get("timeFrom")] == ["Anomaly rate of runs"]
    assert board["time"]["from"].startswith("now-")


@pytest.mark.parametrize(("column", "word"), [("a'b", "cause"), ("weather", 'x" FROM y --'), ("", "cause")])
def test_a_group_is_a_plain_name(column: str, word: str) -> None:
    with pytest.raises(ValueError, match="no name of a column"):
        score_queries.by_group(column, word)


def test_the_panels_divide_by_the_columns_that_the_product_declares() -> None:
    product = next(one for one in declared_products() if one.name == "traffic_anomalies")
    assert product.detector is not None
    assert product.detector.groups == traffic_anomalies.GROUPS
