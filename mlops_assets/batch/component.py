"""The batch component: a second document in a product's own defs.yaml declares that its records are scored by month.

Keep out the stages (`assets`), when they happen (`automation`) and what a declaration may say (`policy`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import BaseModel

from mlops_assets.batch.assets import compatibility_asset, overview_asset, scores_asset
from mlops_assets.batch.automation import months_sensor, score_job
from mlops_assets.batch.policy import BatchPolicy
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.spec import Product


class BatchComponent(dg.Component):
    """Scores of a declared product's records, month by month. Resources: those of `resources.shared_resources`."""

    def __init__(self, product: Product, policy: BatchPolicy) -> None:
        self.product = product
        self.policy = policy

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The declaration's schema: strict, so a typo is refused with the file and line."""
        return BatchPolicy

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """A component from a validated declaration and the product that the same defs.yaml declares."""
        if not isinstance(attributes, BatchPolicy):
            raise dg.DagsterInvalidDefinitionError(f"{context.path}: batch scoring needs attributes")
        return cls(product_of(attributes, context.path), attributes)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Everything Dagster knows about the product's scores."""
        product, policy = self.product, self.policy
        job = score_job(product)
        assets = [scores_asset(product, policy), overview_asset(product)]
        if policy.compatibility is not None:
            assets.append(compatibility_asset(product, policy, policy.compatibility))
        return dg.Definitions(assets=assets, jobs=[job], sensors=[months_sensor(product, policy, job)])


def product_of(policy: BatchPolicy, path: Path) -> Product:
    """The product that is declared in this folder. DagsterInvalidDefinitionError says what is wrong with it."""
    declared = {product.name: product for product in declared_products(path)}
    product = declared.get(policy.product)
    if product is None:
        others = f" (it declares {', '.join(declared)})" if declared else ""
        raise dg.DagsterInvalidDefinitionError(
            f"{path}: batch scoring of {policy.product}, but no product of that name is declared there{others}"
        )
    if product.detector is None:
        raise dg.DagsterInvalidDefinitionError(
            f"{path}: batch scoring of {policy.product}, whose task is {product.task}: only an anomaly product's "
            "records can be scored by month"
        )
    return product
