"""The log of a real service: a line survives a kill, feedback reaches it, and what PostgreSQL holds is told."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
from psycopg2.extras import Json

from inference.app import create_app
from inference.functions import load_functions
from inference.journal import Journal
from inference.keys import UserHashes
from inference.log_store import LogStore
from inference.metrics import Metrics
from inference.model import Model
from inference.prediction_id import PredictionIds
from inference.record import Recorder
from inference.served import Served, Serving
from inference.settings import ServingSettings
from inference.ship_rows import LogDatabase
from inference.shipping import Shipper
from inference.timed_connection import TimedConnection
from tests.integration.service_process import Ledger, Service, eventually, following, serving
from tests.unit.inference.asgi_client import AsgiClient
from tests.unit.inference.tiny_release import HOME, MODULE, PRODUCT, write_release

KEY = bytes(range(32))
TOKEN = "operators-token"
RIGHT = {"authorization": f"Bearer {TOKEN}"}


def logging_settings(ledger: Ledger, variant: str = "production") -> dict[str, str]:
    """Settings of a service that keeps a log below the ledger's folder."""
    key, token = ledger.folder / "key", ledger.folder / "operator_token"
    key.write_text(KEY.hex())
    token.write_text(TOKEN)
    return following(ledger, variant) | {
        "key_file": str(key), "journal_dir": str(ledger.folder / "journal"), "token_file": str(token),
        "drill_file": str(ledger.folder / "drill.json"),
    }  # fmt: skip


def journal_lines(ledger: Ledger, variant: str = "production") -> list[dict[str, Any]]:
    """Every whole line that is on the disk, in any segment of the service."""
    folder = ledger.folder / "journal" / f"{PRODUCT}_{variant}"
    files = sorted(p for p in folder.iterdir() if p.suffix in (".open", ".closed")) if folder.is_dir() else []
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


@pytest.fixture
def ledger(postgres_url: str, database: object, tmp_path: Path) -> Ledger:
    made = Ledger(postgres_url, tmp_path)
    made.publish(1)
    made.decide(1)
    return made


def test_answer_that_was_given_survives_kill_nine(ledger: Ledger, tmp_path: Path) -> None:
    with serving(tmp_path / "service", **logging_settings(ledger)) as service:
        service.serves(1)
        answer = service.predict(area=1234).json()
        os.kill(service.worker().pid, signal.SIGKILL)
        lines = journal_lines(ledger)
        (mine,) = [line for line in lines if line["id"] == answer["prediction_id"]]
        assert (mine["features"]["area"], mine["output"]["price"]) == (1234.0, answer["price"])
        eventually(lambda: service.version() == 1, "a new worker serves")
        body = {"prediction_id": answer["prediction_id"], "feedback_type": "rating", "feedback_value": 5}
        given = httpx.post(f"{service.url}/api/feedback", json=body)
        assert given.status_code == 200, given.text
        os.kill(service.worker().pid, signal.SIGKILL)
        told = [line for line in journal_lines(ledger) if line["k"] == "f"]
        assert [(line["prediction_id"], line["value"]) for line in told] == [(answer["prediction_id"], 5.0)]
        eventually(lambda: service.version() == 1, "a new worker serves")


def test_killed_under_load_loses_no_answered_prediction(ledger: Ledger, tmp_path: Path) -> None:
    answered: list[str] = []

    def ask(url: str, batched: bool) -> None:
        with httpx.Client(timeout=5) as client:
            try:
                while True:
                    if batched:
                        reply = client.post(f"{url}/api/predict_price/batch", json={"records": [HOME] * 40})
                        answered.extend(row["prediction_id"] for row in reply.json()["predictions"])
                    else:
                        reply = client.post(f"{url}/api/predict_price", json=HOME)
                        answered.append(reply.json()["prediction_id"])
            except httpx.TransportError:
                return

    with serving(tmp_path / "service", **logging_settings(ledger)) as service:
        service.serves(1)
        worker = service.worker()
        clients = [threading.Thread(target=ask, args=(service.url, batched)) for batched in (False, False, True)]
        for client in clients:
            client.start()
        eventually(lambda: len(answered) > 2000, "answers under load")
        worker.kill()
        worker.wait()
        for client in clients:
            client.join(20)
        logged = [line["id"] for line in journal_lines(ledger)]
        assert set(answered) <= set(logged)
        assert len(logged) == len(set(logged))
        eventually(lambda: service.version() == 1, "a new worker serves")


def test_either_service_takes_feedback_and_obeys_its_label(ledger: Ledger, tmp_path: Path) -> None:
    """Forms, headers, the user's hash, a drill that only the candidate obeys."""
    ledger.publish(2)
    ledger.decide(1, 2, phase="hold", rollout=1)
    with (
        serving(tmp_path / "one", **logging_settings(ledger)) as first,
        serving(tmp_path / "two", **logging_settings(ledger, "candidate")) as second,
    ):
        first.serves(1)
        second.serves(2)
        headers = {"x-user-id": "ada", "x-mlops-assigned": "candidate", "x-mlops-rollout": "1", "x-mlops-step": "0"}
        answer = httpx.post(f"{second.url}/api/predict_price", data=HOME, headers=headers)
        assert (answer.headers["x-served-by"], answer.headers["x-model-version"]) == ("candidate", "2")
        body = {"prediction_id": answer.json()["prediction_id"], "feedback_type": "too_high"}
        assert httpx.post(f"{first.url}/api/feedback", data=body).status_code == 200
        (line,) = [x for x in journal_lines(ledger, "candidate") if x["id"] == answer.json()["prediction_id"]]
        assert (line["user"], line["assigned"], line["rollout"], line["step"]) == (
            UserHashes(KEY).of(b"ada"), "candidate", 1, 0,
        )  # fmt: skip
        order = {"variant": "candidate", "until": time.time() + 60, "fail_share": 1.0}
        (ledger.folder / "drill.json").write_text(json.dumps(order))
        eventually(lambda: second.predict().status_code == 500, "the candidate fails by order")
        assert first.predict().status_code == 200
        assert second.health()["drill"]["obeyed"] is True
        ledger.decide(2, None, previous=1, phase="watch")
        eventually(lambda: second.predict().status_code == 200, "what is no candidate any more obeys no drill")
        (ledger.folder / "drill.json").unlink()
        eventually(lambda: "drill" not in second.health(), "the order is withdrawn")


# --- what PostgreSQL holds


def insert(url: str, table: str, *rows: dict[str, Any]) -> None:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        for row in rows:
            places = ", ".join(["%s"] * len(row))
            cursor.execute(f"INSERT INTO mlops.{table} ({', '.join(row)}) VALUES ({places})", list(row.values()))
    connection.close()


class Filled:
    """A log with known rows, the newest last."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.now = datetime.now(UTC)

    def identifier(self, hours: float) -> str:
        """A UUIDv7 of that many hours ago."""
        made = uuid.UUID(PredictionIds(KEY, PRODUCT).new()).int
        milliseconds = int((self.now.timestamp() - hours * 3600) * 1000)
        return str(uuid.UUID(int=milliseconds << 80 | made & (1 << 80) - 1))

    def predicted(self, hours: float, ms: float, variant: str = "production", product: str = PRODUCT) -> str:
        identifier = self.identifier(hours)
        insert(self.url, "prediction", {
            "id": identifier, "product": product, "at": self.now - timedelta(hours=hours), "variant": variant,
            "version": 1, "assigned": variant, "user_hash": "ab", "features": Json({"area": 1}),
            "output": Json({"price": 2.0}), "latency_ms": ms, "sample": True, "batch": 1,
        })  # fmt: skip
        return identifier

    def told(self, on: str, kind: str, value: float | None, hours: float, variant: str = "production") -> None:
        insert(self.url, "feedback", {
            "id": self.identifier(hours), "prediction_id": on, "product": PRODUCT,
            "at": self.now - timedelta(hours=hours), "type": kind, "value": value, "variant": variant, "version": 1,
            "predicted_at": self.now - timedelta(hours=hours), "estimate": 2.0, "batch": 1,
        })  # fmt: skip


@pytest.fixture
def filled(postgres_url: str, database: object) -> Filled:
    return Filled(postgres_url)


def test_sums_are_of_the_hours_the_product_and_the_variant(filled: Filled) -> None:
    store = LogStore(filled.url, PRODUCT)
    empty, nothing = store.sums(24, "all")
    assert empty == {"total_count": 0} | {f"{n}_latency_ms": None for n in ("avg", "p95", "p99", "min", "max")}
    assert nothing == {"total_count": 0, "avg_rating": None} | {
        f"{n}_count": 0 for n in ("accurate", "too_high", "too_low")
    }
    ids = [filled.predicted(hours=h, ms=ms) for h, ms in ((30, 900), (20, 1), (3, 2), (2, 3))]
    filled.predicted(hours=1, ms=50, variant="candidate")
    filled.predicted(hours=1, ms=70, product="other")
    filled.told(ids[2], "rating", 2, hours=2.5)
    filled.told(ids[2], "rating", 4, hours=2)
    filled.told(ids[3], "rating", 5, hours=1)
    filled.told(ids[3], "actual_price", 1e6, hours=1)
    filled.told(ids[3], "too_high", None, hours=1)
    filled.told(ids[1], "accurate", None, hours=1, variant="candidate")
    predictions, feedback = store.sums(24, "production")
    assert predictions == {
        "total_count": 3, "avg_latency_ms": 2.0, "p95_latency_ms": 2.9, "p99_latency_ms": 2.98,
        "min_latency_ms": 1.0, "max_latency_ms": 3.0,
    }  # fmt: skip
    assert feedback == {
        "total_count": 4, "avg_rating": 4.5, "accurate_count": 0, "too_high_count": 1, "too_low_count": 0,
    }  # fmt: skip
    assert store.sums(48, "production")[0]["max_latency_ms"] == 900.0
    assert store.sums(24, "candidate")[0]["total_count"] == 1
    everything = store.sums(24, "all")
    assert (everything[0]["total_count"], everything[1]["accurate_count"]) == (4, 1)


@pytest.mark.parametrize("kind", ["predictions", "feedback"])
def test_pages_hold_every_row_once_newest_first(filled: Filled, kind: Any) -> None:
    store = LogStore(filled.url, PRODUCT)
    for hours in range(7, 0, -1):
        on = filled.predicted(hours=hours, ms=1)
        filled.told(on, "accurate", None, hours=hours)
    filled.predicted(hours=0.5, ms=1, product="other")
    before, seen = None, []
    while page := store.rows(kind, 3, before):
        before = page[-1]["id"]
        seen += [row["id"] for row in page]
    assert len(seen) == len(set(seen)) == 7
    assert seen == sorted(seen, reverse=True)


def test_routes_answer_from_the_log(ledger: Ledger, filled: Filled, tmp_path: Path) -> None:
    ids = [filled.predicted(hours=hours, ms=2) for hours in (3, 2, 1)]
    filled.predicted(hours=1, ms=9, variant="candidate")
    filled.told(ids[0], "rating", 4, hours=1)
    with serving(tmp_path / "service", **logging_settings(ledger)) as service:
        service.serves(1)
        get = asker(service)
        sums = get("/api/metrics").json()
        assert (sums["variant"], sums["hours"]) == ("production", 24)
        assert (sums["predictions"]["total_count"], sums["predictions"]["avg_latency_ms"]) == (3, 2.0)
        assert sums["feedback"]["avg_rating"] == 4.0
        assert get("/api/metrics?variant=all&hours=720").json()["predictions"]["total_count"] == 4
        assert get("/api/logs").status_code == 401
        page = get("/api/logs?type=predictions&limit=2", headers=RIGHT).json()
        assert set(page) == {"logs", "count", "log_type", "timestamp", "next"}
        assert (page["count"], page["log_type"]) == (2, "predictions")
        rest = get(f"/api/logs?limit=5&before={page['next']}", headers=RIGHT).json()
        assert (rest["count"], rest["next"]) == (2, None)
        row = rest["logs"][-1]
        assert (row["id"], row["features"], row["user_hash"], row["latency_ms"]) == (ids[0], {"area": 1}, "ab", 2.0)
        tail = get("/api/logs/tail?type=feedback&limit=1", headers=RIGHT).json()
        assert set(tail) == {"logs", "count", "log_type", "timestamp"}
        assert (tail["logs"][0]["prediction_id"], tail["logs"][0]["value"]) == (ids[0], 4.0)


def test_what_a_service_writes_the_shipper_takes(filled: Filled, tmp_path: Path) -> None:
    """The lines of a prediction, a batch and feedback become rows, odd texts and all."""
    release = write_release(tmp_path / "release")
    functions = load_functions(MODULE, allowed=MODULE)
    settings = ServingSettings(product=PRODUCT, module=MODULE, route="predict_price", answer="price", pinned=release)
    served = Served("production", Serving(Model.load(release, functions), "production"))
    journal = Journal(tmp_path / "journal" / "one", "one")
    metrics = Metrics(PRODUCT, served, tmp_path, journal)
    client = AsgiClient(create_app(settings, functions, served, metrics, Recorder(journal, KEY, PRODUCT)))
    headers = {"x-user-id": "ada", "x-mlops-assigned": "candidate", "x-mlops-rollout": "2", "x-mlops-step": "1"}
    odd = {**HOME, "town": "T\0wn \u2028 \U0001f3e0 \\u0000"}
    first = client.post("/api/predict_price", json=odd, headers=headers).json()
    batch = client.post("/api/predict_price/batch", json={"records": [HOME, {}, HOME]}).json()["predictions"]
    for kind, more in (("comment", {"feedback_text": "n\0 \n \\"}), ("actual_price", {"feedback_value": 99.5})):
        body = {"prediction_id": first["prediction_id"], "feedback_type": kind, **more}
        assert client.post("/api/feedback", json=body).status_code == 200
    journal.close()
    shipper = Shipper(tmp_path / "journal", LogDatabase(TimedConnection(filled.url, name="test")))
    while shipper.step():
        pass
    assert shipper.counts.rejected == shipper.counts.repaired == 0
    store = LogStore(filled.url, PRODUCT)
    rows = {row["id"]: row for row in store.rows("predictions", 10)}
    assert set(rows) == {first["prediction_id"], batch[0]["prediction_id"], batch[2]["prediction_id"]}
    row = rows[first["prediction_id"]]
    assert row["features"]["town"] == "T\ufffdwn \u2028 \U0001f3e0 \\u0000"
    assert (row["assigned"], row["rollout"], row["step"], row["variant"]) == ("candidate", 2, 1, "production")
    assert row["user_hash"] == UserHashes(KEY).of(b"ada")
    assert row["output"]["price"] == first["price"]
    told = {row["type"]: row for row in store.rows("feedback", 10)}
    assert told["comment"]["text"] == "n\ufffd \n \\"
    assert (told["actual_price"]["value"], told["actual_price"]["estimate"]) == (99.5, first["price"])
    assert store.sums(1, "production")[0]["total_count"] == 3


def asker(service: Service) -> Callable[..., httpx.Response]:
    def get(path: str, **options: Any) -> httpx.Response:
        return httpx.get(service.url + path, timeout=5, **options)

    return get
