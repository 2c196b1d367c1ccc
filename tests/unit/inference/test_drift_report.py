"""GET /api/drift_report: what it answers of a stored verdict, what it keeps to itself, and a database that is down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from inference import drift_report
from inference.app import create_app
from inference.drift_report import VerdictStore, drift_routes
from inference.functions import ProductFunctions
from inference.metrics import Metrics
from inference.postgres import DatabaseError
from inference.served import Served
from inference.settings import ServingSettings
from mlops_assets.drift.facts import Status, Verdict
from tests.made_verdicts import LAST, category, number, verdict
from tests.unit.inference.asgi_client import AsgiClient

PATH = "/api/drift_report"
COMPUTED = datetime(2026, 3, 31, 1, 31, tzinfo=UTC)


class MadeStore(VerdictStore):
    """The store on rows in memory; a database that is down when it is told so."""

    def __init__(self, *verdicts: Verdict) -> None:
        super().__init__("postgresql://somewhere/x", "tiny_homes")
        self.rows = {one.day: one for one in verdicts}
        self.down = False
        self.asked = 0

    def ask(self, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        self.asked += 1
        if self.down:
            raise DatabaseError("connection refused")
        days = sorted(self.rows, reverse=True)
        if "limit" in parameters:
            return [(day, len(days)) for day in days[: parameters["limit"]]]
        wanted = [day for day in days if parameters["day"] in (None, day)][:1]
        return [self._row(self.rows[day]) for day in wanted]

    @staticmethod
    def _row(one: Verdict) -> tuple[Any, ...]:
        kept = json.loads(json.dumps(one.to_json()))
        return one.day, one.release, str(one.status), list(one.drifted), kept, COMPUTED


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is opened: questions go to the made store."""
    monkeypatch.setattr(drift_report, "Reader", _NoReader)
    monkeypatch.setattr(drift_report, "FRESH_SECONDS", 0.0)


class _NoReader:
    store: MadeStore

    def __init__(self, url: str, name: str, *, limit_seconds: float) -> None:
        assert 0 < limit_seconds < 2

    def ask(self, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        assert parameters["product"] == "tiny_homes"
        return self.store.ask(query, parameters)

    def close(self) -> None:
        """Nothing is open."""


def client(settings: ServingSettings, store: MadeStore) -> AsgiClient:
    _NoReader.store = store
    app = FastAPI()
    app.include_router(drift_routes(settings, store))
    return AsgiClient(app)


def report(settings: ServingSettings, *verdicts: Verdict) -> dict[str, Any]:
    answer = client(settings, MadeStore(*verdicts)).get(PATH)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def drifted_day(**more: Any) -> Verdict:
    sizes = number("total_sqft", 1000, 500, effect=0.4)
    return verdict(LAST, sizes, category("location", effect=0.15), number("bhk", 2, 1), **more)


def test_it_answers_what_is_promised(settings: ServingSettings) -> None:
    found = report(settings, drifted_day(), verdict(LAST - timedelta(1), number("total_sqft", 1000, 500)))
    assert (found["status"], found["overall_drift_detected"]) == ("drifted", True)
    assert found["data_points"] == {"reference": 9400, "current": 900}
    assert (found["day"], found["release"], found["drifted"]) == ("2026-03-30", 2, ["total_sqft", "location"])
    assert datetime.fromisoformat(found["computed_at"]) == COMPUTED
    assert found["reasons"] == ["2 of 3 columns drifted, in 900 rows: total_sqft, location"]
    assert found["report_url"] is None
    sizes = found["drift_indicators"]["total_sqft"]
    assert (sizes["reference_mean"], sizes["current_mean"], sizes["drift_percentage"]) == (1100, 1300, 18.18)
    assert (sizes["significant_drift"], sizes["kind"], sizes["role"], sizes["status"]) == (
        True, "number", "feature", "drifted",
    )  # fmt: skip
    assert (sizes["effect"], sizes["limit"], sizes["distance"], sizes["p_value"]) == (0.4, 0.1, "wasserstein", 1e-12)
    assert (sizes["missing"], sizes["out_of_range"], sizes["unseen"]) == (
        {"reference": 0.01, "current": 0.01}, 0.004, None,
    )  # fmt: skip
    assert sizes["reasons"] == [
        "the values moved by 0.4 standard deviations (limit 0.1), the median from 1000 to 1200, p < 1e-9"
    ]
    places = found["drift_indicators"]["location"]
    assert (places["reference_mean"], places["current_mean"], places["drift_percentage"]) == (None, None, 15.0)
    assert found["drift_indicators"]["bhk"]["significant_drift"] is False
    assert found["drift_indicators"]["bhk"]["reasons"] == ["no change that is both significant and large"]


def test_a_day_without_drift_has_no_alarm(settings: ServingSettings) -> None:
    found = report(settings, verdict(LAST, number("total_sqft", 1000, 500)))
    assert (found["status"], found["overall_drift_detected"], found["drifted"]) == ("ok", False, [])
    assert found["reasons"] == ["none of 1 columns changed both significantly and by much, in 900 rows"]


@pytest.mark.parametrize(
    ("status", "words"),
    [(Status.INSUFFICIENT, "84 rows are too few"), (Status.NO_REFERENCE, "release 2 has no reference")],
)
def test_a_day_that_says_nothing_says_why(settings: ServingSettings, status: Status, words: str) -> None:
    found = report(settings, verdict(LAST, status=status, rows=84))
    assert (found["status"], found["overall_drift_detected"], found["drift_indicators"]) == (status, False, {})
    assert found["reasons"][0].startswith(words)


def test_before_the_first_verdict_it_says_when_to_expect_one(settings: ServingSettings) -> None:
    found = report(settings)
    assert (found["status"], found["day"], found["data_points"]) == ("no_report", None, {"reference": 0, "current": 0})
    assert "after the first full UTC day with requests" in found["reasons"][0]


def test_nothing_that_a_person_sent_is_answered(settings: ServingSettings) -> None:
    """Neither the judge's examples and sentences nor a value that only the day knows."""
    asked = {"Whitefield": 0.6, "Hebbal": 0.395, "Dr. Rare": 0.004, "Kim, 080 555 123": 0.001}
    column = category("location", effect=0.3, top=asked, unseen=0.2, examples=("kim@example.org", "Flat 9"))
    told = verdict(LAST, column, reasons=("kim@example.org asked for Flat 9",))
    found = report(settings, told)
    text = json.dumps(found)
    for secret in ("kim", "Kim", "Flat 9", "Rare", "555"):
        assert secret not in text
    (moved, new) = found["drift_indicators"]["location"]["reasons"]
    assert "Whitefield went from 60 % to 30 %" in moved
    assert new.startswith("values that the training data lacks rose from 1 % to 20 % of the rows")


def test_a_value_that_few_training_rows_have_is_not_named(settings: ServingSettings) -> None:
    column = category("location", effect=0.3, top={"Whitefield": 0.6, "Hebbal": 0.4})
    small = replace(column, reference=replace(column.reference, rows=15))
    assert "Whitefield" not in json.dumps(report(settings, verdict(LAST, small)))


def test_figures_of_a_handful_of_rows_are_left_out(settings: ServingSettings) -> None:
    """The mean of one row is what one person sent."""
    few = number("total_sqft", 1000, 500, rows=9)
    found = report(settings, verdict(LAST, few, status=Status.INSUFFICIENT, rows=9))["drift_indicators"]["total_sqft"]
    assert (found["current_mean"], found["drift_percentage"], found["out_of_range"]) == (None, None, None)
    assert found["missing"] == {"reference": 0.01, "current": None}
    assert found["reference_mean"] == 1100


def test_no_percentage_of_a_mean_of_nothing(settings: ServingSettings) -> None:
    found = report(settings, verdict(LAST, number("x", -1, 5)))["drift_indicators"]["x"]
    assert (found["reference_mean"], found["drift_percentage"]) == (0.0, None)
    below = report(settings, verdict(LAST, number("x", -101, 5, effect=0.2)))["drift_indicators"]["x"]
    assert (below["reference_mean"], below["current_mean"], below["drift_percentage"]) == (-100, -99, 1.0)


@pytest.mark.parametrize("base", ["http://127.0.0.1:8000", "http://127.0.0.1:8000/"])
def test_it_links_to_the_page_of_that_day(settings: ServingSettings, base: str) -> None:
    linked = settings.model_copy(update={"report_url": base})
    found = report(linked, drifted_day())
    assert found["report_url"] == f"http://127.0.0.1:8000/drift/{settings.product}/2026-03-30"
    assert report(linked)["report_url"] is None


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x y", "http://x/?a=1", "javascript:alert(1)", ""])
def test_another_kind_of_address_is_refused(settings: ServingSettings, url: str) -> None:
    with pytest.raises(ValidationError, match="report_url"):
        ServingSettings(**settings.model_dump() | {"report_url": url})


def test_a_day_is_answered_by_name_and_a_missing_one_names_the_others(settings: ServingSettings) -> None:
    days = [verdict(LAST - timedelta(n), number("x", 1, 1)) for n in range(33)]
    asked = client(settings, MadeStore(*days))
    assert asked.get(f"{PATH}?day=2026-03-05").json()["day"] == "2026-03-05"
    missing = asked.get(f"{PATH}?day=2025-01-01")
    assert missing.status_code == 404
    assert missing.json()["detail"].startswith("there is no verdict of 2025-01-01; there are: 2026-03-30, 2026-03-29,")
    assert missing.json()["detail"].endswith("2026-03-01 and 3 older ones")
    none = client(settings, MadeStore()).get(f"{PATH}?day=2025-01-01")
    assert (none.status_code, "No day was compared yet" in none.json()["detail"]) == (404, True)


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "", "2026-02-30"])
def test_what_is_no_day_is_422(settings: ServingSettings, day: str) -> None:
    answer = client(settings, MadeStore(drifted_day())).get(f"{PATH}?day={day}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "day"]


def test_a_database_that_is_down_leaves_the_last_known_answer(settings: ServingSettings) -> None:
    store = MadeStore(drifted_day())
    asked = client(settings, store)
    fresh = asked.get(PATH).json()
    store.down = True
    kept = asked.get(PATH)
    assert kept.status_code == 200
    assert kept.json()["age_seconds"] > fresh["age_seconds"]
    assert {**kept.json(), "age_seconds": 0} == {**fresh, "age_seconds": 0}
    assert asked.get(f"{PATH}?day=2026-03-30").status_code == 200
    assert asked.get(f"{PATH}?day=2026-03-29").status_code == 503
    store.down = False
    store.rows[LAST + timedelta(1)] = verdict(LAST + timedelta(1), number("x", 1, 1))
    assert asked.get(PATH).json()["day"] == "2026-03-31"


def test_nobody_waits_again_for_a_database_that_just_failed(
    settings: ServingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MadeStore(drifted_day())
    store.down = True
    asked = client(settings, store)
    monkeypatch.setattr(drift_report, "FRESH_SECONDS", 60.0)
    answers = [asked.get(path) for path in (PATH, PATH, f"{PATH}?day=2026-03-30")]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert answers[0].headers["retry-after"] == "5"
    assert store.asked == 1


def test_the_database_is_asked_once_for_many(settings: ServingSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MadeStore(drifted_day())
    asked = client(settings, store)
    monkeypatch.setattr(drift_report, "FRESH_SECONDS", 60.0)
    assert {asked.get(PATH).json()["day"] for _ in range(5)} == {"2026-03-30"}
    assert store.asked == 1


def test_the_service_has_the_route_and_keeps_the_password(
    settings: ServingSettings, functions: ProductFunctions, served: Served, metrics: Metrics
) -> None:
    _NoReader.store = MadeStore()
    _NoReader.store.down = True
    for url in (SecretStr("postgresql://someone:hidden@127.0.0.1:1/db"), None):
        changed = settings.model_copy(update={"database_url": url, "product": "tiny_homes"})
        answer = AsgiClient(create_app(changed, functions, served, metrics)).get(PATH)
        assert answer.status_code == 503
        assert answer.json() == {"detail": "the drift verdicts can't be read now; GET /api/health says more"}
