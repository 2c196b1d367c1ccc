"""The settings of a PostgreSQL of one's own: an address for each role. Without them the embedded server is used.

Keep out what a role may do (`storage.rights`).
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings

DRIVER = "postgresql+psycopg2://"


class DatabaseSettings(BaseSettings):
    """SQLAlchemy URLs. Those that aren't given are `database_url`."""

    # Of the orchestrator's role, which owns every schema.
    database_url: SecretStr | None = None
    # Of services, the log's shipper and the gateway's routes: reads the ledger, adds to the log.
    serving_database_url: SecretStr | None = None
    # Of metrics: reads.
    reader_database_url: SecretStr | None = None

    @field_validator("database_url", "serving_database_url", "reader_database_url")
    @classmethod
    def _psycopg2(cls, url: SecretStr | None) -> SecretStr | None:
        # A bare postgresql:// means psycopg 3 to SQLAlchemy 2.1, which dagster-postgres can't work with.
        if url is not None and not url.get_secret_value().startswith(DRIVER):
            raise ValueError(f"must start with {DRIVER}")
        hosts = parse_qs(urlsplit(url.get_secret_value()).query).get("host", []) if url else []
        # SQLAlchemy alone would understand that; the database's own library and its programs would not.
        if len(hosts) > 1 or any(":" in host for host in hosts):
            raise ValueError("several servers are given as ?host=one,other&port=5432,5432")
        return url
