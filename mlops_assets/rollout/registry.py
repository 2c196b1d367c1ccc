"""MLflow's aliases as a copy of the ledger: champion is production, challenger is the candidate.

Keep out what is registered (`training.tracking`). It speaks MLflow's REST API, because importing MLflow costs a
process that stays up a hundred megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_assets.rollout.ledger import Ledger, State

if TYPE_CHECKING:
    import httpx

PRODUCTION_ALIAS = "champion"
CANDIDATE_ALIAS = "challenger"
CALL_SECONDS = 10.0


class Registry:
    """The model registry of an MLflow server at `url`. Opens no connection until it is used.

    `headers` are sent with each question: the token, where the server asks for one.
    """

    def __init__(
        self, url: str, transport: httpx.BaseTransport | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = url
        self._headers = dict(headers or {})
        self._transport = transport

    def align(self, ledger: Ledger, product: str) -> State:
        """Point the aliases at the registered models of production and candidate; the state they show.

        Raises:
            httpx.HTTPError: MLflow doesn't answer, or refuses.
        """
        while True:
            state = ledger.state(product)
            versions = []
            for release in (state.production, state.candidate):
                manifest = (ledger.release(product, release).manifest or {}) if release is not None else {}
                versions.append(manifest.get("mlflow_version"))
            self.point(product, *versions)
            # Somebody else may have decided meanwhile and been overwritten with what was true before.
            if ledger.state(product).seq == state.seq:
                return state

    def point(self, name: str, production: str | None, candidate: str | None) -> None:
        """Set both aliases of a registered model to these versions; None takes an alias away."""
        self._point(name, PRODUCTION_ALIAS, production)
        self._point(name, CANDIDATE_ALIAS, candidate)

    def _point(self, name: str, alias: str, version: str | None) -> None:
        import httpx

        path = "/api/2.0/mlflow/registered-models/alias"
        with httpx.Client(
            base_url=self.url, timeout=CALL_SECONDS, transport=self._transport, headers=self._headers
        ) as client:
            if version is not None:
                client.post(path, json={"name": name, "alias": alias, "version": version}).raise_for_status()
                return
            answer = client.request("DELETE", path, json={"name": name, "alias": alias})
            if answer.status_code != 404:  # such a model isn't registered yet: nothing to take away
                answer.raise_for_status()
