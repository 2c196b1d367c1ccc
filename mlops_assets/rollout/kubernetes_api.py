"""Sends objects to a cluster's API server, and keeps its HTTPRoutes as the ledger has them.

Add here how the API server is asked. Keep out what routes say (`gateway_api`). Server-side apply over plain HTTP: no
client library, only the token that every pod can be given.
"""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx

from mlops_assets.rollout.envoy.upstreams import Config, Upstream
from mlops_assets.rollout.gateway_api import Attachment, http_routes
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.state import State

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVER = "https://kubernetes.default.svc"
FIELD_MANAGER = "mlops"
ASK_SECONDS = 5.0
# What somebody changed by hand is put back after this long.
AGAIN_SECONDS = 300.0

log = logging.getLogger(__name__)


class KubernetesError(RuntimeError):
    """The API server doesn't answer or refuses; the message says what of, and never holds the token."""


class KubernetesApi:
    """The API server as an account of the cluster sees it. `account` holds `token`, `ca.crt` and `namespace`.

    Raises:
        KubernetesError: a file of the account can't be read: this isn't a pod, or no token is mounted.
    """

    def __init__(self, server: str = SERVER, account: Path = ACCOUNT) -> None:
        self._token_file = account / "token"
        self.namespace = _read(account / "namespace")
        self._client = httpx.Client(
            base_url=server, verify=_authority(account / "ca.crt"), timeout=ASK_SECONDS, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def apply_route(self, route: Config) -> None:
        """Make an HTTPRoute of the account's namespace be as told, whoever owns its fields. KubernetesError."""
        name = route["metadata"]["name"]
        path = f"/apis/{route['apiVersion']}/namespaces/{self.namespace}/httproutes/{name}"
        # Tokens are short-lived: the kubelet replaces the file.
        headers = {
            "Authorization": f"Bearer {_read(self._token_file)}",
            "Content-Type": "application/apply-patch+yaml",
        }
        asked = {"fieldManager": FIELD_MANAGER, "force": "true"}
        try:
            # JSON is YAML, and the only one of both that every server reads alike.
            answer = self._client.patch(path, params=asked, headers=headers, content=json.dumps(route))
        except httpx.HTTPError as error:
            raise KubernetesError(f"{name}: the API server doesn't answer: {type(error).__name__}") from None
        if not answer.is_success:
            raise KubernetesError(f"{name}: the API server says {answer.status_code}: {_reason(answer)}")


class RouteKeeper:
    """One step applies the routes that differ from what was applied last; all of them from time to time."""

    def __init__(
        self,
        ledger: Ledger,
        upstreams: Sequence[Upstream],
        attachment: Attachment,
        api: KubernetesApi,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._upstreams = upstreams
        self._attachment = attachment
        self._api = api
        self._clock = clock
        self._applied: dict[str, tuple[Config, float]] = {}
        self._trouble: str | None = None

    def step(self) -> None:
        """Agree with the newest decisions. Raises SQLAlchemyError when the ledger can't be read.

        An API server that refuses is told of once and asked again at the next step.
        """
        self.apply({upstream.product: self._ledger.state(upstream.product) for upstream in self._upstreams})

    def apply(self, states: Mapping[str, State]) -> None:
        """Give the cluster the shares of these states, as far as it takes them."""
        troubles = []
        for route in http_routes(self._upstreams, states, self._attachment):
            name = route["metadata"]["name"]
            before, at = self._applied.get(name, (None, 0.0))
            if before == route and self._clock() - at < AGAIN_SECONDS:
                continue
            try:
                self._api.apply_route(route)
            except KubernetesError as error:
                troubles.append(str(error))
                continue
            self._applied[name] = (route, self._clock())
            if before != route:
                log.info("%s: applied, %s", name, _shares(route))
        self._tell("; ".join(troubles) or None)

    def _tell(self, trouble: str | None) -> None:
        if trouble and trouble != self._trouble:
            log.warning("%s; routes stay as they are", trouble)
        elif self._trouble and not trouble:
            log.info("the API server takes routes again")
        self._trouble = trouble


def _shares(route: Config) -> str:
    return ", ".join(f"port {each['port']}: {each['weight']}" for each in route["spec"]["rules"][0]["backendRefs"])


def _authority(certificate: Path) -> ssl.SSLContext:
    """Trust in the cluster's own authority and in no other."""
    try:
        return ssl.create_default_context(cafile=str(certificate))
    except OSError as error:
        raise KubernetesError(f"{certificate} can't be read: {type(error).__name__}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise KubernetesError(f"{path} can't be read: {type(error).__name__}") from None


def _reason(answer: httpx.Response) -> str:
    """What a Status object says, in one line; else the beginning of whatever was answered."""
    try:
        told = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        told = answer.text
    return " ".join(str(told).split())[:300]
