"""A log that lines are shipped into as a service writes them, without the service, and the tracer that reads it.

Add here what more than one file of tests of traces needs. Keep out assertions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.prediction_id import PredictionIds
from inference.ship_rows import OPTIONS, LogDatabase
from inference.timed_connection import TimedConnection
from mlops_assets.api.app import create_app
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.drift import store
from mlops_assets.drift.facts import Status, Verdict
from mlops_assets.observability.trace.tracer import Tracer
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.integration.pipeline_pages.played_platform import TOKEN
from tests.integration.serving_thread import served
from tests.integration.trace.world import KEY, publish
from tests.journal_lines import encoded, feedback, prediction
from tests.unit.inference.tiny_release import PRODUCT

MARKUP = "<img src=x onerror=\"document.title='owned'\"> too dear"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass
class Desk:
    """A log with a tracer, and the ids that a service would give."""

    database: Database
    storage: Storage
    tracer: Tracer
    ids: PredictionIds
    ship: Callable[..., None]

    def answer(self, **changes: Any) -> str:
        """One shipped answer of release 1; its id."""
        given = {
            "id": self.ids.new(),
            "product": PRODUCT,
            "version": 1,
            "trace_id": TRACE,
            "rollout": None,
            "step": None,
        }
        record = prediction(**given | changes)
        self.ship(record)
        return str(record["id"])


@contextmanager
def open_desk(database: Database, postgres_url: str, tmp_path: Path) -> Iterator[Desk]:
    """With release 1 of the tiny product as production; the keys are in `secrets` of the folder."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text(KEY)
    storage = Storage(str(tmp_path / "storage"))
    log = LogDatabase(TimedConnection(postgres_url, name="test", options=OPTIONS))
    publish(database, tmp_path, 1)
    ids = PredictionIds(bytes.fromhex(KEY), PRODUCT)
    yield Desk(
        database, storage, Tracer(database, storage, tmp_path / "secrets"), ids,
        lambda *records: log.ship(encoded(*records)) and None,
    )  # fmt: skip
    log.close()


def made_at(desk: Desk, moment: datetime) -> str:
    """An id as the service would have made it at another time."""
    head = bytearray(bytes.fromhex(desk.ids.new().replace("-", ""))[:12])
    head[:6] = int(moment.timestamp() * 1000).to_bytes(6, "big")
    text = bytes(head).hex() + desk.ids._mac(bytes(head))
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def old_line(identifier: str, moment: datetime, **changes: Any) -> dict[str, Any]:
    """A line as services wrote it before there were traces."""
    line = prediction(id=identifier, product=PRODUCT, at=moment.timestamp(), version=1, rollout=None, step=None)
    assert "trace_id" not in line
    return line | changes


def candidates_answer(desk: Desk, tmp_path: Path) -> str:
    """An answer by a candidate on a day that drifted, with feedback that tries to be markup."""
    publish(desk.database, tmp_path, 2)
    Ledger(desk.database).begin(PRODUCT, (0.2, 0.5), actor="ada", reason="loaded")
    identifier = desk.answer(version=2, variant="candidate", assigned="candidate", rollout=1, step=0, user="ab" * 16)
    desk.ship(feedback(identifier, product=PRODUCT, type="rating", value=2))
    desk.ship(feedback(identifier, product=PRODUCT, type="comment", value=None, text=MARKUP))
    today = datetime.now(UTC).date()
    store.save(desk.database, Verdict(PRODUCT, today, 1, Status.DRIFTED, 9, 9, 9, reasons=("areas rose by a quarter",)))
    return identifier


@contextmanager
def traced(database: Database, home: Path) -> Iterator[tuple[str, str]]:
    """The address of a console, and the id of an answer that it can trace; the operators' token is `TOKEN`."""
    with open_desk(database, database.engine.url.render_as_string(hide_password=False), home) as desk:
        identifier = candidates_answer(desk, home)
        app = create_app(Settings(home=home), database, token=TOKEN, subjects=[Subject(PRODUCT, "Tiny homes")])
        with served(app) as url:
            yield url, identifier
