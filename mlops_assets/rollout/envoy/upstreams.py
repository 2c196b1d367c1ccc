"""What the gateway is configured from: the products behind it, its limits, and the names used on both sides.

Add a limit here when an operator should be able to set it. Keep out Envoy's own words: they are in the files
that use these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_assets.settings import is_address

LOOPBACK = "127.0.0.1"
USER_HEADER = "x-user-id"
USER_COOKIE = "mlops_user"
ASSIGNED_HEADER = "x-mlops-assigned"
ROLLOUT_HEADER = "x-mlops-rollout"
STEP_HEADER = "x-mlops-step"
FORCE_HEADER = "x-mlops-force"
TOKEN_HEADER = "x-operator-token"  # noqa: S105 (the header's name)
# Inside the gateway only: set before routing, gone before a service sees the request.
FORCED = "mlops-forced"
NEW_USER = "mlops-new-user"
METADATA = "mlops"
ROUTES_NAME = "gateway"
FEEDBACK_PATH = "/api/feedback"
# What a service offers besides its own routes. Anything that isn't listed isn't exposed: not its /metrics, not its
# probes, not what the serving framework adds by itself.
PAGES = ("/", "/docs", "/openapi.json", "/favicon.ico")
PAGE_FOLDERS = ("/api/", "/static/", "/docs-files/")

Config = dict[str, Any]


@dataclass(frozen=True)
class Upstream:
    """The two services of a product. `paths` are its own exact paths, which nobody else has, without prefix."""

    product: str
    slot: int
    paths: tuple[str, ...]
    production_port: int
    candidate_port: int
    # The serving hosts, names or addresses; each has both services.
    addresses: tuple[str, ...] = (LOOPBACK,)

    @property
    def replicated(self) -> bool:
        """Whether each service may run on several hosts."""
        return len(self.addresses) > 1 or not is_address(self.addresses[0])

    @property
    def production(self) -> str:
        """Cluster of the production service alone."""
        return f"{self.product}_production"

    @property
    def candidate(self) -> str:
        """Cluster of the candidate's service alone."""
        return f"{self.product}_candidate"

    @property
    def to_production(self) -> str:
        """Cluster of users on production: its service, with the candidate's as stand-in."""
        return f"{self.product}_to_production"

    @property
    def to_candidate(self) -> str:
        """Cluster of users on the candidate: its service, with production's as stand-in."""
        return f"{self.product}_to_candidate"


@dataclass(frozen=True)
class Limits:
    """What the gateway refuses, and how long it waits. Times in seconds, sizes in bytes.

    `try_seconds` bounds one try of a product's own paths. A service answers in a tenth of that when it is well,
    and gives up by itself after 2 s: at 1 s a hang costs a user one second, the stand-in then has a whole second
    too, and both fit well into `request_seconds`. Pages (logs, health, documentation) may read a database, so their
    tries get `page_try_seconds`, longer than the service's own limit, whose answer says more than ours.
    `concurrency` is requests at once to one service. A service refuses earlier by itself, and those refusals the
    stand-in takes over; ours is for a service that no longer refuses, and isn't passed on to the next.
    `…_ejection` is how long a service that fails is left out before it is tried again, at first and at most: a
    restarted production is back within 5 s, a failing candidate is tried rarely until a guardrail ends its rollout.
    """

    body_bytes: int = 5 * 1024 * 1024
    header_kb: int = 32
    requests_per_second: int = 5000
    feedback_per_second: int = 200
    concurrency: int = 512
    connections: int = 4096
    heap_bytes: int = 1024 * 1024 * 1024
    request_seconds: float = 5.0
    try_seconds: float = 1.0
    page_try_seconds: float = 2.4
    connect_seconds: float = 0.5
    receive_seconds: float = 10.0
    headers_seconds: float = 5.0
    idle_seconds: float = 75.0
    stream_idle_seconds: float = 15.0
    slow_seconds: float = 1.0
    production_ejection: tuple[float, float] = (2.0, 4.0)
    candidate_ejection: tuple[float, float] = (10.0, 60.0)


def unwatched(cluster: str) -> str:
    """The cluster of the same service that is used whatever is known of its health."""
    return f"{cluster}_unwatched"


def seconds(value: float) -> str:
    """A duration as Envoy reads it: `1.5` is `1.5s`, with at most microseconds."""
    return f"{value:.6f}".rstrip("0").rstrip(".") + "s"


def checked(upstreams: Sequence[Upstream]) -> list[Upstream]:
    """The upstreams by slot, lowest first, which is who answers paths without a product.

    Raises:
        ValueError: there is none, two share a name, a slot or a path, or a name hides a page.
    """
    if not upstreams:
        raise ValueError("upstreams: the gateway needs at least one product")
    taken: dict[object, str] = {}
    pages = {page.strip("/").partition("/")[0] for page in (*PAGES, *PAGE_FOLDERS)}
    for upstream in upstreams:
        if upstream.product in pages:
            raise ValueError(f"product {upstream.product}: the name would hide the page /{upstream.product}")
        for what in (("product", upstream.product), ("slot", upstream.slot), *(("path", p) for p in upstream.paths)):
            if what in taken:
                raise ValueError(f"products {taken[what]} and {upstream.product} share the {what[0]} {what[1]}")
            taken[what] = upstream.product
    return sorted(upstreams, key=lambda upstream: upstream.slot)
