"""The health graph as YAML declares it.

Keep out the graph (`dagster_graph`) and what may be declared (`policy`).
"""

from typing import Self

import dagster as dg
from pydantic import BaseModel

from mlops_assets.observability.health.dagster_graph import health_definitions
from mlops_assets.observability.health.policy import HealthPolicy


class HealthComponent(dg.Component):
    """The hourly health graph; its attributes are the thresholds, and a typo in one is refused with its name."""

    def __init__(self, policy: HealthPolicy) -> None:
        self.policy = policy

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The thresholds' schema."""
        return HealthPolicy

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """A component from validated thresholds, or from the defaults."""
        return cls(attributes if isinstance(attributes, HealthPolicy) else HealthPolicy())

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return health_definitions(self.policy)
