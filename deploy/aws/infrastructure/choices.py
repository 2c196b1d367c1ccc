"""What an installation chooses of its AWS infrastructure, with defaults for a small one.

Add a field when two installations should be able to differ by it. Keep out what follows from a choice.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from ipaddress import IPv4Network
from typing import Any

import pulumi

ZONES = 3
NAMESPACE = "mlops"


class ChoiceError(ValueError):
    """A value of the stack's configuration can't be used; the message names its key."""


@dataclass(frozen=True)
class Choices:
    """Sizes are GiB, times are days. `administrators` are the ARNs of roles that may do everything in the cluster.

    `api_networks` may reach the cluster's API from outside; with none it is reached from the private network alone.
    `nat_per_zone` pays for a way out of each zone, so that losing one zone doesn't cut off the others.
    """

    administrators: tuple[str, ...] = ()
    network: str = "10.20.0.0/16"
    nat_per_zone: bool = False
    api_networks: tuple[str, ...] = ()
    kubernetes_version: str = "1.34"
    node_type: str = "m7i.large"
    nodes_least: int = 3
    nodes_most: int = 8
    database_class: str = "db.m7g.large"
    database_storage: int = 100
    database_storage_most: int = 1000
    backup_days: int = 14
    storage_prefix: str = "production"

    def __post_init__(self) -> None:
        try:
            network = IPv4Network(self.network)
        except ValueError as error:
            raise ChoiceError(f"mlops:network: {error}") from None
        if not 16 <= network.prefixlen <= 20:
            raise ChoiceError(f"mlops:network: {network} isn't between /16 and /20, which three zones fit into")
        if "0.0.0.0/0" in self.api_networks:
            raise ChoiceError("mlops:api_networks: 0.0.0.0/0 opens the cluster's API to everybody; name your networks")
        if not 1 <= self.nodes_least <= self.nodes_most:
            raise ChoiceError("mlops:nodes_least: between 1 and mlops:nodes_most")
        if not 1 <= self.backup_days <= 35:
            raise ChoiceError("mlops:backup_days: between 1 and 35")

    @classmethod
    def read(cls, config: pulumi.Config) -> Choices:
        """From a stack's configuration. Raises ChoiceError; a key that is no choice is one too."""
        given: dict[str, Any] = {}
        for each in fields(cls):
            value = config.get_object(each.name)
            if value is None:
                continue
            wanted = type(each.default)
            if wanted is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
                value = tuple(value)
            # `1.40` is a number to YAML, and 1.4 by then.
            if type(value) is not wanted:
                raise ChoiceError(f"mlops:{each.name}: {value!r} isn't {_WORDS[wanted]}")
            given[each.name] = value
        return cls(**given)

    def subnets(self, first: int) -> list[str]:
        """A sixteenth of the network for each zone, from the `first` sixteenth on."""
        sixteenths = list(IPv4Network(self.network).subnets(prefixlen_diff=4))
        return [str(subnet) for subnet in sixteenths[first : first + ZONES]]


_WORDS = {str: "text in quotation marks", int: "a whole number", bool: "true or false", tuple: "a list of text"}
