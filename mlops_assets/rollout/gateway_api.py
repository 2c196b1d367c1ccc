"""The ledger's shares as HTTPRoutes, for clusters whose own Gateway splits users in place of ours. Pure.

Add here what the Gateway API can say of who goes where. Keep out sending it (`kubernetes_api`). The API knows
weights and, where an implementation offers it, a cookie that keeps somebody where they were sent. It knows no hash of a
user's id, no stand-in for a candidate that fails, and no record of it: those only our own gateway has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops_assets.rollout.envoy.routes import WHOLE, candidate_weight
from mlops_assets.rollout.envoy.upstreams import (
    ASSIGNED_HEADER,
    FEEDBACK_PATH,
    FORCE_HEADER,
    ROLLOUT_HEADER,
    STEP_HEADER,
    TOKEN_HEADER,
    Config,
    Upstream,
    checked,
)
from mlops_assets.rollout.state import State

API_VERSION = "gateway.networking.k8s.io/v1"
# Paths that one rule of an HTTPRoute may match.
MOST_MATCHES = 64
LABELS = {"app.kubernetes.io/name": "mlops", "app.kubernetes.io/managed-by": "mlops"}


@dataclass(frozen=True)
class Attachment:
    """Where routes belong: the cluster's Gateway, the names they are asked by, the Service of all serving pods.

    `sessions` asks for cookies that keep users on their variant: part of the API's experimental channel.
    """

    gateway: str
    gateway_namespace: str | None = None
    section: str | None = None
    hostnames: tuple[str, ...] = ()
    service: str = "serving"
    sessions: bool = True


def http_routes(upstreams: Sequence[Upstream], states: Mapping[str, State], attachment: Attachment) -> list[Config]:
    """One HTTPRoute for each product, by slot; a product without a state goes to its production service.

    A product is asked by its own paths and by everything below `/<product>/api/`; the first one's feedback also without
    its name. Pages of services aren't routed.

    Raises:
        ValueError: as `checked`, or a product has more paths than a rule may match.
    """
    ordered = checked(upstreams)
    return [
        _route(
            upstream, states.get(upstream.product, State(upstream.product)), attachment, first=upstream is ordered[0]
        )
        for upstream in ordered
    ]


def _route(upstream: Upstream, state: State, attachment: Attachment, *, first: bool) -> Config:
    if len(upstream.paths) > MOST_MATCHES:
        raise ValueError(f"product {upstream.product}: an HTTPRoute's rule matches at most {MOST_MATCHES} paths")
    own = [{"path": {"type": "Exact", "value": path}} for path in upstream.paths]
    below = {"path": {"type": "PathPrefix", "value": f"/{upstream.product}/api"}}
    rewrite = {"type": "URLRewrite", "urlRewrite": {"path": _prefix("/api")}}
    rules = [
        _rule(own, upstream, state, attachment),
        _rule([below], upstream, state, attachment, rewrite),
    ]
    if first:
        feedback = {"path": {"type": "Exact", "value": FEEDBACK_PATH}}
        rules.append(_rule([feedback], upstream, state, attachment))
    parent = {"name": attachment.gateway}
    if attachment.gateway_namespace:
        parent["namespace"] = attachment.gateway_namespace
    if attachment.section:
        parent["sectionName"] = attachment.section
    return {
        "apiVersion": API_VERSION,
        "kind": "HTTPRoute",
        "metadata": {"name": upstream.product.replace("_", "-"), "labels": LABELS},
        "spec": {
            "parentRefs": [parent],
            **({"hostnames": list(attachment.hostnames)} if attachment.hostnames else {}),
            "rules": rules,
        },
    }


def _rule(matches: list[Config], upstream: Upstream, state: State, attachment: Attachment, *filters: Config) -> Config:
    comparing = state.comparing and state.rollout is not None
    rule: Config = {
        "matches": matches,
        "filters": [_known(state, comparing=comparing), *filters],
        "backendRefs": _backends(upstream, state, attachment.service, comparing=comparing),
    }
    if comparing and attachment.sessions:
        # By rollout: the next one splits users anew. Without a second backend nobody is kept where they were.
        name = f"mlops-{upstream.product.replace('_', '-')}-{state.rollout}"
        cookie = {"lifetimeType": "Permanent"}
        rule["sessionPersistence"] = {
            **{"sessionName": name, "type": "Cookie"},
            **{"absoluteTimeout": "720h", "cookieConfig": cookie},
        }
    return rule


def _known(state: State, *, comparing: bool) -> Config:
    """What services are told of the rollout, in place of what a client claims."""
    changed: Config = {"remove": [FORCE_HEADER, TOKEN_HEADER]}
    if comparing:
        changed["set"] = [
            {"name": ROLLOUT_HEADER, "value": str(state.rollout)},
            {"name": STEP_HEADER, "value": str(state.step)},
        ]
    else:
        changed["remove"] += [ROLLOUT_HEADER, STEP_HEADER]
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": changed}


def _backends(upstream: Upstream, state: State, service: str, *, comparing: bool) -> list[Config]:
    """Both services by their weights; production alone when nothing is compared."""
    weight = candidate_weight(state) if comparing else 0
    shares = [("production", upstream.production_port, WHOLE - weight)]
    if comparing:
        shares.append(("candidate", upstream.candidate_port, weight))
    return [
        {
            "name": service,
            "port": port,
            "weight": share,
            "filters": [
                {
                    "type": "RequestHeaderModifier",
                    "requestHeaderModifier": {"set": [{"name": ASSIGNED_HEADER, "value": variant}]},
                }
            ],
        }
        for variant, port, share in shares
    ]


def _prefix(value: str) -> Config:
    return {"type": "ReplacePrefixMatch", "replacePrefixMatch": value}
