"""Every Grafana dashboard: made from the code as committed, whole in the SDK's eyes, laid out without overlap, and
asking for nothing that isn't exported, chosen or granted.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from inference.metrics import Metrics
from mlops_assets.api.pages import PAGES
from mlops_assets.observability.exporter.metrics import METRICS
from mlops_assets.observability.grafana import board as boards
from mlops_assets.observability.grafana import promql
from mlops_assets.observability.grafana.boards import BOARDS
from mlops_assets.observability.grafana.measured import above, rows, told
from mlops_assets.settings import PROJECT

DEPLOY = PROJECT / "deploy"
GRAFANA = DEPLOY / "grafana"
RULES = DEPLOY / "prometheus" / "rules"
VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(?!__)(\w+)|\[\[")
FROM_ENVIRONMENT = re.compile(r"\$\{MLOPS_GRAFANA_[A-Z]+\}")
RUNBOOK = re.compile(r" Runbook \(deploy/ALERTS\.md\): ([A-Za-z, ]+)\.$")
Board = dict[str, Any]


def committed(name: str) -> Board:
    found: Board = json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text())
    return found


@pytest.fixture(params=list(BOARDS))
def board(request: pytest.FixtureRequest) -> Board:
    return committed(request.param)


def panels(board: Board) -> list[dict[str, Any]]:
    """Every panel but the rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def texts(part: Any) -> list[str]:
    """Every text in a part of a dashboard."""
    if isinstance(part, dict | list):
        return [text for one in (part.values() if isinstance(part, dict) else part) for text in texts(one)]
    return [part] if isinstance(part, str) else []


def rules(kind: str) -> set[str]:
    """Names of all alerts, or of all records."""
    groups = [group for path in RULES.glob("*.yml") for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule[kind] for group in groups for rule in group["rules"] if kind in rule}


def lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """Paths of what is given and not kept; a null says nothing."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [one for name, value in given.items() for one in lost(value, kept.get(name), f"{path}.{name}")]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [one for index, value in enumerate(given) for one in lost(value, kept[index], f"{path}.{index}")]
    return [] if given is None or given == kept else [path]


@pytest.mark.parametrize("name", BOARDS)
def test_the_committed_dashboard_is_up_to_date(name: str) -> None:
    made, path = boards.text(BOARDS[name]()), GRAFANA / "dashboards" / f"{name}.json"
    if os.environ.get("UPDATE_GRAFANA"):
        path.write_text(made)
    assert path.exists(), "set UPDATE_GRAFANA=1 once"
    assert made == path.read_text(), "read the difference, then set UPDATE_GRAFANA=1 once"


def test_nothing_else_lies_in_the_folder_and_no_two_have_one_address() -> None:
    assert {path.stem for path in (GRAFANA / "dashboards").iterdir()} == set(BOARDS)
    for part in ("uid", "title"):
        assert len({committed(name)[part] for name in BOARDS}) == len(BOARDS)


def test_the_sdk_knows_everything_on_it(board: Board) -> None:
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert lost(board, again) == []


def test_what_the_sdk_does_not_know_is_found() -> None:
    register_default_plugins()
    board = copy.deepcopy(committed("traffic_anomalies"))
    table = next(panel for panel in board["panels"] if panel["type"] == "table")
    table["options"]["colour"] = "red"
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert [path.rsplit(".", 1)[-1] for path in lost(board, again)] == ["colour"]


def test_no_two_panels_overlap_and_lines_are_full(board: Board) -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
    for (title, a), (other, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below, f"{title} lies on {other}"
    lines: dict[int, list[tuple[int, int]]] = {}
    for _, place in places:
        assert place["x"] + place["w"] <= 24
        lines.setdefault(place["y"], []).append((place["w"], place["h"]))
    for y, line in lines.items():
        assert sum(width for width, _ in line) == 24, f"line {y} isn't full"
        assert len({height for _, height in line}) == 1, f"line {y} is ragged"


def test_every_panel_can_be_read_by_somebody_new(board: Board) -> None:
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
    for part in ("title", "id"):
        assert [name for name, number in Counter(panel[part] for panel in board["panels"]).items() if number > 1] == []


def test_panels_say_what_it_means_that_there_is_nothing(board: Board) -> None:
    for panel in panels(board):
        if panel["datasource"]["type"] == "prometheus" and panel["type"] != "timeseries":
            assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


def test_the_first_lines_are_red_or_green(board: Board) -> None:
    if board["uid"] == "mlops-traffic-anomalies":
        return
    first = [panel for panel in panels(board) if panel["gridPos"]["y"] == 1]
    assert {panel["type"] for panel in first} == {"stat"}
    assert first[0]["title"] == "Alerts"


def test_every_variable_is_used_and_every_used_one_is_there(board: Board) -> None:
    known = {variable["name"] for variable in board["templating"]["list"]}
    said = [*texts(board["panels"]), *texts(board.get("links"))]
    said += [text for one in board["templating"]["list"] for text in texts(one.get("query"))]
    used = {found[1] or found[3] for text in said for found in VARIABLE.finditer(text)}
    assert used == known


def test_variables_reach_sql_as_quoted_text_only(board: Board) -> None:
    asked = [target["rawSql"] for panel in panels(board) for target in panel["targets"] if "rawSql" in target]
    listed = {one["name"] for one in board["templating"]["list"] if not one.get("allValue")}
    for sql in asked:
        for found in VARIABLE.finditer(sql):
            assert found[2] == "sqlstring", f"{found[0]} isn't quoted in {sql}"
            # All of them as `.*` would be no name in SQL.
            assert found[1] in listed


def test_overrides_name_columns_that_are_there(board: Board) -> None:
    for panel in panels(board):
        renamed = [
            one for made in panel.get("transformations", ()) for one in made["options"].get("renameByName", {}).values()
        ]
        given = " ".join([*renamed, *(target.get("rawSql", "") for target in panel["targets"])])
        for override in panel["fieldConfig"]["overrides"]:
            if override["matcher"]["id"] == "byName":
                assert re.search(rf"\b{re.escape(override['matcher']['options'])}", given), panel["title"]


def test_every_alert_is_explained_by_a_panel_and_no_other_is_named() -> None:
    found = [RUNBOOK.search(panel["description"]) for name in BOARDS for panel in panels(committed(name))]
    named = {alert for one in found if one for alert in one[1].split(", ")}
    counted = json.dumps([committed(name) for name in BOARDS])
    assert named == rules("alert") - {"Watchdog"}
    for listed in re.findall(r'alertname=~\\+"([^"\\]+)', counted):
        assert set(listed.split("|")) <= named


def test_every_metric_of_ours_is_on_some_dashboard() -> None:
    asked = " ".join(
        target["expr"] for name in BOARDS for panel in panels(committed(name)) for target in panel["targets"]
        if "expr" in target
    )  # fmt: skip
    assert set(METRICS) - set(re.sub(r"_(bucket|sum|count)$", "", word) for word in re.findall(r"\w+", asked)) == set()


def test_links_lead_to_pages_that_the_console_has() -> None:
    pages = {page.path for page in PAGES}
    linked = {link["url"].removeprefix("${console:raw}") for name in BOARDS for link in committed(name).get("links", ())
              if link["type"] == "link"}  # fmt: skip
    assert linked
    assert linked <= pages


def test_series_of_others_are_exported_or_recorded(tmp_path: Path) -> None:
    served: Any = SimpleNamespace(label="production")
    journal: Any = SimpleNamespace(state=lambda: SimpleNamespace(backlog_bytes=0, buffered_lines=0, lost_lines=0))
    text = Metrics("homes", served, tmp_path, journal).exposition().decode()
    of_services = set(re.findall(r"^# TYPE ([a-z_]+)", text, re.MULTILINE))
    elsewhere = re.compile(r"up|scrape_\w+|ALERTS|(prometheus|alertmanager|envoy)_\w+|product:\w+_objective:share")
    unknown = {name for name in promql.OTHERS if ":" in name} - rules("record")
    unknown |= {
        name
        for name in promql.OTHERS
        if ":" not in name and re.sub(r"_(bucket|sum|count)$", "", name) not in of_services
    }
    # The rest a real Prometheus, Envoy and Alertmanager are asked for by tests/integration/dashboards.
    assert {name for name in unknown if not elsewhere.fullmatch(name)} == set()


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("mlops_run", ()),
        ("mlops_run_duration_seconds", ()),
        ("mlops_runs", ('outcome="x"',)),
        ("mlops_runs", ('kind="x" or up',)),
        ("mlops_runs", ("kind=x",)),
        ("mlops_run_wait_seconds_sum", ('le="1"',)),
    ],
)
def test_a_typo_in_a_name_or_condition_raises(name: str, where: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(where[0] if where else name)):
        promql.of(name, *where)


def test_a_look_for_a_column_that_is_not_there_raises() -> None:
    with pytest.raises(ValueError, match="there is no column dead"):
        rows(told("Targets", "All.", "up", 8, legend="up"), (), {"dead": ("none", above(1, 2))}, none="none")


def test_provisioning_names_the_sources_and_holds_no_secret() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "mlops.yaml").read_text())["datasources"]
    asked = [one for name in BOARDS for one in (*committed(name)["panels"], *committed(name)["templating"]["list"])]
    asked += [target for one in asked for target in one.get("targets", ())]
    used = {(one["datasource"]["type"], one["datasource"]["uid"]) for one in asked if "datasource" in one}
    assert used == {(source["type"], source["uid"]) for source in sources}
    database, prometheus = sources
    told_to = [database["user"], database["jsonData"]["database"], database["jsonData"]["sslmode"]]
    told_to += [database["url"], prometheus["url"], *database["secureJsonData"].values()]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "mlops.yaml").read_text())["providers"]
    told_to.append(provider["options"]["path"])
    assert all(FROM_ENVIRONMENT.fullmatch(value) for value in told_to)
    explained = (GRAFANA / "README.md").read_text()
    assert all(f"`{value.strip('${}')}`" in explained for value in told_to)
    assert all(f"`dashboards/{name}.json`" in explained for name in BOARDS)


def test_prometheus_reads_as_often_as_grafana_is_told() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "mlops.yaml").read_text())["datasources"]
    reads = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert sources[1]["jsonData"]["timeInterval"] == reads
