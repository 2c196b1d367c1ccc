"""A rollout on a real ledger with a log to fill: production 1, candidate 2, a fifth of the users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from mlops_assets.rollout.evidence import read_evidence
from mlops_assets.rollout.facts import Evidence
from mlops_assets.rollout.ledger import Ledger, State
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.storage.database import Database, DatasetVersion
from tests.made_log import MadeLog

PRODUCT = "house_prices"
POLICY = RolloutPolicy()


@dataclass(frozen=True)
class Rollout:
    """One product's rollout under way."""

    database: Database
    ledger: Ledger
    log: MadeLog
    product: str
    began: datetime

    @property
    def state(self) -> State:
        return self.ledger.state(self.product)

    @property
    def now(self) -> datetime:
        """Thirty hours after the candidate's first users."""
        return self.began + timedelta(hours=30)

    def evidence(
        self,
        policy: RolloutPolicy = POLICY,
        watermark: int | None = None,
        slow_ms: float | None = None,
        now: datetime | None = None,
    ) -> Evidence:
        return read_evidence(
            self.database,
            self.state,
            policy,
            now or self.now,
            slow_ms=slow_ms,
            candidate_problem=None,
            watermark=watermark,
        )

    def rate_both(self, raters: int, production: float, candidate: float) -> list[UUID]:
        """`raters` users of the candidate and four times as many of production, rating half a star about these means.

        The candidate's answers.
        """
        answers = []
        for n in range(raters):
            about = 0.5 if n % 2 else -0.5
            for quarter in range(4):
                self.log.rate("production", f"p{n}-{quarter}", production + about)
            answers.append(self.log.rate("candidate", f"c{n}", candidate + about))
        return answers


def begun(database: Database, product: str = PRODUCT, policy: RolloutPolicy = POLICY) -> Rollout:
    """Two releases, the second of which has its first users."""
    ledger = Ledger(database)
    with database.session() as session, session.begin():
        session.add(
            DatasetVersion(product=product, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
        )
    for run in ("first", "second"):
        version = ledger.reserve(product, run, dataset_version=1)
        ledger.publish(product, version, f"/releases/{version}", {}, actor="test")
    state = ledger.begin(product, policy.steps, actor="test", reason="loaded")
    assert state.started_at is not None
    assert state.rollout is not None
    versions = {"production": 1, "candidate": 2}
    log = MadeLog(database, product, state.rollout, versions, state.started_at, state.step)
    return Rollout(database, ledger, log, product, state.started_at)
