"""Every query of the dashboard of traffic anomalies on the real tables: MLflow's, made by its own server, and ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mlflow import MlflowClient
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from mlops_assets.observability.grafana.tracking_queries import EXPERIMENT
from mlops_assets.settings import PROJECT
from mlops_assets.storage.database import Database
from tests.integration.dashboards.queries import Range, expanded
from tests.scored_months import DAY, HOUR, PRODUCT, month, put, record

GRAFANA = PROJECT / "deploy" / "grafana"
BOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "traffic_anomalies.json").read_text())
PANELS = {panel["title"]: panel["targets"][0]["rawSql"] for panel in BOARD["panels"] if panel["type"] != "row"}
SERIES = {p["title"] for p in BOARD["panels"] for t in p.get("targets", []) if t["format"] == "time_series"}
VARIABLES = {variable["name"]: variable["query"] for variable in BOARD["templating"]["list"]}

NOW = datetime(2026, 3, 20, 10, 30, tzinfo=UTC)
ALWAYS = Range(datetime(2011, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC))
CHOSEN = {"product": PRODUCT, "mode": "production"}
RATED = ["records", "anomalies", "anomaly rate"]
COLUMNS = {
    "Runs": ["runs", "failed", "last 24 h"],
    "Latest anomaly rate": ["time", "metric", "value"],
    "Run status": ["status", "runs"],
    "Anomaly rate of runs": ["time", "metric", "value"],
    "Recent runs": ["run", "kind", "status", "start", "duration", "anomaly rate", "data version", "gates"],
    "In all": ["months", *RATED],
    "Records and anomalies": ["time", "records", "anomalies"],
    "Anomaly rate by month": ["time", "after training", "in training"],
    "Scores by month": ["time", "highest", "mean", "lowest 1 %", "lowest"],
    "Production and compatibility": ["time", "metric", "value"],
    "Lowest scores": ["at (local time)", "score", "reasons"],
    "By weather": ["weather", *RATED],
    "By cause": ["cause", *RATED],
    "By weekday and hour": ["weekday", *(f"{hour:02}" for hour in range(24))],
    "Modes side by side": ["mode", "months", *RATED, "lowest", "mean", "highest"],
    "Scored by": ["scored by", "in training", "months", "first", "last", *RATED, "scored at"],
}
GROUPS = {
    "weather_condition": {"CLEAR": [900, 9], "SNOW": [60, 11], "FOG": [5, 0], "HAIL": [35, 0]},
    "prim_contributory_cause": {"WEATHER": [1000, 20]},
}


@pytest.fixture(scope="module")
def experiment(mlflow_url: str) -> Iterator[str]:
    """The experiment with four runs, one at work, and a deleted one that nobody should see; and another experiment.

    The server is shared: what other tests keep under that name has another one meanwhile.
    """
    client = MlflowClient(tracking_uri=mlflow_url, registry_uri=mlflow_url)
    before = client.get_experiment_by_name(EXPERIMENT)
    if before is not None:
        client.rename_experiment(before.experiment_id, f"{EXPERIMENT}_before")
    made = client.create_experiment(EXPERIMENT)
    other = client.create_experiment(f"{EXPERIMENT}_of_others")
    start = datetime.now(UTC) - timedelta(hours=3)
    logged(client, made, "first", start - timedelta(days=40), 0.08, "FINISHED", {"data_version": "V1"})
    logged(client, made, "second", start, 0.012, "FINISHED", {"kind": "training", "gates": "passed"})
    logged(client, made, "broken", start + timedelta(hours=1), None, "FAILED", {"kind": "training"})
    logged(client, made, "march", start + timedelta(hours=2), 0.11, None, {"kind": "scores"})
    logged(client, other, "elsewhere", start, 0.9, "FINISHED", {})
    client.delete_run(logged(client, made, "deleted", start, 0.7, "FINISHED", {}))
    yield made
    for one in (made, other):
        client.rename_experiment(one, f"{EXPERIMENT}_{one}")
        client.delete_experiment(one)
    if before is not None:
        client.rename_experiment(before.experiment_id, EXPERIMENT)


def logged(
    client: MlflowClient, experiment: str, name: str, start: datetime, rate: float | None, ended: str | None, tags: dict
) -> str:
    """A run that took a minute, or is at work still; its id."""
    began = int(start.timestamp() * 1000)
    run = client.create_run(experiment, start_time=began, tags=tags, run_name=name).info.run_id
    if rate is not None:
        client.log_metric(run, "anomaly_rate", rate / 2, timestamp=began)
        client.log_metric(run, "anomaly_rate", rate, timestamp=began + 1)
        client.log_metric(run, "records", 5.0)
        client.log_param(run, "data_version", 3)
    if ended is not None:
        client.set_terminated(run, ended, end_time=began + 60_000)
    return str(run)


@pytest.fixture
def scored(database: Database) -> Database:
    """Three months of production, one in training and one without records; and one month of all else."""
    months = [
        month("2026-01", 1000, 10, in_training=True, groups=GROUPS),
        month("2026-02", 0, 0, release=2),
        month("2026-03", 3000, 60, release=2, groups=GROUPS),
        month("2026-03", 3000, 3, mode="compatibility", release=None, in_training=True),
        month("2026-03", 500, 400, product="o'hare"),
    ]
    lowest = [record(months[0], 1, -0.03), record(months[2], 1, -0.05), record(months[2], 2, 0.02)]
    put(database, *months, *lowest, *(record(scored, 1, -0.9) for scored in months[3:]))
    return database


@pytest.fixture
def reader(scored: Database, experiment: str) -> Iterator[Connection]:
    """A connection with the rights of Grafana's login and no more."""
    with scored.engine.begin() as owner:
        owner.exec_driver_sql((GRAFANA / "reader.sql").read_text())
        owner.exec_driver_sql((GRAFANA / "reader.sql").read_text())
    with scored.engine.connect() as connection:
        connection.exec_driver_sql("SET ROLE grafana")
        yield connection
        connection.rollback()
        connection.exec_driver_sql("RESET ROLE")


def asked(
    connection: Connection, title: str, chosen: Range = ALWAYS, **variables: str
) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of a panel."""
    sent = expanded(PANELS[title], CHOSEN | variables, chosen)
    answer = connection.exec_driver_sql(sent.replace("%", "%%"))
    return list(answer.keys()), [dict(row) for row in answer.mappings()]


def only(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    (row,) = rows
    return row


def test_every_panel_is_here() -> None:
    assert set(COLUMNS) == set(PANELS)


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_gives_its_columns_and_rows(reader: Connection, title: str) -> None:
    columns, rows = asked(reader, title)
    assert columns == COLUMNS[title]
    assert rows
    if title in SERIES:
        assert all(isinstance(row["time"], datetime) for row in rows)
        assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_without_anything_to_show_is_no_error(reader_of_nothing: Connection, title: str) -> None:
    columns, rows = asked(reader_of_nothing, title, product="", mode="")
    assert columns == COLUMNS[title]
    assert all(not value for row in rows for value in row.values())


@pytest.fixture
def reader_of_nothing(database: Database, mlflow_url: str) -> Iterator[Connection]:
    """MLflow's tables and ours, with not a row that the dashboard looks for."""
    with database.engine.connect() as connection:
        connection.execute(
            text("UPDATE mlflow.experiments SET name = name || ' of before' WHERE name = :name"), {"name": EXPERIMENT}
        )
        yield connection
        connection.rollback()


def test_variables_list_products_and_production_first(reader: Connection) -> None:
    products = reader.exec_driver_sql(expanded(VARIABLES["product"], {}, ALWAYS)).scalars()
    assert list(products) == ["o'hare", PRODUCT]
    modes = expanded(VARIABLES["mode"], {"product": PRODUCT}, ALWAYS)
    assert list(reader.exec_driver_sql(modes).scalars()) == ["production", "compatibility"]
    assert list(reader.exec_driver_sql(expanded(VARIABLES["mode"], {"product": ""}, ALWAYS)).scalars()) == []


def test_a_name_with_a_quote_stays_a_name(reader: Connection) -> None:
    assert only(asked(reader, "In all", product="o'hare")[1])["records"] == 500
    assert only(asked(reader, "In all", product="x' OR 'a' = 'a")[1])["records"] == 0


def test_grafanas_login_reads_nothing_else(reader: Connection) -> None:
    for statement in (
        "SELECT * FROM mlops.release",
        "SELECT * FROM mlflow.experiment_tags",
        "DELETE FROM mlops.scored_month",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            reader.exec_driver_sql(statement)
        reader.rollback()
        reader.exec_driver_sql("SET ROLE grafana")


def test_runs_are_those_of_the_experiment(reader: Connection) -> None:
    assert only(asked(reader, "Runs")[1]) == {"runs": 4, "failed": 1, "last 24 h": 3}
    statuses = {row["status"]: row["runs"] for row in asked(reader, "Run status")[1]}
    assert statuses == {"FINISHED": 2, "FAILED": 1, "RUNNING": 1}
    runs = {row["run"]: row for row in asked(reader, "Recent runs")[1]}
    assert list(runs) == ["march", "broken", "second", "first"]
    assert float(runs["second"]["duration"]) == 60
    assert 3500 < float(runs["march"]["duration"]) < 3 * 3600
    assert (runs["first"]["kind"], runs["first"]["data version"], runs["first"]["gates"]) == ("run", "V1", None)
    assert (runs["march"]["data version"], runs["broken"]["data version"]) == ("V3", None)
    assert [runs["second"][name] for name in ("kind", "gates", "anomaly rate")] == ["training", "passed", 0.012]
    assert runs["broken"]["anomaly rate"] is None


def test_the_latest_rate_is_each_kinds_own(reader: Connection) -> None:
    latest = {row["metric"]: row["value"] for row in asked(reader, "Latest anomaly rate")[1]}
    assert latest == {"run": 0.08, "training": 0.012, "scores": 0.11}
    newest = Range(datetime.now(UTC) - timedelta(days=1), datetime.now(UTC))
    over_time = asked(reader, "Anomaly rate of runs", newest)[1]
    assert [row["metric"] for row in over_time] == ["training", "scores"]


def test_months_in_training_are_told_apart(reader: Connection) -> None:
    rows = asked(reader, "Anomaly rate by month")[1]
    assert [(row["after training"], row["in training"]) for row in rows] == [(None, 0.01), (None, None), (0.02, None)]
    assert rows[0]["time"] == datetime(2026, 1, 1)
    told = asked(reader, "Scored by")[1]
    assert [(r["scored by"], r["in training"], r["months"], r["first"], r["last"]) for r in told] == [
        ("release 2", "no", 2, "2026-02", "2026-03"),
        ("release 1", "yes", 1, "2026-01", "2026-01"),
    ]
    assert only(asked(reader, "Scored by", mode="compatibility")[1])["scored by"] == "fitted to all rows"


def test_a_month_that_the_range_touches_counts(reader: Connection) -> None:
    touching = Range(datetime(2026, 1, 31, 23, tzinfo=UTC), datetime(2026, 2, 28, 23, tzinfo=UTC))
    assert only(asked(reader, "In all", touching)[1])["months"] == 2
    later = Range(datetime(2026, 2, 1, 0, 0, 1, tzinfo=UTC), NOW)
    assert [row["time"].month for row in asked(reader, "Records and anomalies", later)[1]] == [2, 3]


def test_the_lowest_scores_come_with_their_reasons(reader: Connection) -> None:
    rows = asked(reader, "Lowest scores")[1]
    assert [row["score"] for row in rows] == [-0.05, -0.03, 0.02]
    assert rows[0] == {
        "at (local time)": f"2026-03-02 {HOUR}:00",
        "score": -0.05,
        "reasons": "9 vehicles, usually 2; snow",
    }
    before = Range(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 2, 22, 59, tzinfo=UTC))
    assert [row["score"] for row in asked(reader, "Lowest scores", before)[1]] == [-0.03]


def test_at_most_twenty_are_shown(reader: Connection, scored: Database) -> None:
    april = month("2026-04")
    put(scored, april, *(record(april, place, -0.5 + place / 100, datetime(2026, 4, place)) for place in range(1, 26)))
    shown = asked(reader, "Lowest scores")[1]
    assert len(shown) == 20
    assert shown[-1]["score"] == pytest.approx(-0.3)


def test_values_of_few_records_are_counted_together(reader: Connection) -> None:
    # The groups of two months: 35 + 35 records of HAIL are enough, 5 + 5 of FOG aren't.
    rows = {row["weather"]: (row["records"], row["anomalies"]) for row in asked(reader, "By weather")[1]}
    assert rows == {"SNOW": (120, 22), "CLEAR": (1800, 18), "HAIL": (70, 0), "(fewer than 50 each)": (10, 0)}
    assert next(iter(rows)) == "SNOW"
    january = Range(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
    fewer = {row["weather"]: row["records"] for row in asked(reader, "By weather", january)[1]}
    assert fewer == {"SNOW": 60, "CLEAR": 900, "(fewer than 50 each)": 40}
    assert only(asked(reader, "By cause")[1])["anomaly rate"] == pytest.approx(0.02)


def test_the_week_is_shown_in_local_hours(reader: Connection) -> None:
    rows = asked(reader, "By weekday and hour")[1]
    assert [row["weekday"] for row in rows][:: len(rows) - 1] == ["Monday", "Sunday"]
    assert rows[DAY]["weekday"] == "Saturday"
    assert rows[DAY][f"{HOUR}"] == pytest.approx(70 / 4000)
    assert {value for row in rows for name, value in row.items() if name != "weekday"} == {70 / 4000, None}


def test_compatibility_stands_beside_production(reader: Connection) -> None:
    rows = asked(reader, "Production and compatibility")[1]
    march = {row["metric"]: row["value"] for row in rows if row["time"].month == 3}
    assert march == {"production": 0.02, "compatibility": 0.001}
    production, compatibility = asked(reader, "Modes side by side")[1]
    assert (production["mode"], production["months"], production["records"]) == ("production", 3, 4000)
    assert production["mean"] == pytest.approx(0.11)
    assert (compatibility["anomalies"], compatibility["lowest"], compatibility["highest"]) == (3, -0.05, 0.16)
