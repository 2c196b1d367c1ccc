"""Scores over HTTP and on the console, on real tables and files: months, records, downloads and the stored page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import typer
from playwright.sync_api import ViewportSize, expect
from rich.console import Console
from typer.testing import CliRunner

from mlops_assets.anomaly_report import interactive
from mlops_assets.api.app import create_app
from mlops_assets.batch import files
from mlops_assets.cli import app as command_line
from mlops_assets.cli.scores import show_month, show_months
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.integration.browser import DESKTOP, PHONE, open_tab, running_browser, sign_in
from tests.integration.drift_pages import REPORT
from tests.integration.serving_thread import served
from tests.scored_months import HOUR, PRODUCT, month, put, record

TOKEN = "operators-token-of-a-test"
HERE = f"/api/v1/scores/{PRODUCT}"
SHARES = (-0.05, -0.01, 0.1)


@dataclass(frozen=True)
class Scored:
    """The API at `url`, and what it reads."""

    url: str
    database: Database
    storage: Storage

    def client(self) -> httpx.Client:
        """A client with the operators' token."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)


def crashes(first: str, count: int) -> pd.DataFrame:
    """Records of a month, with values that CSV must quote."""
    return pd.DataFrame(
        {
            "crash_date": pd.date_range(f"{first}-01 13:00", periods=count, freq="h"),
            "damage": ['OVER $1,500 "TOTAL"', "=1+1", "A\nB"][:count] + ["NONE"] * max(count - 3, 0),
            "num_units": np.arange(count, dtype=float),
        }
    )


def written(storage: Storage, folders: tuple[str, ...], rows: pd.DataFrame) -> dict[str, str]:
    """Keep scored records as the batch does; file and hash for a month's row."""
    score = np.resize(SHARES, len(rows))
    file, sha256 = files.write(storage, PRODUCT, folders, "release-2", files.table_of(rows, score))
    return {"file": file, "file_sha256": sha256}


@pytest.fixture
def api(database: Database, tmp_path: Path) -> Iterator[Scored]:
    """Three months of production, two of compatibility in one file, one month of another product, and the page."""
    settings = Settings(home=tmp_path)
    storage = Storage(settings.storage)
    both = pd.concat([crashes("2026-02", 4), crashes("2026-03", 5)], ignore_index=True)
    shared = written(storage, ("compatibility",), both)
    groups = {"weather_condition": {"SNOW": [5, 2]}}
    months = [
        month("2026-01", 0, 0, in_training=True, **written(storage, ("production", "2026-01"), crashes("2026-01", 0))),
        month("2026-02", 4, 2, in_training=True, **written(storage, ("production", "2026-02"), crashes("2026-02", 4))),
        month("2026-03", 5, 3, release=2, groups=groups, run_id="run-7",
              **written(storage, ("production", "2026-03"), crashes("2026-03", 5))),
        month("2026-02", 4, 2, mode="compatibility", release=None, in_training=True, **shared),
        month("2026-03", 5, 3, mode="compatibility", release=None, in_training=True, **shared),
        month("2026-03", 100, 50, product="other", mode="compatibility", release=None),
    ]  # fmt: skip
    put(database, *months, record(months[2], 1, -0.05), record(months[2], 2, -0.01), record(months[1], 1, -0.2))
    storage.at(PRODUCT, "scores", "overview").write_bytes("scores.html", REPORT)
    with served(create_app(settings, database, token=TOKEN, subjects=[])) as url:
        yield Scored(url, database, storage)


@pytest.fixture
def client(api: Scored) -> Iterator[httpx.Client]:
    with api.client() as found:
        yield found


def problem(answer: httpx.Response, status: int) -> str:
    """The detail of the problem that an answer is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_the_list_has_each_products_newest_month(client: httpx.Client) -> None:
    other, traffic = client.get("/api/v1/scores").json()["products"]
    assert (traffic["product"], traffic["mode"], traffic["months"]) == (PRODUCT, "production", 3)
    newest = traffic["newest"]
    assert (newest["month"], newest["records"], newest["anomalies"], newest["rate"]) == ("2026-03", 5, 3, 0.6)
    assert (newest["release"], newest["in_training"]) == (2, False)
    assert newest["run_url"].endswith("/runs/run-7")
    assert client.get("/" + traffic["report"]).content == REPORT
    assert (other["product"], other["mode"], other["newest"]["release"]) == ("other", "compatibility", None)


def test_months_come_oldest_first_by_mode(client: httpx.Client) -> None:
    found = client.get(HERE).json()
    assert [(one["month"], one["rate"]) for one in found["months"]] == [
        ("2026-01", None), ("2026-02", 0.5), ("2026-03", 0.6),
    ]  # fmt: skip
    assert [one["in_training"] for one in found["months"]] == [True, True, False]
    assert found["months"][0]["min_score"] is None
    compatible = client.get(HERE, params={"mode": "compatibility"}).json()
    assert (compatible["mode"], len(compatible["months"])) == ("compatibility", 2)
    assert client.get("/api/v1/scores/other").json()["months"] == []


def test_a_month_tells_why_its_lowest_scores_are_low(client: httpx.Client) -> None:
    found = client.get(f"{HERE}/2026-03").json()
    assert [(one["place"], one["score"]) for one in found["lowest"]] == [(1, -0.05), (2, -0.01)]
    first = found["lowest"][0]
    assert (first["at"], first["reasons"]) == (f"2026-03-02T{HOUR}:00:00", ["9 vehicles, usually 2", "snow"])
    assert first["record"] == {"weather_condition": "SNOW", "num_units": 9}
    assert found["groups"] == {"weather_condition": {"SNOW": [5, 2]}}
    assert sum(map(sum, found["hours"]["anomalies"])) == 3
    assert client.get(f"{HERE}/2026-03", params={"mode": "compatibility"}).json()["lowest"] == []


def test_figures_are_sent_again_only_once_they_changed(client: httpx.Client, api: Scored) -> None:
    for path in ("/api/v1/scores", HERE, f"{HERE}/2026-03"):
        first = client.get(path)
        same = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
    put(api.database, month("2026-04"))
    assert client.get(HERE, headers={"If-None-Match": client.get(f"{HERE}/2026-03").headers["etag"]}).status_code == 200


def test_all_records_of_a_month_come_as_csv(client: httpx.Client) -> None:
    path = client.get(f"{HERE}/2026-03").json()["records_csv"]
    answer = client.get(f"/{path}")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="{PRODUCT}_2026-03_production.csv"'
    rows = pd.read_csv(io.StringIO(answer.text), parse_dates=["crash_date"])
    expected = crashes("2026-03", 5)
    pd.testing.assert_frame_equal(rows[expected.columns], expected, check_dtype=False)
    assert list(rows["anomaly_score"]) == [-0.05, -0.01, 0.1, -0.05, -0.01]
    assert list(rows["anomaly_pred"]) == [-1, -1, 1, -1, -1]


def test_a_month_of_a_file_that_holds_several_is_its_own(client: httpx.Client) -> None:
    for name, count in (("2026-02", 4), ("2026-03", 5)):
        answer = client.get(f"{HERE}/{name}/records.csv", params={"mode": "compatibility"})
        rows = pd.read_csv(io.StringIO(answer.text), parse_dates=["crash_date"])
        assert len(rows) == count
        assert set(rows["crash_date"].dt.strftime("%Y-%m")) == {name}


def test_a_month_without_records_is_a_line_of_names(client: httpx.Client) -> None:
    text = client.get(f"{HERE}/2026-01/records.csv").text
    assert text == "crash_date,damage,num_units,anomaly_score,anomaly_pred\n"


def test_many_records_come_whole(client: httpx.Client, api: Scored) -> None:
    rows = crashes("2026-05", 4500)
    put(api.database, month("2026-05", 4500, **written(api.storage, ("production", "2026-05"), rows)))
    found = pd.read_csv(io.StringIO(client.get(f"{HERE}/2026-05/records.csv").text))
    assert list(found["num_units"]) == list(range(4500))


def test_a_file_that_is_gone_or_changed_is_told(client: httpx.Client, api: Scored, tmp_path: Path) -> None:
    folder = api.storage.at(PRODUCT, "scores", "production", "2026-03")
    (name,) = folder.names()
    folder.write_bytes(name, folder.read_bytes(name) + b"x")
    told = problem(client.get(f"{HERE}/2026-03/records.csv"), 404)
    assert told == "the records of 2026-03: the file isn't what was written; score it again"
    folder.remove(name)
    told = problem(client.get(f"{HERE}/2026-03/records.csv"), 404)
    assert told == "the records of 2026-03: the file isn't in the storage; the figures are kept"
    assert str(tmp_path) not in told
    assert client.get(f"{HERE}/2026-03").status_code == 200


def test_a_page_that_was_not_made_is_404(client: httpx.Client) -> None:
    assert problem(client.get("/scores/other/report"), 404).startswith("the page: the file isn't in the storage")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/scores/nothing", "no scored months of 'nothing'; there are those of: other, traffic_anomalies"),
        ("/api/v1/scores/a%00b/2026-03", "no scored months of 'a\\x00b'"),
        (f"/scores/..%2F{PRODUCT}/report", "Not Found"),
        ("/scores/nothing/report", "no scored months of 'nothing'"),
        (f"{HERE}/2025-12", f"{PRODUCT} has no scored month 2025-12 in production; the months are from 2026-01 to"),
        (f"{HERE}/2026-01/records.csv?mode=compatibility", "the months are from 2026-02 to 2026-03"),
        ("/api/v1/scores/other/2026-03", "other has no scored months in production"),
    ],
)
def test_what_there_is_not_is_404_and_says_what_there_is(client: httpx.Client, path: str, said: str) -> None:
    assert said in problem(client.get(path), 404)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_scores_page_leads_to_charts_and_records(api: Scored, size: ViewportSize) -> None:
    with running_browser() as browser, open_tab(browser, f"{api.url}/rollouts", size) as tab:
        page = tab.page
        sign_in(page, TOKEN)
        if size == PHONE:
            page.get_by_role("button", name="Menu").click()
        page.get_by_role("link", name="Scores").click()
        traffic = page.locator("section").filter(has=page.get_by_role("heading", name=PRODUCT))
        cells = traffic.locator("tbody tr").first.locator("th, td")
        expect(cells).to_have_text(["2026-03", "5", "3", "60.00 %", "-0.0500", "2", "after training", "CSV"])
        expect(traffic.locator("tbody tr").last).to_contain_text("in training")
        expect(page.locator("#scores section").first).to_contain_text("compatibility")
        with page.expect_download() as kept:
            traffic.get_by_role("link", name="Records of 2026-03 as CSV").click()
        assert kept.value.suggested_filename == f"{PRODUCT}_2026-03_production.csv"
        with tab.context.expect_page() as opened:
            traffic.get_by_role("link", name="Charts of all months").click()
        expect(opened.value.locator("#said")).to_have_text("drawn, kept in, no cookie")
        assert tab.overflow() == 0
        tab.shoot(f"scores_{size['width']}")


def test_the_real_page_draws_under_that_policy(api: Scored) -> None:
    rows = crashes("2026-03", 60).rename(columns={"crash_date": "at"})
    scored = rows.assign(anomaly_score=np.resize(SHARES, 60), anomaly_pred=np.resize((-1, -1, 1), 60))
    page = interactive.page(scored, "Scores <b>", {"Release": "2"}, {"damage": "damage"})
    api.storage.at(PRODUCT, "scores", "overview").write_bytes("scores.html", page)
    with running_browser() as browser, open_tab(browser, f"{api.url}/rollouts") as tab:
        sign_in(tab.page, TOKEN)
        tab.page.get_by_role("button", name="Sign out").wait_for()
        answer = tab.page.goto(f"{api.url}/scores/{PRODUCT}/report")
        assert answer is not None
        assert "sandbox allow-scripts" in answer.headers["content-security-policy"]
        tab.page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length >= 3")
        assert tab.page.title() == "Scores <b>"


def test_the_scores_page_without_a_scored_month(database: Database, tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), database, token=TOKEN, subjects=[])
    with served(app) as url, running_browser() as browser, open_tab(browser, f"{url}/scores") as tab:
        sign_in(tab.page, TOKEN)
        expect(tab.page.locator("#scores")).to_have_text("No month has been scored yet.")
        put(database, month("2026-04", product="<img src=x onerror=alert(1)>"))
        tab.page.reload()
        expect(tab.page.get_by_role("heading", name="<img src=x onerror=alert(1)>")).to_be_visible()
        tab.page.get_by_role("button", name="Sign out").click()
        expect(tab.page.get_by_text("You are signed out.")).to_be_visible()


def printed(call: Any, *arguments: Any) -> str:
    """What a function prints on a wide console."""
    output = io.StringIO()
    call(arguments[0], Console(file=output, width=160), *arguments[1:])
    return output.getvalue()


def test_the_console_lists_months_newest_first(api: Scored) -> None:
    told = printed(show_months, api.database, PRODUCT, "production", "http://pages")
    lines = [line.split() for line in told.splitlines()]
    assert lines[2:4] == [
        ["2026-03", "5", "3", "60.00%", "2", "no"],
        ["2026-02", "4", "2", "50.00%", "1", "yes"],
    ]
    assert "2 scored months, 1 more without records" in told
    assert f"http://pages/scores/{PRODUCT}/report" in told
    everything = printed(show_months, api.database, None, "compatibility", "http://pages")
    assert "other: 1 scored months, compatibility" in everything
    assert f"{PRODUCT}: 2 scored months" in everything


def test_the_console_shows_a_months_lowest_scores(api: Scored) -> None:
    told = printed(show_month, api.database, PRODUCT, "2026-03", "production")
    assert f"2026-03-02 {HOUR}:00  -0.0500  9 vehicles, usually 2; snow" in told


def test_the_console_says_when_nothing_is_scored(database: Database) -> None:
    assert "no month has been scored yet" in printed(show_months, database, None, "production", "http://pages")
    with pytest.raises(typer.BadParameter, match="no month has been scored yet"):
        show_months(database, Console(file=io.StringIO()), PRODUCT, "production", "http://pages")


@pytest.mark.parametrize(
    ("product", "name", "said"),
    [
        ("nothing", "2026-03", "there are those of: other, traffic_anomalies"),
        (PRODUCT, "2026-3", "'2026-3' is no month"),
        (PRODUCT, "2031-01", "has no scored month 2031-01"),
    ],
)
def test_the_console_refuses_what_there_is_not(api: Scored, product: str, name: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        show_month(api.database, Console(file=io.StringIO()), product, name, "production")


def test_the_commands_are_there(api: Scored, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_DATABASE_URL", postgres_url)
    run = CliRunner().invoke
    listed = run(command_line, ["scores", "status", PRODUCT])
    assert (listed.exit_code, "2026-03" in listed.output) == (0, True)
    shown = run(command_line, ["scores", "show", PRODUCT, "2026-03"])
    assert (shown.exit_code, "-0.0500" in shown.output) == (0, True)
    refused = run(command_line, ["scores", "show", PRODUCT, "2026-03", "--mode", "shadow"])
    assert (refused.exit_code, "'shadow' is not one of" in refused.output) == (2, True)
