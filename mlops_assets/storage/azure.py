"""How Azure's Blob Storage and Data Lake are asked: with limits on time and tries. Needs adlfs when it is used.

Credentials are the cloud's own: AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCOUNT_NAME and
AZURE_STORAGE_ACCOUNT_KEY, or else the machine's or workload's identity. Keep out what is asked (`files`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_assets.settings.clouds import azure_variables
from mlops_assets.storage.errors import StorageError

# Two tries: a store that hangs is given up after about 50 s.
RETRIES = 1
PAUSE_SECONDS = 1
CONNECT_SECONDS = 5
READ_SECONDS = 20

FORM = (
    "abfs://container/key or abfss://container@account.dfs.core.windows.net/key, "
    "with credentials in AZURE_STORAGE_* variables"
)
# Only the cloud's own hosts: an access token is sent to whatever a URL names.
_PLACE = re.compile(
    r"(?P<container>[a-z0-9](?:-?[a-z0-9]){2,62})"
    r"(?:@(?P<account>[a-z0-9]{3,24})\.(?:dfs|blob)\.(?P<cloud>core\.(?:windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)))?"
)
_ACCOUNT = re.compile(r"(?:^|;)\s*(?:AccountName=|BlobEndpoint=https://(?=[^./;]+\.blob\.))([a-z0-9]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where a URL's container is; account and host are None where the URL names none."""

    container: str
    account: str | None
    host: str | None


def place_of(url: str) -> Place:
    """What a URL of `FORM` names. Raises StorageError for another form, without showing it."""
    scheme, _, rest = url.partition("://")
    found = _PLACE.fullmatch(rest.partition("/")[0])
    if found is None:
        raise StorageError(f"storage {scheme}://…: write {FORM}")
    account = found["account"]
    return Place(found["container"], account, f"{account}.blob.{found['cloud']}" if account else None)


def account_of(url: str, options: Mapping[str, Any]) -> str:
    """The storage account of a URL. Raises StorageError if nothing names one, or two are named."""
    place = place_of(url)
    variables = azure_variables()
    connected = _ACCOUNT.search(options.get("connection_string") or variables.connection)
    named = place.account or options.get("account_name") or variables.account
    if connected and place.account and connected[1] != place.account:
        raise StorageError(
            f"{url}: AZURE_STORAGE_CONNECTION_STRING is of another account, {connected[1]}, and would be used"
        )
    account = connected[1] if connected else named
    if not account:
        raise StorageError(
            f"{url}: no account is named; set AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING, "
            "or write abfss://container@account.dfs.core.windows.net/…"
        )
    return str(account)


def mlflow_url(url: str) -> str:
    """The same place as MLflow names it, `wasbs://container@account.blob.core.windows.net/…`. Raises StorageError."""
    place = place_of(url)
    host = place.host or f"{account_of(url, {})}.blob.core.windows.net"
    return f"wasbs://{place.container}@{host}/{url.partition('://')[2].partition('/')[2]}"


def azure_filesystem(url: str, options: Mapping[str, Any]) -> Any:
    """The fsspec file system of the URL's account. Raises ImportError without the extra `azure`, StorageError."""
    import adlfs  # noqa: F401 (an error of the import names what is missing)
    import fsspec

    given: dict[str, Any] = {"account_name": account_of(url, options), "use_listings_cache": False}
    if (host := place_of(url).host) is not None:
        given["account_host"] = host
    fs = fsspec.filesystem("abfs", **given | dict(options))
    _limit(fs.service_client)
    return fs


def _limit(client: Any) -> None:
    """adlfs passes limits on for whole files only, and none on tries: a store that hangs would take five minutes."""
    config = client._config
    config.retry_policy.total_retries = RETRIES
    config.retry_policy.initial_backoff = PAUSE_SECONDS
    config.transport.connection_config.timeout = CONNECT_SECONDS
    config.transport.connection_config.read_timeout = READ_SECONDS
