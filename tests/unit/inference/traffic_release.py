"""Writes release folders of traffic anomalies, a small forest of generated accidents, and serves them."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from starlette.types import ASGIApp

from inference.app import create_app
from inference.functions import load_functions
from inference.metrics import Metrics
from inference.model import Model
from inference.record import Recorder
from inference.served import Served, Serving
from inference.settings import ServingSettings
from mlops_assets.explanations.explainer import REASONS_FILE, Explainer
from mlops_assets.explanations.reference import Reference
from mlops_assets.explanations.wording import Wording
from mlops_assets.products import traffic_anomalies
from mlops_assets.training.isolation import IsolationModel
from mlops_assets.training.isolation_graph import to_onnx
from tests.unit.inference.fake_journal import KEY, FakeJournal

MODULE = "mlops_assets.products.traffic_anomalies"
PRODUCT = "traffic_anomalies"
NUMERIC = (*traffic_anomalies.NUMERIC, *traffic_anomalies.CALENDAR)
CATEGORICAL = traffic_anomalies.CATEGORICAL
USUAL: dict[str, Any] = {
    "crash_date": "07/29/2023 01:00:00 PM", "first_crash_type": "REAR END", "weather_condition": "CLEAR",
    "lighting_condition": "DAYLIGHT", "num_units": 2, "injuries_fatal": 0, "injuries_incapacitating": 0,
    "injuries_non_incapacitating": 0, "injuries_reported_not_evident": 0, "injuries_no_indication": 2,
    "most_severe_injury": "NO INDICATION OF INJURY", "crash_type": "NO INJURY / DRIVE AWAY",
}  # fmt: skip
ODD: dict[str, Any] = {
    "crash_date": "2023-02-05T04:10:00", "first_crash_type": "HEAD ON", "weather_condition": "SLEET/HAIL",
    "lighting_condition": "DARKNESS", "roadway_surface_cond": "ICE", "road_defect": "RUT, HOLES",
    "num_units": 9, "injuries_fatal": 3, "injuries_incapacitating": 4, "injuries_non_incapacitating": 5,
    "injuries_reported_not_evident": 6, "injuries_no_indication": 7, "most_severe_injury": "FATAL",
    "crash_type": "INJURY AND / OR TOW DUE TO CRASH", "prim_contributory_cause": "ANIMAL",
    "alignment": "CURVE ON HILLCREST", "trafficway_type": "RAMP", "traffic_control_device": "LANE USE MARKING",
    "damage": "$500 OR LESS",
}  # fmt: skip


@functools.cache
def fitted() -> tuple[bytes, bytes, IsolationModel]:
    """`model.onnx`, `reasons.json` and the model of some 2,000 generated accidents."""
    import pandas as pd

    from mlops_assets.products.samples.traffic_anomalies import generate

    rows = traffic_anomalies.clean(generate(2_000, 7)).rows
    frame = pd.DataFrame([traffic_anomalies.features(dict(row)) for _, row in rows.iterrows()])
    model = IsolationModel.fit(frame, NUMERIC, CATEGORICAL, trees=60)
    explainer = Explainer(
        reference=Reference.of(frame, NUMERIC, CATEGORICAL, traffic_anomalies.TOLD_TOGETHER),
        wording=Wording.model_validate(traffic_anomalies.WORDING),
    )
    return to_onnx(model), explainer.model_dump_json().encode(), model


def expected(request: dict[str, Any]) -> dict[str, Any]:
    """The answer of the fitted model itself, not of its graph."""
    import pandas as pd

    columns = traffic_anomalies.features(vars(traffic_anomalies.Request.model_validate(request)))
    score = float(fitted()[2].score(pd.DataFrame([columns]))[0])
    return {"anomaly_score": score, "anomaly_pred": int(np.where(score < 0, -1, 1))}


def write_traffic_release(folder: Path, version: int = 1, **changes: Any) -> Path:
    """Write a release folder and return it; `changes` replace top-level keys of its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    graph, reasons, _ = fitted()
    files = {"model.onnx": graph, REASONS_FILE: reasons}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    inputs = [{"name": name, "type": "float"} for name in NUMERIC]
    manifest = {
        "format": 1,
        "product": PRODUCT,
        "version": version,
        "created_at": "2025-01-02T03:04:05+00:00",
        "task": "anomaly",
        "module": MODULE,
        "dataset": {"version": 4, "sha256": "ab" * 32, "rows": 2000, "sample": True},
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
        },
        "inputs": [*inputs, *({"name": name, "type": "string"} for name in CATEGORICAL)],
        "outputs": ["anomaly_score", "anomaly_pred"],
        "target": {"column": "anomaly_score", "unit": "", "decimals": 6},
        "trained_until": "2022-12",
        "smoke": [{"request": request, "expected": expected(request)} for request in (USUAL, ODD)],
    } | changes
    (folder / "release.json").write_text(json.dumps(manifest))
    return folder


def traffic_app(release: Path, journal: FakeJournal) -> ASGIApp:
    """The application that serves the release and logs to `journal`."""
    settings = ServingSettings(
        product=PRODUCT, module=MODULE, route="score_accident", answer="anomaly_score", pinned=release,
        title="Traffic anomalies", batch_limit=40,
    )  # fmt: skip
    functions = load_functions(MODULE)
    served = Served("production", Serving(Model.load(release, functions), "production"))
    metrics = Metrics(PRODUCT, served, release, journal)
    return create_app(settings, functions, served, metrics, Recorder(journal, KEY, PRODUCT))
