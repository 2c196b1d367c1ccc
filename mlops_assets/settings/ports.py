"""The ports of an installation. Keep out which one a setting names: that is `installation`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65535)]


class Ports(BaseSettings):
    """Every port, already moved by the offset. All listen on the loopback interface only."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    gateway: Port
    gateway_metrics: Port
    serving: Port
    api: Port
    api_server: Port
    dagster: Port
    code: Port
    mlflow: Port
    pipelines: Port
    metrics: Port
    prometheus: Port
    alertmanager: Port

    def production(self, slot: int) -> int:
        """Port of a product's production service, by the product's slot."""
        return self.serving + 10 * slot

    def candidate(self, slot: int) -> int:
        """Port of a product's candidate service, by the product's slot."""
        return self.serving + 10 * slot + 1
