"""Who goes where: the gateway's routes, made from the products and what the ledger says of each.

The one part of the configuration that changes while the gateway runs. Add a path or a kind of routing here. Keep
out limits of connections and services (`listener`, `clusters`) and the decisions themselves (the ledger).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from mlops_assets.rollout.envoy.upstreams import (
    ASSIGNED_HEADER,
    FEEDBACK_PATH,
    FORCED,
    METADATA,
    NEW_USER,
    PAGE_FOLDERS,
    PAGES,
    ROLLOUT_HEADER,
    ROUTES_NAME,
    STEP_HEADER,
    TOKEN_HEADER,
    USER_HEADER,
    Config,
    Limits,
    Upstream,
    checked,
    seconds,
    unwatched,
)
from mlops_assets.rollout.envoy.users import COOKIE_VALUE
from mlops_assets.rollout.state import State

WHOLE = 10_000
PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
RETRY_HOST = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3"
ROUTE_CONFIGURATION = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


def route_response(
    upstreams: Sequence[Upstream],
    states: Mapping[str, State],
    *,
    operator_token: str | None,
    limits: Limits,
) -> Config:
    """A DiscoveryResponse with the one route configuration; equal input gives an equal version."""
    ordered = checked(upstreams)
    found: list[Config] = []
    for upstream in ordered:
        product = _Product(upstream, states.get(upstream.product, State(upstream.product)), operator_token, limits)
        found += product.under_its_name()
    for upstream in ordered:
        product = _Product(upstream, states.get(upstream.product, State(upstream.product)), operator_token, limits)
        found += product.own()
        if upstream is ordered[0]:
            first = product
    found += [*first.pages(), {"match": {"prefix": "/"}, "direct_response": _not_found()}]
    configuration = {
        "@type": ROUTE_CONFIGURATION,
        "name": ROUTES_NAME,
        "virtual_hosts": [
            {
                "name": ROUTES_NAME,
                "domains": ["*"],
                "routes": found,
                "request_body_buffer_limit": limits.body_bytes,
                "retry_policy": _stand_in(limits.try_seconds, replicated=any(u.replicated for u in ordered)),
            }
        ],
        "request_headers_to_remove": [
            TOKEN_HEADER,
            FORCED,
            NEW_USER,
            "cookie",
            "x-envoy-external-address",
            "x-envoy-internal",
        ],
        "response_headers_to_remove": ["server", "x-powered-by"],
        "response_headers_to_add": [
            {
                "header": {"key": "set-cookie", "value": COOKIE_VALUE},
                "append_action": "APPEND_IF_EXISTS_OR_ADD",
            }
        ],
    }
    digest = hashlib.blake2b(json.dumps(configuration, sort_keys=True).encode(), digest_size=8).hexdigest()
    return {"version_info": digest, "resources": [configuration]}


def candidate_weight(state: State) -> int:
    """The candidate's share in ten-thousandths; neither side of a comparison is ever left without users."""
    return min(WHOLE - 1, max(1, round(state.candidate_share * WHOLE)))


class _Product:
    """The routes of one product in its present state."""

    def __init__(self, upstream: Upstream, state: State, operator_token: str | None, limits: Limits) -> None:
        self.upstream = upstream
        self.state = state
        self.token = operator_token
        self.limits = limits
        self.comparing = state.comparing and state.rollout is not None

    def under_its_name(self) -> Iterator[Config]:
        """Everything of the product below `/<product>/`, which the service doesn't see."""
        prefix = f"/{self.upstream.product}"
        redirect = {"path_redirect": f"{prefix}/", "response_code": "PERMANENT_REDIRECT"}
        yield {"match": {"path": prefix}, "redirect": redirect}
        yield from self.own(prefix)
        yield from self.pages(prefix)

    def own(self, prefix: str = "") -> Iterator[Config]:
        """The product's own paths, with the time limit of predictions."""
        for path in self.upstream.paths:
            yield from self._to_services({"path": prefix + path}, path if prefix else None, {})

    def pages(self, prefix: str = "") -> Iterator[Config]:
        """What every service has: feedback, state, documentation, pages."""
        yield from self._to_services({"path": prefix + FEEDBACK_PATH}, FEEDBACK_PATH if prefix else None, {})
        slower = {"retry_policy": _stand_in(self.limits.page_try_seconds, replicated=self.upstream.replicated)}
        for page in PAGES:
            yield from self._to_services({"path": prefix + page}, page if prefix else None, slower)
        for folder in PAGE_FOLDERS:
            yield from self._to_services({"prefix": prefix + folder}, folder if prefix else None, slower)

    def _to_services(self, match: Config, rewrite: str | None, extra: Config) -> Iterator[Config]:
        common = {"timeout": seconds(self.limits.request_seconds), **extra}
        if rewrite is not None:
            common["prefix_rewrite"] = rewrite
        if self.token is not None:
            up = self.upstream
            for variant, cluster in (("production", up.production), ("candidate", up.candidate)):
                asked = [_header(FORCED, variant), _header(TOKEN_HEADER, self.token)]
                # An operator asks for this very service, in whatever state it is: nobody stands in for it.
                action = common | {"cluster": unwatched(cluster), "retry_policy": {}}
                yield self._route(match | {"headers": asked}, action, "forced")
        if self.comparing:
            yield self._route(match, common | self._split(), None)
        else:
            yield self._route(match, common | {"cluster": self.upstream.to_production}, "production")

    def _split(self) -> Config:
        weight = candidate_weight(self.state)
        # The candidate comes first and the weights add up to the same total: raising its share only ever moves
        # users to it, lowering it only ever moves them back.
        clusters = [
            (self.upstream.to_candidate, weight, "candidate"),
            (self.upstream.to_production, WHOLE - weight, "production"),
        ]
        salt = f"{self.upstream.product}-{self.state.rollout}:"
        salted = {"pattern": {"regex": "^"}, "substitution": salt}
        return {
            "hash_policy": [{"header": {"header_name": USER_HEADER, "regex_rewrite": salted}}],
            "weighted_clusters": {
                "use_hash_policy": True,
                "clusters": [
                    {"name": name, "weight": share, "request_headers_to_add": [_set(ASSIGNED_HEADER, assigned)]}
                    for name, share, assigned in clusters
                ],
            },
        }

    def _route(self, match: Config, action: Config, assigned: str | None) -> Config:
        added = [_set(ASSIGNED_HEADER, assigned)] if assigned else []
        # As text in JSON's own words, because the failure log puts them between other text.
        known = {"product": self.upstream.product, "rollout": "null", "step": "null"}
        if self.comparing:
            known |= {"rollout": str(self.state.rollout), "step": str(self.state.step)}
            added += [_set(ROLLOUT_HEADER, known["rollout"]), _set(STEP_HEADER, known["step"])]
        return {
            "match": match,
            "route": action,
            "metadata": {"filter_metadata": {METADATA: known}},
            "request_headers_to_add": added,
        }


def _stand_in(try_seconds: float, *, replicated: bool) -> Config:
    """More tries when a service gives 5xx, hangs, resets or refuses; never after a 4xx.

    Two more, because the stand-in may be left out for what it did a minute ago: then the second try goes to the same
    service as the last resort, and only the third to the stand-in. A service on several hosts is asked twice, on
    different ones, before another service stands in.
    """
    priority = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
    on_others = {
        "retry_host_predicate": [
            {"name": PREVIOUS_HOSTS, "typed_config": {"@type": f"{RETRY_HOST}.PreviousHostsPredicate"}}
        ],
        "host_selection_retry_max_attempts": 3,
    }
    return {
        "retry_on": "5xx",
        "num_retries": 3 if replicated else 2,
        **(on_others if replicated else {}),
        "per_try_timeout": seconds(try_seconds),
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {"@type": f"type.googleapis.com/{priority}", "update_frequency": 2 if replicated else 1},
        },
    }


def _not_found() -> Config:
    return {"status": 404, "body": {"inline_string": "not found"}}


def _header(name: str, value: str) -> Config:
    return {"name": name, "string_match": {"exact": value}}


def _set(name: str, value: str) -> Config:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
