"""Feedback on a rollout's answers: ratings as arrays, and the counts and price errors beside them.

Only answers count that the arm's own release gave, and only the newest value of each (prediction, type) up to a
batch of the log. Add a kind of feedback here. Keep out what the numbers mean (`evidence`, `confidence`).
"""

# ruff: noqa: S608 (the statements are put together from constants of this file only)
from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from mlops_assets.rollout.state import State

FLAGS = ("accurate", "too_high", "too_low")

_OWN = """
  product = :product AND rollout = :rollout AND step IS NOT NULL AND (
    assigned = 'candidate' AND variant = 'candidate' AND version = :candidate
    OR assigned = 'production' AND variant = 'production' AND version = :production)
"""
_FLAGS = f"""
SELECT assigned, type, count(*) FROM mlops.feedback_until(:watermark)
WHERE type IN ('accurate', 'too_high', 'too_low') AND {_OWN} GROUP BY 1, 2
"""
# Both arms' predictions get the same time for a price to arrive, and only those that had all of it count.
# Numeric sums don't depend on the order of rows.
_PRICES = f"""
SELECT assigned, count(*), round(avg((abs(estimate - value) / value)::numeric), 9)::double precision FROM (
  SELECT DISTINCT ON (prediction_id) assigned, estimate, value FROM mlops.feedback
  WHERE type = 'actual_price' AND {_OWN} AND batch <= :watermark
    AND predicted_at <= :mature AND at <= predicted_at + :maturity
  ORDER BY prediction_id, at DESC, id DESC
) AS newest WHERE value > 0 AND estimate IS NOT NULL GROUP BY 1
"""
# Users are only told apart, so 64 bits of a hash stand for them. Fixed widths make the copy one array.
_RATINGS = f"""
COPY (
  SELECT (assigned = 'candidate')::int, step, (predicted_at AT TIME ZONE 'UTC')::date - DATE '2000-01-01',
    hashtextextended(user_hash, 0), value
  FROM mlops.feedback_until(:watermark)
  WHERE type = 'rating' AND user_hash IS NOT NULL AND value IS NOT NULL AND {_OWN}
) TO STDOUT (FORMAT binary)
"""
_ROW = np.dtype(
    [("fields", ">i2")]
    + [
        item
        for name, kind in (("arm", ">i4"), ("step", ">i4"), ("day", ">i4"), ("user", ">i8"), ("value", ">f8"))
        for item in ((f"{name}_bytes", ">i4"), (name, kind))
    ]
)
_HEAD_BYTES, _TAIL_BYTES = 19, 2
_DAYS = 1_000_000


@dataclass(frozen=True)
class Ratings:
    """One row a valid rating, in an order that depends on nothing but the rows: arrays (n,).

    `arm` is true for the candidate; `stratum` tells (step, UTC day of the prediction) apart, `user` users.
    """

    arm: np.ndarray
    stratum: np.ndarray
    user: np.ndarray
    value: np.ndarray

    def of(self, candidate: bool) -> tuple[int, int, float | None]:
        """Ratings, distinct raters and mean rating of one arm."""
        chosen = self.arm == candidate
        values = self.value[chosen]
        raters = len(np.unique(self.user[chosen]))
        return len(values), raters, float(values.mean()) if len(values) else None


def read_ratings(connection: Connection, state: State, watermark: int) -> Ratings:
    """Every valid rating by a known user."""
    data = _copied(connection, _RATINGS, _given(state, watermark))
    rows, left = divmod(len(data) - _HEAD_BYTES - _TAIL_BYTES, _ROW.itemsize)
    if left or rows < 0:
        raise RuntimeError(f"ratings: {len(data)} bytes copied are not whole rows of {_ROW.itemsize}")
    table = np.frombuffer(data, _ROW, count=rows, offset=_HEAD_BYTES)
    stratum = table["step"].astype(np.int64) * _DAYS + table["day"]
    user, value = table["user"].astype(np.int64), table["value"].astype(np.float64)
    arm = table["arm"].astype(bool)
    # Sums of floats depend on their order, and the server's order on its mood.
    order = np.lexsort((value, user, arm, stratum))
    return Ratings(arm[order], stratum[order], user[order], value[order])


def read_flags(connection: Connection, state: State, watermark: int) -> dict[tuple[str, str], int]:
    """How many answers of an arm were called accurate, too_high or too_low: (arm, flag) → predictions."""
    found = connection.execute(text(_FLAGS), _given(state, watermark))
    return {(arm, flag): n for arm, flag, n in found}


def read_price_errors(
    connection: Connection, state: State, watermark: int, now: datetime, maturity: timedelta
) -> dict[str, tuple[int, float]]:
    """Arm → how many actual prices arrived within `maturity` of their prediction, and the mean share of error."""
    given = _given(state, watermark) | {"mature": now - maturity, "maturity": maturity}
    return {arm: (n, error) for arm, n, error in connection.execute(text(_PRICES), given)}


def _given(state: State, watermark: int) -> dict[str, Any]:
    return {
        "product": state.product,
        "rollout": state.rollout,
        "candidate": state.candidate,
        "production": state.production,
        "watermark": watermark,
    }


def _copied(connection: Connection, statement: str, given: dict[str, Any]) -> bytes:
    """The bytes of a COPY. It takes no parameters on the wire: psycopg2 quotes them, as it does for every query."""
    compiled = text(statement).compile(dialect=connection.dialect)
    out = io.BytesIO()
    cursor: Any = connection.connection.cursor()
    try:
        cursor.copy_expert(cursor.mogrify(str(compiled), given), out)
    finally:
        cursor.close()
    return out.getvalue()
