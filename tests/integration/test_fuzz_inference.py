"""Every documented route under generated requests, good and bad: no fault, and answers as /openapi.json says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from pydantic import SecretStr
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from inference.app import create_app
from inference.functions import load_functions
from inference.journal import Journal
from inference.metrics import Metrics
from inference.model import Model
from inference.record import Recorder
from inference.served import Served, Serving
from inference.settings import ServingSettings, VocabularyRoute
from mlops_assets.storage.database import Database
from tests.made_verdicts import keep, month
from tests.unit.inference.tiny_release import MODULE, PRODUCT, write_release

TOKEN = "operators-token"
EXAMPLES = 150
EXPECTED = {
    "POST /api/predict_price", "POST /api/predict_price/batch", "POST /api/feedback", "GET /api/metrics",
    "GET /api/logs", "GET /api/logs/tail", "GET /api/drift_report",
}  # fmt: skip

load_all_checks()
CONFORMANCE = CHECKS.get_by_names(
    [f"{name}_conformance" for name in ("status_code", "content_type", "response_headers", "response_schema")]
)


@pytest.fixture
def api(postgres_url: str, database: Database, tmp_path: Path) -> Iterator[Any]:
    """The whole application in this process, logging, with the platform's database behind it."""
    keep(database, *month(product=PRODUCT))
    token = tmp_path / "token"
    token.write_text(TOKEN)
    told = ServingSettings(
        product=PRODUCT, module=MODULE, route="predict_price", answer="price", batch_limit=5,
        pinned=write_release(tmp_path / "release"), database_url=SecretStr(postgres_url), token_file=token,
        vocabularies=(VocabularyRoute(route="get_towns", column="town", key="towns"),),
    )  # fmt: skip
    functions = load_functions(MODULE, allowed=MODULE)
    served = Served("production", Serving(Model.load(tmp_path / "release", functions), "production"))
    journal = Journal(tmp_path / "journal", PRODUCT)
    metrics = Metrics(PRODUCT, served, tmp_path, journal)
    app = create_app(told, functions, served, metrics, Recorder(journal, bytes(32), PRODUCT))
    yield schemathesis.openapi.from_asgi("/openapi.json", app)
    journal.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_any_request_is_answered_as_documented(api: Any, mode: GenerationMode) -> None:
    asked = set()
    for found in api.get_all_operations():
        operation = found.ok()
        try:
            cases = operation.as_strategy(generation_mode=mode)
            fuzz(cases)
        except Unsatisfiable:  # nothing about a request without parameters can be wrong
            assert mode is GenerationMode.NEGATIVE
            continue
        asked.add(f"{operation.method.upper()} {operation.path}")
    assert asked >= EXPECTED, f"not asked: {EXPECTED - asked}"


def fuzz(cases: Any) -> None:
    """Send generated requests of one operation and check each answer."""

    @given(case=cases)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip
    def ask(case: schemathesis.Case) -> None:
        if case.path.startswith("/api/logs"):
            case.headers["authorization"] = f"Bearer {TOKEN}"
        response = case.call()
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=CONFORMANCE)

    ask()
