"""The declared products, read straight from their YAML files: for parts that must not load Dagster.

Keep out what a declaration means; Dagster reads the same files through `component.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mlops_assets.training.spec import Product

COMPONENT = "mlops_assets.training.component.ProductComponent"
DEFS = Path(__file__).resolve().parent.parent / "defs"


class DeclarationError(ValueError):
    """A product's YAML can't be read; the message names the file and the field."""


def declared_products(defs: Path = DEFS) -> list[Product]:
    """Every product declared below `defs`, ordered by name."""
    found = [
        _product(path, document.get("attributes"))
        for path in sorted(defs.rglob("defs.yaml"))
        for document in _documents(path)
        if document.get("type") == COMPONENT
    ]
    return sorted(found, key=lambda product: product.name)


def _documents(path: Path) -> list[dict[str, Any]]:
    try:
        return [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if isinstance(d, dict)]
    except yaml.YAMLError as error:
        raise DeclarationError(f"{path}: {error}") from error


def _product(path: Path, attributes: Any) -> Product:
    try:
        return Product.model_validate(attributes)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise DeclarationError(f"{path}: {'; '.join(lines)}") from error
