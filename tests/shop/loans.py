"""Loans: will a borrower pay back? A classification with its own columns; all that is special to it is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from mlops_assets.products.cleaned import Cleaned

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["income", "amount", "purpose", "employed_years", "outcome"]


class Request(BaseModel):
    """What a client knows of a loan."""

    model_config = ConfigDict(extra="forbid")

    income: float = Field(gt=0, le=1e7, allow_inf_nan=False, examples=[42000])
    amount: float = Field(gt=0, le=1e7, allow_inf_nan=False, examples=[9000])
    purpose: str = Field(min_length=1, max_length=40, examples=["car"])
    employed_years: float | None = Field(default=None, ge=0, le=60, allow_inf_nan=False)


def clean(raw: pd.DataFrame) -> Cleaned:
    """Rows with numbers as numbers; a row without income, amount or outcome is dropped."""
    import pandas as pd

    rows = raw[COLUMNS].copy()
    for name in ("income", "amount", "employed_years"):
        rows[name] = pd.to_numeric(rows[name], errors="coerce")
    missing = rows[["income", "amount", "outcome"]].isna().any(axis=1)
    repeated = ~missing & rows.duplicated()
    kept = rows[~missing & ~repeated].reset_index(drop=True)
    dropped = Counter({"a required field is missing": int(missing.sum()), "duplicate": int(repeated.sum())})
    return Cleaned(kept, {k: n for k, n in dropped.items() if n})


def features(record: Mapping[str, Any]) -> dict[str, float | str]:
    """Model columns of one loan."""
    years = record.get("employed_years")
    return {
        "burden": float(record["amount"]) / float(record["income"]),
        "income": float(record["income"]),
        "employed_years": float("nan") if years is None else float(years),
        "purpose": str(record["purpose"]).strip().casefold(),
    }
