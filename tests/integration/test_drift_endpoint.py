"""How drift is asked for over HTTP: a service's report on the real database, the gateway, and the control API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from inference.app import create_app
from inference.drift_report import _VERDICT, VerdictStore
from inference.functions import load_functions
from inference.metrics import Metrics
from inference.model import Model
from inference.served import Served, Serving
from inference.settings import ServingSettings
from mlops_assets.drift import store
from mlops_assets.storage.database import Database
from tests.integration.drift_pages import CALM, NEW, PRODUCT, Drifted, drifted
from tests.integration.gateway_rig import HOUSES, Rig
from tests.made_verdicts import LAST, category, keep, month, number, verdict
from tests.unit.inference.asgi_client import AsgiClient
from tests.unit.inference.tiny_release import MODULE, write_release

HERE = f"/api/v1/drift/{PRODUCT}"


@pytest.fixture
def service(postgres_url: str, database: Database, tmp_path: Path) -> AsgiClient:
    """A service of the product on the platform's own database."""
    told = ServingSettings(
        product=PRODUCT, module=MODULE, route="predict_price", pinned=write_release(tmp_path / "release"),
        database_url=SecretStr(postgres_url), report_url="http://pages",
    )  # fmt: skip
    functions = load_functions(MODULE, allowed=MODULE)
    served = Served("production", Serving(Model.load(tmp_path / "release", functions), "production"))
    return AsgiClient(create_app(told, functions, served, Metrics(PRODUCT, served, tmp_path)))


@pytest.fixture
def api(database: Database, tmp_path: Path) -> Iterator[Drifted]:
    with drifted(database, tmp_path) as found:
        yield found


@pytest.fixture
def client(api: Drifted) -> Iterator[httpx.Client]:
    with api.client() as found:
        yield found


def test_a_service_answers_the_newest_verdict(service: AsgiClient, database: Database) -> None:
    keep(database, *month())
    keep(database, verdict(LAST, number("other", 1, 1, effect=0.9), product="another"))
    found = service.get("/api/drift_report").json()
    assert (found["status"], found["day"], found["release"]) == ("drifted", "2026-03-30", 2)
    assert found["drifted"] == ["total_sqft", "estimate", "bhk", "bath", "error"]
    assert len(found["drift_indicators"]) == 10
    assert found["drift_indicators"]["estimate"]["role"] == "prediction"
    assert found["report_url"] == f"http://pages/drift/{PRODUCT}/2026-03-30"
    rows = store.one(database, PRODUCT, LAST)
    assert rows is not None
    assert found["computed_at"] == rows.computed_at.isoformat().replace("+00:00", "Z")
    assert service.get("/api/drift_report?day=2026-03-10").json()["status"] == "insufficient"
    missing = service.get("/api/drift_report?day=2026-03-18")
    assert (missing.status_code, "2026-03-30, 2026-03-29" in missing.json()["detail"]) == (404, True)


def test_a_service_without_a_verdict_says_so(service: AsgiClient) -> None:
    assert service.get("/api/drift_report").json()["status"] == "no_report"


def test_the_newest_verdict_is_read_by_index(database: Database) -> None:
    for product in ("a", "b", PRODUCT):
        keep(database, *month(product=product))
    query = _VERDICT.replace("%(product)s", f"'{PRODUCT}'").replace("%(day)s", "NULL")
    with database.engine.begin() as connection:
        connection.execute(text("ANALYZE mlops.drift_verdict"))
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(connection.scalars(text("EXPLAIN " + query)))
    assert "Index Scan Backward using" in plan, plan
    assert "Sort" not in plan, plan


def test_the_store_answers_from_memory_once_the_server_is_gone(postgres_url: str, database: Database) -> None:
    keep(database, *month())
    asked = VerdictStore(postgres_url, PRODUCT)
    assert asked.newest().row is not None
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE mlops.drift_verdict RENAME TO elsewhere"))
    assert (asked.newest().row or {})["day"] == LAST


@pytest.mark.parametrize("prefix", ["", f"/{HOUSES}"])
def test_the_gateway_lets_the_report_through_without_a_token(rig: Rig, prefix: str) -> None:
    answer = rig.ask(f"{prefix}/api/drift_report?day=2026-03-30", method="GET")
    assert answer.status_code == 200
    asked = rig.services[HOUSES, "production"].control()["asked"][-1]
    assert asked["path"] == "/api/drift_report?day=2026-03-30"


def problem(answer: httpx.Response, status: int) -> str:
    """The detail of the problem that an answer is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_the_list_has_every_product_with_its_newest_days(client: httpx.Client, api: Drifted) -> None:
    here, calm, new = client.get("/api/v1/drift").json()["products"]
    assert (here["product"], here["title"], here["newest"]["status"]) == (PRODUCT, "House prices", "drifted")
    assert here["newest"]["day"] == api.day(0) == here["days"][-1]["day"]
    assert here["block"].startswith("total_sqft and estimate drifted")
    assert here["upcoming"][0].startswith("Promotions are blocked: total_sqft and estimate drifted")
    assert "2 more days without drift lift it" in here["upcoming"][0]
    assert here["upcoming"][1].startswith("No training by itself now: the last 3 judged days drifted")
    assert (calm["newest"]["status"], len(calm["days"]), calm["block"]) == ("ok", 3, None)
    assert (new["newest"], new["days"]) == (None, [])
    assert new["upcoming"] == ["Nothing is served yet, so there is nothing to compare."]


def test_the_map_has_a_cell_for_each_column_and_day(client: httpx.Client, api: Drifted) -> None:
    found = client.get(HERE).json()
    assert (found["first"], found["last"]) == (api.day(29), api.day(0))
    assert (found["earlier"], found["later"]) == (None, None)
    assert len(found["days"]) == 29
    names = [column["name"] for column in found["columns"]]
    assert (names[0], names[-2:]) == ("total_sqft", ["estimate", "error"])
    sizes = {cell["day"]: cell for cell in found["columns"][0]["cells"]}
    assert len(sizes) == 26
    assert (sizes[api.day(0)]["status"], sizes[api.day(0)]["strength"]) == ("drifted", 2.9)
    assert sizes[api.day(0)]["said"].startswith("moved by 0.29 standard deviations")
    assert [block["blocked"] for block in found["blocks"]] == [True, False, True]
    assert found["policy"]["block_of"] == 3


def test_older_days_are_paged_to(client: httpx.Client, api: Drifted) -> None:
    page = client.get(HERE, params={"days": 10}).json()
    assert (page["first"], page["earlier"], page["later"]) == (api.day(9), api.day(10), None)
    before = client.get(HERE, params={"days": 10, "until": page["earlier"]}).json()
    assert (before["first"], before["last"], before["later"]) == (api.day(19), api.day(10), api.day(0))


@pytest.mark.parametrize("path", ["/api/v1/drift", HERE, f"{HERE}/day"])
def test_nothing_is_sent_twice_until_something_changed(client: httpx.Client, api: Drifted, path: str) -> None:
    path = path.replace("/day", f"/{api.day(0)}")
    first = client.get(path)
    tag = {"If-None-Match": first.headers["etag"]}
    same = client.get(path, headers=tag)
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    keep(api.database, verdict(api.last, number("total_sqft", 1276, 560, effect=0.5)))
    changed = client.get(path, headers=tag)
    assert (changed.status_code, changed.headers["etag"] != first.headers["etag"]) == (200, True)


def test_a_day_tells_everything(client: httpx.Client, api: Drifted) -> None:
    found = client.get(f"{HERE}/{api.day(0)}").json()
    assert (found["verdict"]["day"], found["strength"], found["drifted"][0]) == (api.day(0), 2.9, "total_sqft")
    column = found["verdict"]["columns"][0]
    assert column["reference"]["quantiles"]["0.5"] == 1276
    assert {share["name"] for share in column["shares"]} == {"missing", "out_of_range"}
    assert found["run_url"].endswith(f"/runs/run-of-{api.day(0)}")
    assert client.get(f"/{found['report']}").status_code == 200
    few = client.get(f"{HERE}/{api.day(7)}").json()["verdict"]
    assert (few["status"], few["columns"]) == ("insufficient", [])


def test_what_there_is_not_is_told(client: httpx.Client, api: Drifted) -> None:
    assert "there are: house_prices, loans, rents" in problem(client.get("/api/v1/drift/boats"), 404)
    assert f"the days are from {api.day(29)} to {api.day(0)}" in problem(client.get(f"{HERE}/2020-01-01"), 404)
    assert problem(client.get(f"/api/v1/drift/{NEW}/2020-01-01"), 404) == f"no day of {NEW} was compared yet"
    assert problem(client.get(f"{HERE}/today"), 422).startswith("day: ")
    assert problem(client.get(f"{HERE}?days=0"), 422).startswith("days: ")
    assert client.get(f"{HERE}?until=0001-01-01&days=180").json()["last"] == api.day(29)


def test_a_report_is_read_from_the_storage_alone(client: httpx.Client, api: Drifted, tmp_path: Path) -> None:
    answer = client.get(f"/drift/{PRODUCT}/{api.day(0)}/report")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert "not drawn" in answer.text
    (tmp_path / "outside.html").write_text("secret")
    one = verdict(api.last, category("location"))
    for uri in (tmp_path / "outside.html", tmp_path / "storage" / ".." / "outside.html", tmp_path / "storage" / "no"):
        keep(api.database, one, report_uri=str(uri))
        gone = problem(client.get(f"/drift/{PRODUCT}/{api.day(0)}/report"), 404)
        assert gone == f"the full report of {api.day(0)} isn't in the storage; its figures are kept"
    keep(api.database, one)
    removed = problem(client.get(f"/drift/{PRODUCT}/{api.day(0)}/report"), 404)
    assert "the reports of the newest 30 days are kept, the figures for ever" in removed
    assert "no verdict of" in problem(client.get(f"/drift/{CALM}/{api.day(9)}/report"), 404)


def test_a_storage_that_does_not_answer_is_503(client: httpx.Client, api: Drifted) -> None:
    folder = api.storage.at(PRODUCT, "drift", f"date={api.day(0)}")
    assert folder.folder is not None
    (folder.folder / "report.html").unlink()
    (folder.folder / "report.html").mkdir()
    answer: Any = client.get(f"/drift/{PRODUCT}/{api.day(0)}/report")
    assert problem(answer, 503) == "the storage doesn't answer; try again"
