"""Every query of every dashboard on real data: each returns some, none errors, and quiet products make no noise.

Panels over MLflow's tables and scored months are in `test_traffic_anomalies`.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from mlops_assets.observability.grafana import promql
from mlops_assets.settings import PROJECT
from tests.integration.dashboards.queries import Range, expanded
from tests.integration.dashboards.world import QUIET, READER, World
from tests.servers import wait_until
from tests.unit.inference.tiny_release import PRODUCT

# Collectors look every 15 s, some every 30 s; alerts fire after 15 s.
SECONDS = 50.0
NAMES = ("orchestration", "serving", "rollout", "drift", "pipelines", "machine")
BOARDS: dict[str, dict[str, Any]] = {
    name: json.loads((PROJECT / "deploy" / "grafana" / "dashboards" / f"{name}.json").read_text()) for name in NAMES
}
CHOICE = re.compile(r"\$(\w+)")
FIELD = re.compile(r"label_values\((.+), (\w+)\)")


class Query(NamedTuple):
    """One query of a panel."""

    board: str
    panel: str
    target: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.board}-{self.panel}-{self.target['refId']}"


QUERIES = [
    Query(name, panel["title"], target)
    for name, board in BOARDS.items() for panel in board["panels"] for target in panel.get("targets", ())
]  # fmt: skip
MEASURED = [query for query in QUERIES if "expr" in query.target]
ROWS = [query for query in QUERIES if "rawSql" in query.target]


def choices(world: World, board: str) -> dict[str, str]:
    """What a dashboard's variables stand for while All is chosen, as Grafana puts it in."""
    found = {"__rate_interval": "10s", "__range": "10m"}
    for variable in BOARDS[board]["templating"]["list"]:
        if variable["type"] == "query":
            asked = FIELD.fullmatch(variable["query"]["query"])
            assert asked is not None
            offered = world.values(asked[2], asked[1])
            assert offered, f"{variable['name']} of {board} offers nothing"
            found[variable["name"]] = variable.get("allValue") or f"({'|'.join(map(re.escape, offered))})"
    return found


def numbers(world: World, query: Query, chosen: dict[str, str]) -> list[float]:
    """Every number that a query gives, over the whole time if it is asked like that."""
    names = chosen | {"__name__": "__name__"}
    expression = CHOICE.sub(lambda found: names[found[1]], query.target["expr"])
    if query.target.get("instant"):
        data = world.ask("query", query=expression)
        return [float(one["value"][1]) for one in data["result"]]
    times = {"start": f"{world.began:.0f}", "end": f"{time.time():.0f}", "step": "2"}
    data = world.ask("query_range", query=expression, **times)
    return [float(value) for one in data["result"] for _, value in one["values"]]


@pytest.mark.parametrize("query", MEASURED, ids=str)
def test_a_query_of_prometheus_returns_data(world: World, query: Query) -> None:
    told: list[float] = []

    def there() -> bool:
        told[:] = numbers(world, query, choices(world, query.board))
        return any(math.isfinite(number) for number in told)

    left = max(1.0, world.began + SECONDS - time.time())
    wait_until(there, left, lambda: f"no data: {told}: {query.target['expr']}")


@pytest.mark.parametrize("query", [query for query in MEASURED if "$product" in query.target["expr"]], ids=str)
def test_a_product_without_traffic_makes_no_noise(world: World, query: Query) -> None:
    told = numbers(world, query, choices(world, query.board) | {"product": QUIET})
    assert all(math.isfinite(number) for number in told)


def test_what_services_gateway_and_prometheus_export_is_there(world: World) -> None:
    missing = {name for name in promql.OTHERS if not world.ask("query", query=f'{{__name__="{name}"}}')["result"]}
    assert missing == set()


def test_labels_that_conditions_name_are_those_of_series(world: World) -> None:
    # Prometheus would rename a label that is also one of its own for the target.
    for name, label, value in (
        ("mlops_runs_finished_total", "job", f"{PRODUCT}_train"),
        ("mlops_job_last_run_failed", "job", f"{PRODUCT}_train"),
        ("mlops_program_up", "program", "sleeper"),
    ):
        assert value in {one["metric"][label] for one in world.ask("query", query=name)["result"]}


@pytest.fixture(scope="module")
def reader(world: World) -> Iterator[Connection]:
    """A connection with the rights of Grafana's login and no more."""
    with world.database.engine.begin() as owner:
        owner.exec_driver_sql(READER.read_text())
    with world.database.engine.connect() as connection:
        connection.exec_driver_sql("SET ROLE grafana")
        yield connection
        connection.rollback()
        connection.exec_driver_sql("RESET ROLE")


def rows(connection: Connection, sql: str, **several: tuple[str, ...]) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    sent = expanded(sql, {}, Range(now - timedelta(days=30), now + timedelta(minutes=1)), several)
    return [dict(row) for row in connection.exec_driver_sql(sent.replace("%", "%%")).mappings()]


@pytest.mark.parametrize("query", ROWS, ids=str)
def test_a_query_of_the_database_returns_rows(world: World, reader: Connection, query: Query) -> None:
    found = rows(reader, query.target["rawSql"], product=(PRODUCT, "o'hare"))
    assert found
    if query.target["format"] == "time_series":
        assert [row["time"] for row in found] == sorted(row["time"] for row in found)


@pytest.mark.parametrize("query", [query for query in ROWS if "${product" in query.target["rawSql"]], ids=str)
@pytest.mark.parametrize("product", [(), ("nobody's",)])
def test_no_product_gives_no_rows(world: World, reader: Connection, query: Query, product: tuple[str, ...]) -> None:
    assert rows(reader, query.target["rawSql"], product=product) == []


@pytest.mark.parametrize("statement", ["SELECT details FROM mlops.ledger", "SELECT * FROM mlops.api_token"])
def test_grafanas_login_reads_nothing_else(world: World, reader: Connection, statement: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), reader.begin_nested():
        reader.exec_driver_sql(statement)
