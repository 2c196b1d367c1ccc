"""Built Bentos, served alone: no ledger, no database, the release that was packed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from inference.bento import build
from inference.settings import VocabularyRoute
from tests.integration.service_process import serving
from tests.unit.inference.tiny_release import HOME, PRODUCT, write_release
from tests.unit.inference.traffic_release import ODD, USUAL, expected, write_traffic_release


@dataclass(frozen=True)
class Declared:
    """What a product declares about serving, as its spec would hold it."""

    route: str = "predict_price"
    answer: str = "price"
    batch_key: str = "homes"
    vocabularies: tuple[VocabularyRoute, ...] = (VocabularyRoute(route="get_towns", column="town", key="towns"),)
    batch_limit: int = 2


def test_built_bento_serves_the_same_answers_alone(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release", 7, factor=0.7)
    home = tmp_path / "bento" / "bentoml"
    tag = build(release, Declared(), home)
    assert tag.startswith(f"{PRODUCT}:v7-")
    assert build(release, Declared(), home) == tag
    assert build(release, Declared(batch_limit=3), home) != tag
    with serving(tmp_path / "bento", tag) as service:
        body = service.predict().json()
        assert (body["price"], body["model_version"]) == (820.0, 7)
        assert service.health()["database"] == "not used"
        assert httpx.get(f"{service.url}/api/get_towns").json() == {"towns": ["Lake Side", "Old Town"]}
        too_many = httpx.post(f"{service.url}/api/predict_price/batch", json={"homes": [HOME] * 3})
        assert too_many.status_code == 422
        both = httpx.post(f"{service.url}/api/predict_price/batch", json={"homes": [HOME] * 2}).json()["predictions"]
        assert [one["price"] for one in both] == [820.0, 820.0]
        page = httpx.get(service.url)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert httpx.get(f"{service.url}/static/page.js").status_code == 200
        feedback = {"prediction_id": body["prediction_id"], "feedback_type": "accurate"}
        assert httpx.post(f"{service.url}/api/feedback", json=feedback).status_code == 503


def test_built_bento_of_a_detector_scores_and_explains_alone(tmp_path: Path) -> None:
    release = write_traffic_release(tmp_path / "release", 4)
    declared = Declared("score_accident", "anomaly_score", "records", vocabularies=())
    tag = build(release, declared, tmp_path / "bento" / "bentoml")
    with serving(tmp_path / "bento", tag) as service:
        body = httpx.post(f"{service.url}/api/score_accident", json=ODD).json()
        assert body["anomaly_score"] == pytest.approx(expected(ODD)["anomaly_score"], abs=1e-6)
        assert (body["anomaly_pred"], body["model_version"], len(body["reasons"])) == (-1, 4, 3)
        both = httpx.post(f"{service.url}/api/score_accident/batch", json={"records": [USUAL, ODD]}).json()
        usual, odd = both["predictions"]
        assert (usual["anomaly_pred"], usual["reasons"], odd["reasons"]) == (1, [], body["reasons"])
        impossible = httpx.post(
            f"{service.url}/api/score_accident", json={**ODD, "crash_date": "02/30/2023 01:00:00 PM"}
        )
        assert (impossible.status_code, impossible.json()["detail"][0]["loc"][-1]) == (422, "crash_date")
