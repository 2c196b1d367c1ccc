"""Applying routes, against a small server that answers as a cluster's API server does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from mlops_assets.rollout.gateway import Upstream
from mlops_assets.rollout.gateway_api import Attachment
from mlops_assets.rollout.kubernetes_api import AGAIN_SECONDS, KubernetesApi, KubernetesError, RouteKeeper
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.state import State
from tests.api_server import ROUTES, Cluster, Place, api_server

HOUSES = Upstream("house_prices", 0, ("/api/predict_home_price",), 6001, 6002)
PATH = f"{ROUTES}/house-prices"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with api_server(tmp_path) as served:
        yield served


@pytest.fixture
def api(place: Place) -> Iterator[KubernetesApi]:
    with KubernetesApi(place.url, place.account) as opened:
        yield opened


class States:
    """A ledger that says what it is told to."""

    def __init__(self, *given: State) -> None:
        self.now = {state.product: state for state in given}

    def state(self, product: str) -> State:
        return self.now.get(product, State(product))


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def compared(share: float) -> State:
    return State("house_prices", production=1, candidate=2, rollout=3, step=1, phase=Phase.RAMP, candidate_share=share)


def keeper(api: KubernetesApi, states: States, clock: Clock | None = None) -> RouteKeeper:
    ledger = cast("Ledger", states)
    return RouteKeeper(ledger, [HOUSES], Attachment("public"), api, clock or Clock())


def candidate_share(cluster: Cluster) -> float:
    weights = cluster.weights("house-prices")
    return weights.get(6002, 0) / sum(weights.values())


def test_a_decision_is_in_the_cluster_after_one_step(place: Place, api: KubernetesApi) -> None:
    states = States(compared(0.2))
    keeps = keeper(api, states)
    keeps.step()
    assert candidate_share(place.cluster) == 0.2
    states.now["house_prices"] = compared(0.5)
    keeps.step()
    assert candidate_share(place.cluster) == 0.5
    states.now["house_prices"] = State("house_prices", production=1)
    keeps.step()
    assert candidate_share(place.cluster) == 0


def test_what_did_not_change_is_not_sent(place: Place, api: KubernetesApi) -> None:
    keeps = keeper(api, States(compared(0.2)))
    for _ in range(3):
        keeps.step()
    assert place.cluster.asked == [PATH]


def test_what_somebody_changed_is_put_back(place: Place, api: KubernetesApi) -> None:
    clock = Clock()
    keeps = keeper(api, States(compared(0.2)), clock)
    keeps.step()
    place.cluster.held.clear()
    clock.seconds += AGAIN_SECONDS
    keeps.step()
    assert candidate_share(place.cluster) == 0.2


def test_a_refusal_is_told_once_and_asked_again(
    place: Place, api: KubernetesApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    place.cluster.refuses = 403
    keeps = keeper(api, States(compared(0.2)))
    for _ in range(3):
        keeps.step()
    assert len(place.cluster.asked) == 3
    [told] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "house-prices: the API server says 403: httproutes is forbidden: User" in told.getMessage()
    place.cluster.refuses = None
    keeps.step()
    assert candidate_share(place.cluster) == 0.2
    assert "takes routes again" in caplog.text


def test_a_token_that_was_replaced_is_read_again(place: Place, api: KubernetesApi) -> None:
    keeps = keeper(api, States(compared(0.2)))
    keeps.step()
    place.cluster.token = "second"
    (place.account / "token").write_text("second")
    keeps.apply({"house_prices": compared(0.3)})
    assert candidate_share(place.cluster) == 0.3


def test_no_answer_is_an_error_that_holds_no_token(place: Place) -> None:
    with (
        KubernetesApi("http://127.0.0.1:1", place.account) as api,
        pytest.raises(KubernetesError, match="house-prices: the API server doesn't answer") as raised,
    ):
        api.apply_route({"apiVersion": "v1", "metadata": {"name": "house-prices"}})
    assert "first" not in str(raised.value)


def test_outside_a_pod_the_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match=f"{tmp_path / 'namespace'} can't be read"):
        KubernetesApi(account=tmp_path)


def test_a_missing_certificate_is_named(place: Place) -> None:
    (place.account / "ca.crt").unlink()
    with pytest.raises(KubernetesError, match=r"ca\.crt"):
        KubernetesApi("https://127.0.0.1:1", place.account)
