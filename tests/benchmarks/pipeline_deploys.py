"""How long a new pipeline takes until Dagster's pages show it and a run of it is taken.

Add another way to deploy here. Keep out what is there already (`pipeline_history`). "Visible" is what Dagster's web
server answers when it is asked for the new pipeline's asset. By itself, as an installation does it, and with somebody
who tells the web server to load the location anew as soon as the code server has it; in turns.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import httpx

from mlops_assets.pipelines.naming import LOCATION, PREFIX
from tests.benchmarks.pipeline_figures import spread
from tests.benchmarks.pipeline_runs import TWO_STAGE
from tests.integration.pipeline_rig import PipelineRig

POLL_SECONDS = 0.02
SEEN_SECONDS = 60.0
# After the last change is seen: the daemon has taken it up too by then. At any part of the web server's second.
SETTLE_SECONDS = (3.0, 4.0)
BY_ITSELF, TOLD = "by itself", "told to reload"
NODE = "query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { __typename } }"
RELOAD = "mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }"


class Deploys:
    """Deploys pipelines and looks for them, over connections that stay open."""

    def __init__(self, rig: PipelineRig) -> None:
        self._rig = rig
        self._number = 0

    def figures(self, rounds: int) -> dict[str, Any]:
        """Seconds from before the call: answered, visible, a run taken, that run succeeded; by itself and when told."""
        taken: dict[str, list[dict[str, float]]] = {BY_ITSELF: [], TOLD: []}
        settings = self._rig.settings
        # Reloading a location is a change, which needs the role.
        asking = {"base_url": settings.dagster_server_url, "headers": settings.inner_headers("operator")}
        with self._rig.client() as api, httpx.Client(**asking, timeout=60) as dagster:
            for turn in range(-1, rounds):
                for way, found in taken.items():
                    time.sleep(random.uniform(*SETTLE_SECONDS))
                    seconds = self._once(api, dagster, told=way == TOLD)
                    if turn >= 0:
                        found.append(seconds)
        return {
            way: {name: spread([seconds[name] for seconds in found]) for name in found[0]}
            for way, found in taken.items()
        }

    def _once(self, api: httpx.Client, dagster: httpx.Client, *, told: bool) -> dict[str, float]:
        self._number += 1
        name = f"new_{self._number:04d}"
        spec = {**TWO_STAGE, "name": name, "schedule": "29 4 * * *"}
        seconds: dict[str, float] = {}
        began = time.perf_counter()

        def note(what: str) -> None:
            seconds[what] = time.perf_counter() - began

        answer = api.post("/pipelines", json=spec)
        assert answer.status_code == 201, answer.text
        note("answered")
        if told:
            _until(lambda: bool(api.get(f"/pipelines/{name}").json()["loaded"]))
            note("loaded")
            _asked(dagster, RELOAD, name=LOCATION)
            note("reloaded")
        _until(lambda: _kind(dagster, name) == "AssetNode")
        note("visible")
        answer = api.post(f"/pipelines/{name}/runs", json={})
        assert answer.status_code == 201, answer.text
        note("visible and runnable")
        run = self._rig.finish(answer.json()["id"], SEEN_SECONDS)
        assert run["status"] == "COMPLETED", run
        note("first run succeeded")
        assert api.delete(f"/pipelines/{name}").status_code == 204
        _until(lambda: _kind(dagster, name) == "AssetNotFoundError")
        return seconds


def _kind(dagster: httpx.Client, pipeline: str) -> str:
    """What Dagster's web server answers when it is asked for a pipeline's first stage."""
    key = {"path": [PREFIX, pipeline, "prepare"]}
    return str(_asked(dagster, NODE, key=key)["assetNodeOrError"]["__typename"])


def _asked(dagster: httpx.Client, query: str, **variables: Any) -> dict[str, Any]:
    answer = dagster.post("/graphql", json={"query": query, "variables": variables}).raise_for_status().json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


def _until(ready: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SEEN_SECONDS
    while not ready():
        assert time.monotonic() < give_up, f"not seen within {SEEN_SECONDS:.0f} s"
        time.sleep(POLL_SECONDS)
