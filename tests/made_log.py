"""A prediction log written straight into the tables: rows in batches, and the running counts as the shipper keeps them.

For tests and benchmarks that need exact rows without services, journals and a shipper.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from mlops_assets.storage.database import Database

_NUMBERS = itertools.count(1)
_PREDICTION = """
INSERT INTO mlops.prediction (id, product, at, variant, version, assigned, rollout, step, user_hash, features, output,
  latency_ms, request_id, sample, batch)
VALUES (:id, :product, :at, :variant, :version, :assigned, :rollout, :step, :user, '{}',
  jsonb_build_object('estimate', cast(:estimate AS double precision)), :ms, NULL, false, :batch)
"""
_FEEDBACK = """
INSERT INTO mlops.feedback (id, prediction_id, product, at, type, value, variant, version, assigned, rollout, step,
  user_hash, predicted_at, estimate, batch)
SELECT :id, p.id, p.product, :at, :type, :value, p.variant, p.version, p.assigned, p.rollout, p.step, p.user_hash,
  p.at, mlops.numeric_answer(p.output), :batch
FROM mlops.prediction AS p WHERE p.id = :prediction
"""
_FAILURE = """
INSERT INTO mlops.request_failure (request_id, at, product, assigned, rollout, step, status, flags, batch)
VALUES (:id, :at, :product, :assigned, :rollout, :step, 503, 'UF', :batch)
"""
_TRAFFIC = """
INSERT INTO mlops.traffic SELECT product, rollout, step, (at AT TIME ZONE 'UTC')::date, assigned, variant, version,
  mlops.latency_bucket(latency_ms), count(*), count(*) FILTER (WHERE user_hash IS NULL),
  sum(latency_ms::double precision), min(at), max(at)
FROM mlops.prediction WHERE batch = :batch AND rollout IS NOT NULL AND step IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
ON CONFLICT (product, rollout, step, day, assigned, variant, version, latency_bucket) DO UPDATE SET
  requests = traffic.requests + excluded.requests, anonymous = traffic.anonymous + excluded.anonymous,
  sum_ms = traffic.sum_ms + excluded.sum_ms, first_at = least(traffic.first_at, excluded.first_at),
  last_at = greatest(traffic.last_at, excluded.last_at)
"""
_UNITS = """
WITH new AS (
  INSERT INTO mlops.exposure SELECT DISTINCT product, rollout, step, user_hash, assigned, batch
  FROM mlops.prediction
  WHERE batch = :batch AND rollout IS NOT NULL AND assigned <> 'forced' AND user_hash IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING product, rollout, step, assigned
), seen AS (
  SELECT * FROM new UNION ALL
  SELECT product, rollout, step, assigned FROM mlops.prediction
  WHERE batch = :batch AND rollout IS NOT NULL AND assigned <> 'forced' AND user_hash IS NULL
)
INSERT INTO mlops.units SELECT product, rollout, step, assigned, count(*) FROM seen GROUP BY 1, 2, 3, 4
ON CONFLICT (product, rollout, step, assigned) DO UPDATE SET n = units.n + excluded.n
"""
_HOURS = """
INSERT INTO mlops.log_hour
SELECT product, date_trunc('hour', at, 'UTC'), sum(p), sum(f), :batch FROM (
  SELECT product, at, 1 AS p, 0 AS f FROM mlops.prediction WHERE batch = :batch UNION ALL
  SELECT product, at, 0, 1 FROM mlops.feedback WHERE batch = :batch
) AS rows GROUP BY 1, 2
ON CONFLICT (product, hour) DO UPDATE SET predictions = log_hour.predictions + excluded.predictions,
  feedback = log_hour.feedback + excluded.feedback, max_batch = excluded.max_batch
"""


def count_batch(connection: Connection, batch: int) -> None:
    """Add a batch's rows to the running counts, in the batch's own transaction."""
    for statement in (_TRAFFIC, _UNITS, _HOURS):
        connection.execute(text(statement), {"batch": batch})


@dataclass
class MadeLog:
    """Collects rows; `ship` writes them as one batch. `at` moves on by a second a row."""

    database: Database
    product: str
    rollout: int
    versions: dict[str, int]
    at: datetime
    step: int = 0
    _waiting: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def predict(self, assigned: str, user: str | None = None, ms: float = 10.0, **other: Any) -> UUID:
        """An answered request; by default the assigned arm's own release answered. Its id."""
        variant = other.pop("variant", assigned)
        row = {
            "id": self._id(),
            "product": self.product,
            "at": self.at,
            "variant": variant,
            "version": self.versions.get(variant, 0),
            "assigned": assigned,
            "rollout": self.rollout,
            "step": self.step,
            "user": user,
            "estimate": 100.0,
            "ms": ms,
        }
        self._waiting.append((_PREDICTION, row | other))
        self.at += timedelta(seconds=1)
        return UUID(str(row["id"]))

    def feedback(self, prediction: UUID, type: str, value: float | None = None, at: datetime | None = None) -> None:
        """Feedback on a prediction."""
        row = {"id": self._id(), "prediction": prediction, "type": type, "value": value, "at": at or self.at}
        self._waiting.append((_FEEDBACK, row))

    def rate(self, assigned: str, user: str | None, value: float, **other: Any) -> UUID:
        """A prediction and its rating; the prediction's id."""
        prediction = self.predict(assigned, user, **other)
        self.feedback(prediction, "rating", value)
        return prediction

    def fail(self, assigned: str) -> None:
        """A request that nobody answered."""
        row = {"id": str(self._id()), "product": self.product, "assigned": assigned, "at": self.at}
        self._waiting.append((_FAILURE, row | {"rollout": self.rollout, "step": self.step}))

    def ship(self) -> int:
        """Write what waits as one batch, with its counts; the batch's number."""
        with self.database.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('mlops.prediction_log'))"))
            batch = int(connection.execute(text("SELECT nextval('mlops.batch')")).scalar_one())
            for statement, row in self._waiting:
                connection.execute(text(statement), row | {"batch": batch})
            count_batch(connection, batch)
        self._waiting.clear()
        return batch

    def _id(self) -> UUID:
        """A UUID version 7 of the time `at`; each of a higher number than the one before."""
        head = int(self.at.timestamp() * 1000) << 80
        return UUID(int=head | 0x7 << 76 | 0x2 << 62 | next(_NUMBERS))
