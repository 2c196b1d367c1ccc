"""The pure functions of a product that serving calls: its request schema and its model columns.

Add here what serving needs from a product's module. Keep out anything that names one product: the module
comes from the settings or a pinned release, and it is imported once a process.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from inference.release import ReleaseError
from inference.settings import PRODUCTS


@dataclass(frozen=True)
class ProductFunctions:
    """`request` validates one HTTP record; `features` turns its fields into the model's columns."""

    module: str
    request: type[BaseModel]
    features: Callable[[Mapping[str, Any]], Mapping[str, float | str]]


def load_functions(module: str, *, allowed: str | None = None) -> ProductFunctions:
    """Import a product's module: one under `mlops_assets.products`, or the one an operator allowed by name.

    Raises ReleaseError when it is neither, can't be imported, or lacks `Request` or `features`.
    """
    if not module.startswith(PRODUCTS) and module != allowed:
        raise ReleaseError(f"module {module}: not under {PRODUCTS[:-1]}, nor named by MLOPS_SERVING_MODULE")
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        raise ReleaseError(f"module {module} can't be imported: {error}") from error
    request, features = getattr(loaded, "Request", None), getattr(loaded, "features", None)
    if not (isinstance(request, type) and issubclass(request, BaseModel) and callable(features)):
        raise ReleaseError(f"module {module} has no pydantic model `Request` and function `features`")
    return ProductFunctions(module, request, features)
