"""The settings of a Dask cluster that heavy work of the products' runs is done on.

Add here what such a cluster needs to be told. Keep out its certificates: those are Dask's own settings
(`DASK_DISTRIBUTED__COMM__TLS__…`), the same for clients, scheduler and workers.
"""

from __future__ import annotations

import re

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

ADDRESS = re.compile(r"(tcp|tls)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([1-9]\d{0,4})")


class ClusterSettings(BaseSettings):
    """Without an address everything is done on this machine."""

    dask_address: str | None = None
    # Work on fewer rows is done on this machine: that is quicker than to ask a cluster.
    dask_min_rows: int = Field(default=5000, ge=0)

    @field_validator("dask_address")
    @classmethod
    def _scheduler(cls, address: str | None) -> str | None:
        if address is None:
            return None
        parts = ADDRESS.fullmatch(address)
        if parts is None or int(parts[3]) > 65_535:
            raise ValueError("must be tcp://HOST:PORT or tls://HOST:PORT, of a Dask scheduler")
        return address
