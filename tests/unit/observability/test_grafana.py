"""The Grafana dashboards: made from the code as committed, whole in the SDK's eyes, and laid out without overlap."""

from __future__ import annotations

import copy
import json
import os
import re
from itertools import combinations
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from mlops_assets.observability.grafana import score_queries, traffic_anomalies
from mlops_assets.settings import PROJECT
from mlops_assets.training.catalogue import declared_products

GRAFANA = PROJECT / "deploy" / "grafana"
COMMITTED = GRAFANA / "dashboards" / "traffic_anomalies.json"
VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(?!__)(\w+)|\[\[")
FROM_ENVIRONMENT = re.compile(r"\$\{MLOPS_GRAFANA_[A-Z]+\}")


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(COMMITTED.read_text())
    return found


@pytest.fixture(scope="module")
def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Every panel but the rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries(board: dict[str, Any]) -> list[str]:
    """Every query of the dashboard: the variables' and the panels'."""
    asked = [variable["query"] for variable in board["templating"]["list"]]
    return asked + [target["rawSql"] for panel in board["panels"] for target in panel.get("targets", [])]


def lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """Paths of what is given and not kept; a null says nothing."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [one for name, value in given.items() for one in lost(value, kept.get(name), f"{path}.{name}")]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [one for index, value in enumerate(given) for one in lost(value, kept[index], f"{path}.{index}")]
    return [] if given is None or given == kept else [path]


def test_the_committed_dashboard_is_up_to_date() -> None:
    made = traffic_anomalies.text()
    if os.environ.get("UPDATE_GRAFANA"):
        COMMITTED.write_text(made)
    assert made == COMMITTED.read_text(), "read the difference, then set UPDATE_GRAFANA=1 once"


def test_the_sdk_knows_everything_on_it(board: dict[str, Any]) -> None:
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert lost(board, again) == []


def test_what_the_sdk_does_not_know_is_found(board: dict[str, Any]) -> None:
    register_default_plugins()
    board = copy.deepcopy(board)
    table = next(panel for panel in board["panels"] if panel["type"] == "table")
    table["options"]["colour"] = "red"
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert [path.rsplit(".", 1)[-1] for path in lost(board, again)] == ["colour"]


def test_no_two_panels_overlap_and_lines_are_full(board: dict[str, Any]) -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
    for (title, a), (other, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below, f"{title} lies on {other}"
    lines: dict[int, list[tuple[int, int]]] = {}
    for _, place in places:
        assert place["x"] + place["w"] <= 24
        lines.setdefault(place["y"], []).append((place["w"], place["h"]))
    assert all(sum(width for width, _ in line) == 24 and len({h for _, h in line}) == 1 for line in lines.values())


def test_every_panel_can_be_read_by_somebody_new(board: dict[str, Any], panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
    for names in ([panel["title"] for panel in board["panels"]], [panel["id"] for panel in board["panels"]]):
        assert len(set(names)) == len(names)


def test_variables_reach_sql_as_quoted_text_only(board: dict[str, Any]) -> None:
    known = {variable["name"] for variable in board["templating"]["list"]}
    used = set()
    for sql in queries(board):
        for found in VARIABLE.finditer(sql):
            assert found[2] == "sqlstring", f"{found[0]} isn't quoted in {sql}"
            used.add(found[1])
    assert used == known == {"product", "mode"}


def test_overrides_name_columns_that_the_query_gives(panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        (target,) = panel["targets"]
        for override in panel["fieldConfig"]["overrides"]:
            if override["matcher"]["id"] == "byName":
                assert re.search(rf"\b{re.escape(override['matcher']['options'])}", target["rawSql"]), panel["title"]


def test_the_panel_with_days_of_its_own_needs_a_relative_range(board: dict[str, Any]) -> None:
    assert [panel["title"] for panel in board["panels"] if panel.get("timeFrom")] == ["Anomaly rate of runs"]
    assert board["time"]["from"].startswith("now-")


@pytest.mark.parametrize(("column", "word"), [("a'b", "cause"), ("weather", 'x" FROM y --'), ("", "cause")])
def test_a_group_is_a_plain_name(column: str, word: str) -> None:
    with pytest.raises(ValueError, match="no name of a column"):
        score_queries.by_group(column, word)


def test_provisioning_names_the_same_source_and_holds_no_secret(board: dict[str, Any]) -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "mlops.yaml").read_text())["datasources"]
    asked = [*board["panels"], *board["templating"]["list"]]
    assert {(one["datasource"]["type"], one["datasource"]["uid"]) for one in asked if "datasource" in one} == {
        (source["type"], source["uid"])
    }
    told = [source["url"], source["user"], source["jsonData"]["database"], source["jsonData"]["sslmode"]]
    assert all(FROM_ENVIRONMENT.fullmatch(value) for value in [*told, *source["secureJsonData"].values()])
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "mlops.yaml").read_text())["providers"]
    assert FROM_ENVIRONMENT.fullmatch(provider["options"]["path"])
    explained = (GRAFANA / "README.md").read_text()
    wanted = {value.strip("${}") for value in [*told, *source["secureJsonData"].values(), provider["options"]["path"]]}
    assert all(f"`{name}`" in explained for name in wanted)


def test_the_panels_divide_by_the_columns_that_the_product_declares() -> None:
    product = next(one for one in declared_products() if one.name == "traffic_anomalies")
    assert product.detector is not None
    assert product.detector.groups == traffic_anomalies.GROUPS
