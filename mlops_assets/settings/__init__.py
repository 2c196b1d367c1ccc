"""Every setting of an installation, read from `MLOPS_*` variables and `.env`: the only part that does."""

from mlops_assets.settings.hosts import PARTS, Part, is_address
from mlops_assets.settings.installation import (
    DAGSTER_PREFIX,
    INNER_TOKEN_FILE,
    MLFLOW_PREFIX,
    PROJECT,
    ROLE_HEADER,
    WHO_HEADER,
    Settings,
    SettingsError,
    load,
)
from mlops_assets.settings.ports import Ports

__all__ = [
    "DAGSTER_PREFIX",
    "INNER_TOKEN_FILE",
    "MLFLOW_PREFIX",
    "PARTS",
    "PROJECT",
    "ROLE_HEADER",
    "WHO_HEADER",
    "Part",
    "Ports",
    "Settings",
    "SettingsError",
    "is_address",
    "load",
]
