"""The typed client of the control API: `from mlops_assets.client import Client`.

Add a name here when scripts should rely on it. Keep out what only the client's own files need. Importing this loads
neither Dagster nor pandas.
"""

from mlops_assets.api.pipelines.run_schemas import StageLine
from mlops_assets.client.client import Client
from mlops_assets.client.errors import (
    ApiError,
    AuthError,
    ClientError,
    ConflictError,
    DownloadError,
    FieldError,
    NotFoundError,
    PreconditionError,
    RunTimeoutError,
    UnavailableError,
    ValidationError,
)
from mlops_assets.client.following import RunEvent
from mlops_assets.client.pipelines import Applied

__all__ = [
    "ApiError",
    "Applied",
    "AuthError",
    "Client",
    "ClientError",
    "ConflictError",
    "DownloadError",
    "FieldError",
    "NotFoundError",
    "PreconditionError",
    "RunEvent",
    "RunTimeoutError",
    "StageLine",
    "UnavailableError",
    "ValidationError",
]
