"""The result type of a product's `clean` function: rows kept, rows dropped by reason, odd formats by count.

Add here only what every product's cleaning shares. The rules themselves are the product's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cleaned:
    """Canonical rows of one data version and the account of how raw rows became them.

    `rows` has one column per request field plus the target; `dropped` counts raw rows by the first reason that
    dropped them, so len(rows) + sum(dropped.values()) equals the raw row count; `handled` counts odd formats.
    """

    rows: pd.DataFrame
    dropped: dict[str, int] = field(default_factory=dict)
    handled: dict[str, int] = field(default_factory=dict)
