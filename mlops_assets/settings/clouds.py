"""What a cloud's own variables say that its library doesn't tell by itself; credentials are for the library to read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AzureVariables:
    """The storage account, by name or in a connection string; empty where a variable isn't set."""

    account: str
    connection: str = field(repr=False)


def azure_variables() -> AzureVariables:
    """Of this process, now."""
    return AzureVariables(
        os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", ""), os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    )


def google_is_emulated() -> bool:
    """Whether Google's libraries ask an emulator, which has no credentials."""
    return bool(os.environ.get("STORAGE_EMULATOR_HOST"))


def ask_google_over_http() -> None:
    """gcsfs asks over gRPC too, unless this is said before it is imported: for kinds of buckets that aren't used here.

    A connection of gRPC's doesn't survive a fork.
    """
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
