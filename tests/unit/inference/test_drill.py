"""Ordered faults: obeyed by the candidate alone, bounded in time, told, and gone when they end."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from inference.app import create_app
from inference.drill import Drill
from inference.functions import ProductFunctions
from inference.metrics import Metrics
from inference.model import Model
from inference.record import Recorder
from inference.served import Served, Serving
from inference.settings import ServingSettings
from tests.unit.inference.asgi_client import AsgiClient
from tests.unit.inference.fake_journal import FakeJournal
from tests.unit.inference.tiny_release import HOME

ROUTE = "/api/predict_price"


class Scene:
    """An order file and a clock that starts at the present."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "drill.json"
        self.now = time.time()
        self.drill = Drill(self.file, clock=lambda: self.now)

    def order(self, seconds: float = 60, **more: Any) -> None:
        self.write(json.dumps({"variant": "candidate", "until": self.now + seconds, **more}))

    def write(self, text: str) -> None:
        self.now += 0.001
        self.file.write_text(text)
        os.utime(self.file, (self.now, self.now))
        self.drill.poll()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def drilled(
    scene: Scene, settings: ServingSettings, functions: ProductFunctions, served: Served, metrics: Metrics,
    recorder: Recorder,
) -> AsgiClient:  # fmt: skip
    return AsgiClient(create_app(settings, functions, served, metrics, recorder, scene.drill))


def test_failures_are_500_by_the_usual_way_and_end_by_themselves(
    scene: Scene, drilled: AsgiClient, journal: FakeJournal
) -> None:
    assert drilled.post(ROUTE, json=HOME).status_code == 200
    scene.order(seconds=60, fail_share=1.0)
    for path, body in ((ROUTE, HOME), (f"{ROUTE}/batch", {"records": [HOME]})):
        answer = drilled.post(path, json=body)
        assert answer.status_code == 500
        assert set(answer.json()) == {"detail", "fault_id"}
    assert len(journal.appended) == 1
    assert drilled.get("/api/health").json()["drill"]["obeyed"] is True
    scene.now += 60
    assert drilled.post(ROUTE, json=HOME).status_code == 200, "over even before the next poll"
    scene.drill.poll()
    assert "drill" not in drilled.get("/api/health").json()


def test_share_of_failures(scene: Scene, drilled: AsgiClient) -> None:
    scene.order(fail_share=0.5)
    codes = [drilled.post(ROUTE, json=HOME).status_code for _ in range(60)]
    assert {200, 500} == set(codes)


def test_delay_sleeps_and_counts(scene: Scene, drilled: AsgiClient, journal: FakeJournal) -> None:
    scene.order(delay_ms=30)
    answer = drilled.post(ROUTE, json=HOME).json()
    assert answer["response_time_ms"] >= 30
    assert journal.records()[0]["ms"] >= 30


@pytest.mark.parametrize("label", ["production", "standby"])
def test_other_labels_do_not_obey(scene: Scene, drilled: AsgiClient, served: Served, model: Model, label: Any) -> None:
    scene.order(fail_share=1.0)
    served.current = Serving(model, label)
    assert drilled.post(ROUTE, json=HOME).status_code == 200
    assert drilled.get("/api/health").json()["drill"]["obeyed"] is False


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "JSON"), ("[]", "the file"), ('{"variant": "candidate"}', "until"),
        ('{"variant": "production", "until": 1}', "variant"),
        ('{"variant": "candidate", "until": 1, "fail_share": 2}', "fail_share"),
        ('{"variant": "candidate", "until": 1, "delay_ms": -1}', "delay_ms"),
        ('{"variant": "candidate", "until": NaN}', "until"),
        ('{"variant": "candidate", "until": 1, "kill": true}', "kill"),
    ],
)  # fmt: skip
def test_bad_file_is_told_and_not_obeyed(scene: Scene, text: str, reason: str) -> None:
    scene.order(fail_share=1.0)
    scene.write(text)
    assert scene.drill.order is None
    told = scene.drill.told("candidate")
    assert told is not None
    assert reason in told["problem"]


def test_an_hour_ahead_at_most(scene: Scene) -> None:
    scene.order(seconds=3599)
    assert scene.drill.order is not None
    scene.order(seconds=3700)
    assert scene.drill.order is None
    scene.now += 600
    scene.drill.poll()
    assert scene.drill.order is None, "it does not become one by waiting"
    assert Drill(scene.file, clock=lambda: scene.now).order is None


def test_removed_file_ends_it_and_a_new_one_counts(scene: Scene) -> None:
    scene.order(delay_ms=1)
    scene.file.unlink()
    scene.drill.poll()
    assert (scene.drill.order, scene.drill.told("candidate")) == (None, None)
    scene.now += 1
    scene.order(delay_ms=2)
    assert scene.drill.order is not None
    assert scene.drill.order.delay_ms == 2


def test_without_a_file_there_is_no_drill() -> None:
    drill = Drill(None)
    drill.poll()
    assert (drill.order, drill.told("candidate")) == (None, None)
