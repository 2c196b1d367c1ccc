"""What `mlops rollout routes` does: show the cluster's routes, or keep them as the ledger has them.

Keep out what they say (`gateway_api`) and how they are sent (`kubernetes_api`).
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Sequence

import yaml

from mlops_assets.rollout.envoy.upstreams import Upstream
from mlops_assets.rollout.gateway_api import Attachment, http_routes
from mlops_assets.rollout.kubernetes_api import KubernetesApi, RouteKeeper
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.routing import follow


def routes_text(ledger: Ledger, upstreams: Sequence[Upstream], attachment: Attachment) -> str:
    """The routes that the ledger asks for now, as YAML documents."""
    states = {upstream.product: ledger.state(upstream.product) for upstream in upstreams}
    return yaml.safe_dump_all(http_routes(upstreams, states, attachment), sort_keys=False)


def keep_routes(ledger: Ledger, upstreams: Sequence[Upstream], attachment: Attachment) -> None:
    """Apply routes after each decision until SIGTERM or SIGINT. Raises KubernetesError outside a pod."""
    with KubernetesApi() as api:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        # One line for each request would say nothing that the keeper doesn't.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        follow(RouteKeeper(ledger, upstreams, attachment, api).step, stopped.wait)
