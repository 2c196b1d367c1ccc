"""A control API in front of a real ledger whose rollout was looked at several times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from mlops_assets.api.app import create_app
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.rollout.facts import Arm, Decision, Effect, Evidence, Guardrail, SampleRatio
from mlops_assets.rollout.ledger import Ledger, State
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, DatasetVersion
from tests.integration.serving_thread import served

PRODUCT = "house_prices"
EMPTY = "loans"
TOKEN = "operators-token-of-a-test"
POLICY = RolloutPolicy(steps=(0.05, 0.2, 0.5), margin=0.01)


def evidence(look: int) -> Evidence:
    """What the `look`-th look saw: the first two without a difference, later ones ever more certain."""
    raters = 20 * (look + 1)
    production = Arm(requests=800 * raters, errors=2, slow=40 * raters, units=90 * raters, ratings=raters,
                     raters=raters, mean_rating=3.9, mean_ms=3.2)  # fmt: skip
    candidate = Arm(requests=200 * raters, errors=1, slow=9 * raters, units=22 * raters, ratings=raters // 4,
                    raters=raters // 4, mean_rating=4.1, mean_ms=3.4)  # fmt: skip
    effect = Effect(theta=0.2, se=0.1, half=1.2 / (look + 1), raters=raters, production_mean=3.9) if look > 1 else None
    guardrails = (Guardrail("errors", 0.7, 1000, 2, 1, 30.0), Guardrail("slow", 60.0, 1000, 40, 9, 500.0))
    ratio = SampleRatio(0.6, 0.2, 90 * raters, 22 * raters)
    return Evidence(
        hours=float(look), step_hours=float(look), production=production, candidate=candidate, effect=effect,
        guardrails=guardrails, sample_ratio=ratio, slow_ms=5.1,
    )  # fmt: skip


@dataclass(frozen=True)
class Looked:
    """The API at `url`, and the ledger behind it."""

    url: str
    ledger: Ledger
    database: Database

    def client(self, token: str | None = TOKEN) -> httpx.Client:
        """A client with the operators' token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)

    @property
    def state(self) -> State:
        return self.ledger.state(PRODUCT)

    def look(self, number: int, verdict: str = "continue") -> State:
        """One more recorded look."""
        decision = Decision(verdict, (f"Look {number} came to {verdict}.", "There are few raters."))
        seq = self.state.seq
        return self.ledger.look(PRODUCT, decision, evidence(number), POLICY, actor="platform", expected_seq=seq)


def publish_two(database: Database, ledger: Ledger) -> None:
    """Production 1 and candidate 2, trained on one version of the data."""
    with database.session() as session, session.begin():
        session.add(
            DatasetVersion(product=PRODUCT, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
        )
    for number in (1, 2):
        ledger.reserve(PRODUCT, f"run-{number}", 1)
        manifest = {"metrics": {"mae": 13.0 - number, "r2": 0.8}, "dataset": {"sample": number == 2}}
        ledger.publish(PRODUCT, number, f"/releases/{number}", manifest, actor="training")


def begin(ledger: Ledger) -> None:
    """Give the candidate its first users."""
    ledger.begin(PRODUCT, POLICY.steps, actor="platform", reason="release 2 is loaded beside production")


@contextmanager
def looked(database: Database, home: Path, looks: int = 6, token: str = TOKEN) -> Iterator[Looked]:
    """Production 1, candidate 2 at 20 % after a step, `looks` looks, served; another product without a release."""
    ledger = Ledger(database)
    publish_two(database, ledger)
    if looks:
        begin(ledger)
    subjects = [Subject(PRODUCT, "House prices", POLICY, ("mae",)), Subject(EMPTY, "Loans")]
    app = create_app(Settings(home=home), database, token=token, subjects=subjects, ledger=ledger)
    with served(app) as url:
        found = Looked(url, ledger, database)
        for number in range(looks):
            found.look(number, "advance" if number == 3 else "continue")
        yield found
