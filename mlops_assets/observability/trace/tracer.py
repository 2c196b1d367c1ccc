"""Where a served answer came from: the one read behind `mlops trace`, the API and the page.

Everything comes from our own database and files, so it works while MLflow and Dagster are down. Add here how facts are
put together. Keep out reads (`records`, `files`) and how a trace is shown. An id that nobody was given is told from one
whose answer is gone by the proof it carries, not by searching.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from inference.keys import KeyFileError, read_key
from inference.prediction_id import PredictionIds, seconds_of
from mlops_assets.observability.trace import files, records
from mlops_assets.observability.trace.facts import Answer, AnswerTrace, FeedbackGiven, KeptIn
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError

KEY_FILE = "key"
LONGEST_ID = 100
# A line of a service's journal is in the database within seconds; a little more, and something is wrong.
SHIPPED_WITHIN = timedelta(minutes=2)


class TraceError(RuntimeError):
    """There is no trace of this id; the message says why."""


class BadIdError(TraceError):
    """The id can't be that of a prediction."""


class Tracer:
    """Traces answers of one installation; `secrets` is its folder of keys."""

    def __init__(self, database: Database, storage: Storage, secrets: Path) -> None:
        self._database = database
        self._storage = storage
        self._key_file = secrets / KEY_FILE

    def trace(self, text: str, now: datetime | None = None) -> AnswerTrace:
        """The trace of a prediction's id.

        Raises:
            BadIdError: it isn't the form of an id.
            TraceError: nobody was given this id, or its answer is neither in the log nor in the hourly files.
        """
        now = now or datetime.now(UTC)
        identifier = identifier_of(text)
        missing: list[str] = []
        found = records.answer(self._database, identifier)
        if found is None:
            found = self._of_file(identifier, now)
        if found.trace_id is None:
            missing.append("the trace id: the service that answered did not keep one yet")
        feedback = self._feedback(found, identifier, missing)
        return self._behind(found, feedback, missing, now)

    def _behind(
        self, answer: Answer, feedback: tuple[FeedbackGiven, ...], missing: list[str], now: datetime
    ) -> AnswerTrace:
        product, version, day = answer.product, answer.version, answer.at.date()
        release, data = records.release(self._database, product, version)
        if release is None:
            missing.append(f"the release: the database has no published release {version} of {product}")
        elif data is None:
            missing.append(f"the data version: release {version} doesn't name it")
        standing = records.standing(self._database, product, version, answer.at)
        if standing is None:
            missing.append(f"the rollout: no decision about {product} is as old as the answer")
        drift = records.drift(self._database, product, day)
        if drift is None:
            over = day < now.astimezone(UTC).date()
            why = "no comparison of that day is kept" if over else "a day is compared with the training rows once over"
            missing.append(f"the drift of {day}: {why}")
        return AnswerTrace(answer, release, data, standing, drift, feedback, tuple(missing))

    def _feedback(self, answer: Answer, identifier: UUID, missing: list[str]) -> tuple[FeedbackGiven, ...]:
        found = records.feedback(self._database, identifier)
        if answer.kept_in is KeptIn.DATABASE:
            return found
        hour = answer.at.replace(minute=0, second=0, microsecond=0)
        first = files.feedback(self._storage, answer.product, hour, answer.id)
        missing.append("feedback that came after the hour of the answer and left the database since: not looked for")
        known = {(one.type, one.at) for one in found}
        return tuple(one for one in first if (one.type, one.at) not in known) + found

    def _of_file(self, identifier: UUID, now: datetime) -> Answer:
        """The answer in the file of its hour. Raises TraceError."""
        product = self._product_of(str(identifier))
        if product is None:
            raise TraceError(f"no prediction of this installation has the id {identifier}")
        made = datetime.fromtimestamp(seconds_of(str(identifier)), UTC)
        told = f"prediction {identifier} of {product} was made at {made:%Y-%m-%d %H:%M:%S} UTC"
        if now - made < SHIPPED_WITHIN:
            raise TraceError(f"{told} and is not in the log yet; ask again in a few seconds")
        for hour in files.hours_of(made):
            if not records.exported(self._database, product, hour):
                continue
            try:
                found = files.answer(self._storage, product, hour, str(identifier))
            except StorageError as error:
                raise TraceError(f"{told}; the hourly file of the log can't be read: {error}") from error
            if found is not None:
                return found
        raise TraceError(
            f"{told}, and is neither in the log nor in the file of its hour; lines that wait or were refused are in "
            "the folder `journal` of the installation"
        )

    def _product_of(self, identifier: str) -> str | None:
        """The product that an id was made for; None if it carries no proof of any."""
        try:
            key = read_key(self._key_file)
        except KeyFileError:
            raise TraceError(
                f"prediction {identifier} is not in the log; the installation's key can't be read, so nobody can tell "
                "whether anybody was given this id"
            ) from None
        for product in records.products(self._database):
            if PredictionIds(key, product).issued(identifier):
                return product
        return None


def identifier_of(text: str) -> UUID:
    """The id in a text, however it is written. Raises BadIdError."""
    if len(text) > LONGEST_ID:
        raise BadIdError(f"prediction_id: {len(text)} characters; an id has 36")
    try:
        found = UUID(text.strip())
    except ValueError:
        raise BadIdError(f"prediction_id: {text.strip()!r} is no UUID; give the prediction_id of an answer") from None
    if found.version != 7:
        raise BadIdError(f"prediction_id: {found} is no UUID of version 7, as the ids of predictions are")
    return found
