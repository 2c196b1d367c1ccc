"""Where a notice leads: the pages of the control API and of Dagster, as people reach them. Pure.

Add a page here when a notice should lead to it. Keep out what the pages show.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from urllib.parse import quote

from mlops_assets.settings import Settings


@dataclass(frozen=True)
class Links:
    """Addresses without a slash at their end."""

    api: str
    dagster: str

    @classmethod
    def of(cls, settings: Settings) -> Links:
        """The public addresses if they are set, else those of this machine."""
        return cls(settings.console_url, settings.dagster_url)

    def rollouts(self) -> str:
        return f"{self.api}/rollouts"

    def drift(self, product: str, day: date) -> str:
        return f"{self.api}/drift/{quote(product, safe='')}/{day.isoformat()}"

    def health(self) -> str:
        return f"{self.api}/health"

    def run(self, run_id: str) -> str:
        return f"{self.dagster}/runs/{quote(run_id, safe='')}"

    def asset(self, path: tuple[str, ...]) -> str:
        return f"{self.dagster}/assets/{'/'.join(quote(part, safe='') for part in path)}?view=checks"
