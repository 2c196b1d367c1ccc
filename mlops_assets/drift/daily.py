"""One day of a product compared, kept and acted on: the steps in order.

Each step may be repeated after a kill; a day that is compared again replaces what was kept of it. Add a step here.
Keep out what each one does (`days`, `judge`, `report`, `store`, `effects`) and Dagster (`assets`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from mlops_assets.drift.facts import Monitored, Status, Verdict
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.sample import Sample
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage

REPORT_FILE, VERDICT_FILE = "report.html", "verdict.json"


class NothingServedError(RuntimeError):
    """The product had no release on that day."""


@dataclass(frozen=True)
class Watched:
    """A product that is watched for drift. `monitored` is asked for when needed: it imports the product's code.

    `learns_from_labels`: its training takes actual values of live use as further rows.
    """

    name: str
    title: str
    owner: str
    policy: DriftPolicy
    monitored: Callable[[], tuple[Monitored, ...]]
    learns_from_labels: bool = False


@dataclass(frozen=True)
class Compared:
    """A day's verdict, the one against the candidate's own reference if there is a candidate, and the files."""

    verdict: Verdict
    candidate: Verdict | None
    report_uri: str | None
    verdict_uri: str
    block: str | None


def compare(watched: Watched, day: date, database: Database, storage: Storage, run_id: str | None) -> Compared:
    """Compare a UTC day with the reference of the release that was production at its end, and keep what came out.

    Raises NothingServedError, NotExportedError, DamagedReferenceError or StorageError.
    """
    from mlops_assets.drift import effects, report, store

    ledger = Ledger(database)
    release = _served(ledger, watched.name, day)
    monitored = watched.monitored()
    verdict, reference, current = against(watched, day, release, monitored, database, storage)
    candidate = ledger.state(watched.name).candidate
    beside = None
    if candidate is not None and candidate != release:
        beside, _, _ = against(watched, day, candidate, monitored, database, storage)
    folder = storage.at(watched.name, "drift", f"date={day.isoformat()}")
    report_uri = None
    if reference is not None and verdict.current_rows:
        page = report.render(verdict, reference, current, monitored, watched.policy, watched.title)
        folder.write_bytes(REPORT_FILE, page)
        report_uri = folder.locate(REPORT_FILE)
    folder.write_json(VERDICT_FILE, verdict.to_json())
    store.save(database, verdict, candidate=beside, report_uri=report_uri, run_id=run_id)
    for old in store.forget_reports(database, watched.name, watched.policy.keep_reports):
        storage.at(watched.name, "drift", f"date={old.isoformat()}").remove(REPORT_FILE)
    state = effects.settle(ledger, database, watched.name, watched.policy)
    return Compared(verdict, beside, report_uri, folder.locate(VERDICT_FILE), state.drift_block)


def against(
    watched: Watched, day: date, release: int, monitored: tuple[Monitored, ...], database: Database, storage: Storage
) -> tuple[Verdict, Sample | None, Sample]:
    """A day's verdict against the reference of one release, with both samples; without a reference it says so."""
    from mlops_assets.drift import days, judge, references

    current = days.read_day(database, storage, watched.name, day, monitored, release, watched.policy)
    try:
        reference = references.load(storage, watched.name, release)
    except references.MissingReferenceError as error:
        missing = Verdict(
            product=watched.name,
            day=day,
            release=release,
            status=Status.NO_REFERENCE,
            reference_rows=0,
            current_rows=len(current.rows),
            logged_rows=current.logged_rows,
            reasons=(str(error),),
        )
        return missing, None, current
    return judge.judge(watched.name, day, release, reference, current, monitored, watched.policy), reference, current


def compare_now(watched: Watched, hours: float, database: Database, storage: Storage) -> Verdict:
    """The last hours against production's reference, straight from the log; nothing is kept and nothing follows.

    Raises NothingServedError, MissingReferenceError.
    """
    from mlops_assets.drift import judge, recent, references

    release = Ledger(database).state(watched.name).production
    if release is None:
        raise NothingServedError(f"{watched.name} serves nothing yet")
    monitored = watched.monitored()
    reference = references.load(storage, watched.name, release)
    current = recent.read_recent(database, watched.name, hours, monitored, release, watched.policy)
    today = datetime.now(UTC).date()
    return judge.judge(watched.name, today, release, reference, current, monitored, watched.policy)


def _served(ledger: Ledger, product: str, day: date) -> int:
    """Production at the end of a day; for days before the first release (a log brought from elsewhere) the first."""
    end = datetime.combine(day + timedelta(days=1), time(), UTC)
    state = ledger.state_at(product, end)
    release = state.production
    if release is None:
        release = ledger.state(product).production
    if release is None:
        raise NothingServedError(f"{product} had no release on {day}")
    return release
