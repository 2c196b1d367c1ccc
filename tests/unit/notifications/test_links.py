"""Where notices lead: this machine, or the public addresses if they are set."""

from __future__ import annotations

from datetime import date

import pytest

from mlops_assets.notifications.links import Links
from mlops_assets.settings import Settings


def test_links_lead_to_this_machine_unless_public_addresses_are_set() -> None:
    own = Links.of(Settings(port_offset=100))
    assert own.rollouts() == "http://127.0.0.1:8100/rollouts"
    assert own.health() == "http://127.0.0.1:8100/health"
    assert own.run("r/1") == "http://127.0.0.1:8100/dagster/runs/r%2F1"
    behind = Settings(public_api_url="https://mlops.example.com/")
    assert Links.of(behind).run("r1") == "https://mlops.example.com/dagster/runs/r1"
    assert behind.mlflow_url == "https://mlops.example.com/mlflow"
    public = Links.of(
        Settings(public_api_url="https://mlops.example.com/", public_dagster_url="https://d.example.com/x/")
    )
    assert public.drift("homes", date(2026, 3, 1)) == "https://mlops.example.com/drift/homes/2026-03-01"
    assert public.health() == "https://mlops.example.com/health"
    assert public.run("r1") == "https://d.example.com/x/runs/r1"
    assert public.asset(("homes", "a b")) == "https://d.example.com/x/assets/homes/a%20b?view=checks"


@pytest.mark.parametrize("url", ["mlops.example.com", "javascript:alert(1)"])
def test_a_public_address_is_one_of_the_web(url: str) -> None:
    with pytest.raises(ValueError, match="public_api_url"):
        Settings(public_api_url=url)
