"""What viewers and editors may ask of MLflow; whatever isn't listed needs an operator, and some of it nobody may ask.

Everybody may GET, and POST what only reads: MLflow searches by POST. Paths are MLflow's own, without the door's
`/mlflow`, with percent-encoding undone once, as MLflow itself does. When MLflow gets a new search, add it here. Keep
out who is asking.
"""

from __future__ import annotations

import re

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Below both /api/ and /ajax-api/: the same for scripts and for MLflow's pages.
READING_POSTS = (
    "2.0/mlflow/artifacts/presigned-download-url",
    "2.0/mlflow/experiments/search",
    "2.0/mlflow/experiments/search-datasets",
    "2.0/mlflow/logged-models/search",
    "2.0/mlflow/registered-models/get-latest-versions",
    "2.0/mlflow/runs/search",
    "3.0/jobs/search",
    "3.0/mlflow/datasets/search",
    "3.0/mlflow/issues/search",
    "3.0/mlflow/prompt-optimization/jobs/search",
    "3.0/mlflow/traces/batchGetInfos",
    "3.0/mlflow/traces/calculate-filter-correlation",
    "3.0/mlflow/traces/metrics",
    "3.0/mlflow/traces/search",
)
# What MLflow's GraphQL calls mutations are searches too; its pages ask it for runs.
GRAPHQL = "/graphql"
# GET, and yet no mere reading: it asks other servers, or shows addresses that hold a secret, or names of secrets.
GUARDED_READS = (
    re.compile(r"/(ajax-)?api/2\.0/mlflow/(gateway-proxy|webhooks)(/.*)?"),
    re.compile(r"/(ajax-)?api/3\.0/mlflow/gateway/secrets(/.*)?"),
)
# The assistant runs programs on the server, and lets in whoever comes from the server's own machine: as all do that
# come through the door.
FOR_NOBODY = re.compile(r"/(ajax-)?api/[^/]+/mlflow/assistant(/.*)?", re.IGNORECASE)

_READING = frozenset(f"/{api}/{path}" for api in ("api", "ajax-api") for path in READING_POSTS) | {GRAPHQL}


def forbidden(path: str) -> bool:
    """Whether nobody at all may ask for this through the door."""
    return FOR_NOBODY.fullmatch(path) is not None


def only_reads(method: str, path: str) -> bool:
    """Whether viewers and editors may ask for this."""
    if method in SAFE_METHODS:
        return not any(guarded.fullmatch(path) for guarded in GUARDED_READS)
    return method == "POST" and path in _READING


def changes(method: str, path: str) -> bool:
    """Whether this may change something, so that it is noted who asked for it."""
    return method not in SAFE_METHODS and not only_reads(method, path)
