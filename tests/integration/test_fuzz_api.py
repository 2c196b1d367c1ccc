"""Made-up requests against every route of the control API: what it documents holds, and no fault comes out."""

from __future__ import annotations

from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.integration.exporter.made_rows import in_schema
from tests.integration.looked_rollout import PRODUCT, TOKEN, looked
from tests.integration.runs_api import dagster_on
from tests.made_verdicts import LAST, keep, month

SEED = 20_18
EXAMPLES = 25
DRIFT = {"/api/v1/drift", "/api/v1/drift/{product}", "/api/v1/drift/{product}/{day}", "/drift/{product}/{day}/report"}
# A launcher that starts nothing: what is fuzzed here is the API.
DAGSTER = """
storage: {postgres: {postgres_url: "%s"}}
run_launcher: {module: tests.unit.runs.recording_launcher, class: RecordingLauncher}
run_coordinator: {module: mlops_assets.runs.coordinator, class: ImmediateRunCoordinator}
telemetry: {enabled: false}
"""
PIPELINE = {
    "name": "fuzzed",
    "parameters": {"rows": {"type": "integer", "default": 1}},
    "stages": [{"name": "work", "stage_type": "CLEANUP", "source": "def run(): return 1"}],
}
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


def test_no_request_makes_it_fail(database: Database, postgres_url: str, tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "storage"))
    storage.write_bytes("report.html", b"<p>figures")
    keep(database, *month(), report_uri=storage.locate("report.html"))
    (tmp_path / "dagster.yaml").write_text(DAGSTER % in_schema(postgres_url, "dagster"))
    made = dagster_on(postgres_url, tmp_path / "made")
    with made, looked(database, tmp_path) as api, api.client() as client:
        declared = client.post("/api/v1/pipelines", json=PIPELINE)
        assert declared.status_code == 201, declared.text
        run = client.post(f"/api/v1/pipelines/{PIPELINE['name']}/runs")
        assert run.status_code == 201, run.text
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        asked, paths = 0, set()
        for found in schema.get_all_operations():
            operation = found.ok()
            paths.add(operation.path)

            @seed(SEED)
            @hypothesis_settings(
                max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy())
            def ask(case: schemathesis.Case) -> None:
                method, path = case.operation.method, case.operation.path
                nonlocal asked
                asked += 1
                if asked % 2 and "product" in case.path_parameters:
                    case.path_parameters["product"] = PRODUCT
                    if asked % 4 == 1 and "day" in case.path_parameters:
                        case.path_parameters["day"] = LAST.isoformat()
                known = {"/api/v1/runs/{id}": run.json()["id"], "/api/v1/pipelines/{id}": PIPELINE["name"]}
                for begin, name in known.items():
                    # A stream of a run that is going doesn't end.
                    left_alone = method == "delete" or path.endswith("/events")
                    if asked % 2 and path.startswith(begin) and not left_alone:
                        case.path_parameters["id"] = name
                case.call_and_validate(
                    base_url=api.url, headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS, timeout=20
                )

            ask()
        assert asked > EXAMPLES
        assert paths >= DRIFT | {"/api/v1/pipelines/{id}/runs", "/api/v1/runs/{id}/events", "/api/v1/artifacts"}
        assert client.get(f"/api/v1/pipelines/{PIPELINE['name']}").status_code == 200
        assert client.get(f"/drift/{PRODUCT}/{LAST}/report").text == "<p>figures"
        assert client.get(f"/api/v1/rollouts/{PRODUCT}").status_code == 200
