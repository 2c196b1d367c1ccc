"""What a setup costs in a month, by the scenario file's prices.

Add here another thing that is paid for. Keep out what is needed (`model`): hosts are paid for whether they are busy or
not. Left out, because they differ most from one place to the other: traffic out of a data centre, people, support.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.scale.model import Sizes
from tests.benchmarks.scale.scenario import Prices, Setup

HOURS = 730.0


@dataclass(frozen=True)
class Bought:
    """Cores, GB of memory, GB of disk, GB of object storage."""

    cores: float
    memory_gb: float
    disk_gb: float
    object_gb: float


def bought(setup: Setup, kept: Sizes) -> Bought:
    """All hosts of a setup, and the storage at the end of the horizon."""
    disk = 1000 * setup.database_disk_tb * setup.database_servers
    if setup.one_machine_cores:
        return Bought(setup.one_machine_cores, setup.one_machine_gb, disk, kept.storage / 1e9)
    hosts = (
        (setup.gateways, setup.gateway_cores, setup.gateway_gb),
        (setup.serving_hosts, setup.serving_cores, setup.serving_gb),
        (setup.database_servers, setup.database_cores, setup.database_gb),
        (1, setup.orchestrator_cores, setup.orchestrator_gb),
        (setup.run_hosts, setup.run_host_cores, setup.run_host_gb),
    )
    return Bought(
        cores=sum(count * cores for count, cores, _ in hosts),
        memory_gb=sum(count * memory for count, _, memory in hosts),
        disk_gb=disk + setup.serving_hosts * setup.serving_disk_gb,
        object_gb=kept.storage / 1e9,
    )


def monthly(have: Bought, prices: Prices) -> float:
    """In the prices' currency."""
    computing = HOURS * (have.cores * prices.cpu_hour + have.memory_gb * prices.gb_hour)
    return computing + have.disk_gb * prices.disk_gb_month + have.object_gb * prices.object_gb_month
