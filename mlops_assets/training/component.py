"""The product component: one YAML declaration becomes assets, checks, a job, a schedule and a sensor.

Keep out the stages (`assets`) and what a declaration may say (`spec`).
"""

from __future__ import annotations

from typing import Self

import dagster as dg
from pydantic import BaseModel

from mlops_assets.drift.component import drift_definitions
from mlops_assets.prediction_log.component import log_definitions
from mlops_assets.rollout.component import rollout_definitions
from mlops_assets.training.assets import product_assets
from mlops_assets.training.automation import data_sensor, train_job, train_schedule
from mlops_assets.training.monitoring import watched
from mlops_assets.training.spec import Product


class ProductComponent(dg.Component):
    """A declared ML product, from source to served model."""

    def __init__(self, product: Product) -> None:
        self.product = product

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The declaration's schema: strict, so a typo is refused with the file and line."""
        return Product

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """A component from a validated declaration."""
        if not isinstance(attributes, Product):
            raise dg.DagsterInvalidDefinitionError(f"{context.path}: a product needs attributes")
        return cls(attributes)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Everything Dagster knows about the product."""
        product = self.product
        job = train_job(product)
        training = dg.Definitions(
            assets=product_assets(product),
            jobs=[job],
            schedules=[train_schedule(product, job)],
            sensors=[data_sensor(product, job)],
        )
        if product.serving is None:
            return training
        served = (product.name, product.title, product.owner, product.rollout)
        return dg.Definitions.merge(
            training, log_definitions(*served), rollout_definitions(*served), drift_definitions(watched(product))
        )
