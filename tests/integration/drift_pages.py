"""A control API in front of a month of stored verdicts: one product that drifted, one that didn't, one not compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx

from mlops_assets.api.app import create_app
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.drift.daily import Watched
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, DatasetVersion
from mlops_assets.storage.files import Storage
from tests.integration.serving_thread import served
from tests.made_verdicts import PRODUCT, keep, month, number, verdict

CALM, NEW = "loans", "rents"
TOKEN = "operators-token-of-a-test"
REPORT = b"""<!doctype html><title>Report</title><p id=said>not drawn<script>
document.getElementById("said").textContent = "drawn";
fetch("/api/v1/drift").then(() => "let out", () => "kept in").then((said) => {
  let cookie; try { cookie = document.cookie } catch { cookie = "no cookie" }
  document.getElementById("said").textContent = `drawn, ${said}, ${cookie}`;
});</script>"""


@dataclass(frozen=True)
class Drifted:
    """The API at `url`; `last` is the newest day that was compared."""

    url: str
    database: Database
    ledger: Ledger
    storage: Storage
    last: date

    def client(self) -> httpx.Client:
        """A client with the operators' token."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)

    def day(self, ago: int) -> str:
        """The day that many days before the newest one."""
        return (self.last - timedelta(ago)).isoformat()


@contextmanager
def drifted(database: Database, home: Path) -> Iterator[Drifted]:
    """Release 2 serves; its newest five days drifted and block promotions; each day has a report and a run."""
    settings = Settings(home=home)
    last = datetime.now(UTC).date() - timedelta(1)
    ledger, storage = Ledger(database), Storage(settings.storage)
    _released(database, ledger, PRODUCT, 2)
    _released(database, ledger, CALM, 1)
    for one in month(last):
        folder = storage.at(PRODUCT, "drift", f"date={one.day}")
        folder.write_bytes("report.html", REPORT)
        keep(database, one, report_uri=folder.locate("report.html"), run_id=f"run-of-{one.day}")
    keep(database, *(verdict(last - timedelta(n), number("income", 5e4, 2e4), product=CALM) for n in range(3)))
    ledger.block(PRODUCT, "balcony drifted on 2 of the last 3 judged days", actor="drift")
    ledger.block(PRODUCT, None, actor="drift")
    ledger.block(PRODUCT, "total_sqft and estimate drifted on 3 of the last 3 judged days", actor="drift")
    titles = {PRODUCT: "House prices", CALM: "Loans", NEW: "Rents"}
    subjects = [Subject(name, title) for name, title in titles.items()]
    watched = [Watched(name, title, "team", DriftPolicy(), monitored=tuple) for name, title in titles.items()]
    app = create_app(settings, database, token=TOKEN, subjects=subjects, ledger=ledger, watched=watched)
    with served(app) as url:
        yield Drifted(url, database, ledger, storage, last)


def _released(database: Database, ledger: Ledger, product: str, version: int) -> None:
    with database.session() as session, session.begin():
        session.add(
            DatasetVersion(product=product, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
        )
    for number_ in range(1, version + 1):
        ledger.reserve(product, f"run-{number_}", 1)
        ledger.publish(product, number_, f"/releases/{number_}", {}, actor="training")
    if version > 1:
        ledger.promote(product, actor="test", reason="better")
