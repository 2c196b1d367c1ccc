"""The first model of each online product: trained right after the first start, so that there is something to ask.

Keep out how a product is trained: this launches its job like anybody would and shows the run as it goes.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from mlops_assets.api.orchestrator import Orchestrator, OrchestratorError, RunEvent
from mlops_assets.installation.report import Report
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.training.spec import Product

LOCATION_SECONDS = 60.0
SERVED_SECONDS = 30.0
SHOWN_NUMBERS = 4


class FirstReleaseError(RuntimeError):
    """The product has no model to serve; the message names the failed step or gate and the run's page."""


@dataclass(frozen=True)
class Example:
    """A request that the served model answers, and its answer."""

    curl: str
    answer: dict[str, Any]


def train_if_needed(settings: Settings, ledger: Ledger, product: Product, report: Report) -> bool:
    """Train and release the product's first model unless production has one. Returns whether it trained."""
    if product.serving is None or ledger.state(product.name).production is not None:
        return False
    train(settings, product, report, "up", lambda: ledger.state(product.name).production is not None)
    return True


def train(settings: Settings, product: Product, report: Report, trigger: str, released: Callable[[], bool]) -> None:
    """Run the product's training job, or join one that runs, and show it as it goes.

    Raises:
        FirstReleaseError: there is still nothing `released` afterwards; holds the failed steps and gates.
    """
    job = f"{product.name}_train"
    with report.step(f"Train {product.title}"), Orchestrator.of(settings) as orchestrator:
        _wait_for_location(orchestrator)
        active = orchestrator.active_runs(job)
        run_id = active[0] if active else orchestrator.launch(job, tags={"mlops/trigger": trigger})
        page = f"{settings.dagster_url}/runs/{run_id}"
        report.line(page, style="dim")
        problems = []
        for event in orchestrator.follow(run_id, timeout_seconds=settings.run_timeout_seconds):
            text = describe(event)
            if text:
                report.line(text)
            problems += _problem(event)
        if not released():
            why = "; ".join(dict.fromkeys(problems)) or "the run was cancelled"
            raise FirstReleaseError(f"{product.title} has no release: {why}. See {page}")


def describe(event: RunEvent) -> str | None:
    """One line for a person: what was made, with its numbers; a check that failed; progress. None for the rest."""
    data = event.data
    if event.data["__typename"] == "MaterializationEvent":
        return f"{'/'.join(data['assetKey']['path']):<28} {_numbers(data['metadataEntries'])}"
    if event.data["__typename"] == "AssetCheckEvaluationEvent":
        check = data["evaluation"]
        if check["success"]:
            return None
        word = "failed" if check["severity"] == "ERROR" else "warns"
        return f"check {check['checkName']} {word}: {check['description']}"
    if event.data["__typename"] == "LogMessageEvent" and event.level == "INFO":
        return event.message
    return None


def _numbers(entries: list[dict[str, Any]]) -> str:
    shown = []
    for entry in entries:
        if entry["label"].startswith("dagster/"):
            continue
        if "intRepr" in entry:
            shown.append(f"{entry['label']} {int(entry['intRepr']):,}")
        elif entry.get("floatValue") is not None:
            shown.append(f"{entry['label']} {entry['floatValue']:.4g}")
    return ", ".join(shown[:SHOWN_NUMBERS])


def _problem(event: RunEvent) -> list[str]:
    if event.data["__typename"] == "AssetCheckEvaluationEvent":
        check = event.data["evaluation"]
        if not check["success"] and check["severity"] == "ERROR":
            return [f"check {check['checkName']} failed: {check['description']}"]
    error = event.data.get("error")
    if not error:
        return []
    words = [c["message"] for c in error.get("causes") or []] or [error["message"]]
    place = f"step {event.step}" if event.step else "the run"
    return [f"{place} failed: {words[-1].strip()}"]


def _wait_for_location(orchestrator: Orchestrator) -> None:
    give_up = time.monotonic() + LOCATION_SECONDS
    while problems := orchestrator.location_problems():
        if time.monotonic() > give_up:
            raise OrchestratorError("; ".join(f"code location {n}: {t}" for n, t in problems.items()))
        time.sleep(0.2)


def example(settings: Settings, ledger: Ledger, product: Product) -> Example:
    """Ask production one question from its own release and wait until that release answers it."""
    if product.serving is None:
        raise FirstReleaseError(f"{product.title} isn't served over HTTP")
    version = ledger.state(product.name).production
    if version is None:
        raise FirstReleaseError(f"{product.title} has no production release")
    manifest = ledger.release(product.name, version).manifest or {}
    url = f"{settings.gateway_url}/{product.name}/api/{product.serving.route}"
    answered = [_ask(url, smoke["request"], version) for smoke in manifest["smoke"]]
    # Rather one that the service has nothing to remark on.
    request, answer = next((pair for pair in answered if not pair[1].get("notes")), answered[0])
    body = json.dumps(request, ensure_ascii=False)
    return Example(f"curl -s {url} -H 'Content-Type: application/json' -d {shlex.quote(body)}", answer)


def _ask(url: str, request: dict[str, Any], version: int) -> tuple[dict[str, Any], dict[str, Any]]:
    given = {name: value for name, value in request.items() if value is not None}
    give_up = time.monotonic() + SERVED_SECONDS
    while True:
        try:
            answer = httpx.post(url, json=given, timeout=5)
            if answer.status_code == 200 and answer.json()["model_version"] == version:
                return given, answer.json()
            said = f"HTTP {answer.status_code}: {answer.text[:300]}"
        except httpx.HTTPError as error:
            said = str(error)
        if time.monotonic() > give_up:
            raise FirstReleaseError(f"release {version} isn't served at {url}: {said}")
        time.sleep(0.2)
