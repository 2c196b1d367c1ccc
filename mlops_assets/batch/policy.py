"""What a product declares about batch scoring: from which month on, by which columns it is shown, what is too many.

Add a field here when a team should be able to choose it in YAML. Keep out how months are scored (`scoring`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class Spec(BaseModel):
    """Frozen; a typo is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Compatibility(Spec):
    """A forest fitted to all rows that scores all rows, as the reference system does: by these columns alone."""

    numeric: tuple[Name, ...] = ()
    categorical: tuple[Name, ...] = ()
    trees: int = Field(default=200, ge=10, le=10_000)
    seed: int = 42


class BatchPolicy(Spec):
    """How a product's records are scored by month.

    The `top` lowest scores of each month are explained. A month that no model was trained on, of at least `min_rows`
    records, may have `max_rate` anomalies. Of features with more than `rows_in_memory` records, no more are in memory
    at once, unless a month alone has more.
    """

    product: Name
    first_month: str = Field(pattern=r"^(19|20|21)\d\d-(0[1-9]|1[0-2])$")
    top: int = Field(default=20, ge=1, le=200)
    max_rate: float = Field(default=0.10, gt=0, lt=1)
    min_rows: int = Field(default=200, ge=1)
    rows_in_memory: int = Field(default=500_000, ge=1)
    compatibility: Compatibility | None = None
