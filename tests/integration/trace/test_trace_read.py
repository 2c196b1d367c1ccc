"""What is found behind an answer, what is said of what isn't there, and ids that nobody was given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from inference.prediction_id import PredictionIds, seconds_of, uuid7
from inference.timed_connection import DatabaseDownError
from mlops_assets.drift import store
from mlops_assets.drift.facts import Status, Verdict
from mlops_assets.observability.trace.facts import KeptIn, Role
from mlops_assets.observability.trace.tracer import TraceError
from mlops_assets.prediction_log.exporting import export_hour
from mlops_assets.prediction_log.retention import remove_old
from mlops_assets.rollout.ledger import Ledger
from tests.integration.shipped_log import rows
from tests.integration.trace.desk import TRACE, Desk, made_at, old_line
from tests.integration.trace.world import SHA, publish
from tests.journal_lines import feedback
from tests.unit.inference.tiny_release import PRODUCT


def test_the_whole_chain_behind_an_answer(desk: Desk) -> None:
    identifier = desk.answer()
    desk.ship(feedback(identifier, product=PRODUCT, type="rating", value=4, text="good"))
    day = datetime.now(UTC).date()
    verdict = Verdict(PRODUCT, day, 1, Status.DRIFTED, 100, 90, 90, reasons=("sizes rose",))
    store.save(desk.database, verdict)
    trace = desk.tracer.trace(identifier)
    assert (trace.answer.id, trace.answer.trace_id, trace.answer.kept_in) == (identifier, TRACE, KeptIn.DATABASE)
    assert trace.answer.output["price"] == 55.25
    assert trace.release is not None
    assert (trace.release.version, trace.release.labels, trace.release.model_version) == (1, ("BO1",), "11")
    assert (trace.release.mlflow_run_id, trace.release.dagster_run_id) == ("mlflow-1", "dagster-1")
    assert (trace.release.code_version, trace.release.model_sha256) == ("c0de", "cd" * 32)
    assert trace.data is not None
    assert (trace.data.version, trace.data.sha256, trace.data.rows, trace.data.source) == (4, SHA, 1234, "homes.csv")
    assert trace.standing is not None
    assert (trace.standing.role, trace.standing.role_now) == (Role.PRODUCTION, Role.PRODUCTION)
    assert trace.standing.came_by is not None
    assert trace.standing.came_by.event == "first_release"
    assert trace.drift is not None
    assert (trace.drift.status, trace.drift.reasons) == ("drifted", ("sizes rose",))
    assert [(one.type, one.value, one.text) for one in trace.feedback] == [("rating", 4.0, "good")]
    assert trace.missing == ()


def test_roles_are_those_of_the_moment(desk: Desk, tmp_path: Path) -> None:
    ledger = Ledger(desk.database)
    publish(desk.database, tmp_path, 2)
    ledger.begin(PRODUCT, (0.2, 0.5), actor="ada", reason="go")
    by_candidate = desk.answer(version=2, variant="candidate", assigned="candidate", rollout=1, step=0)
    by_production = desk.answer()
    stood_in = desk.answer(variant="production", assigned="candidate", rollout=1, step=0)
    ledger.promote(PRODUCT, "ada", "looks good")
    later = desk.answer(version=2)

    trace = desk.tracer.trace(by_candidate)
    assert trace.standing is not None
    assert (trace.standing.phase, trace.standing.candidate_share, trace.standing.step) == ("ramp", 0.2, 0)
    assert (trace.standing.role, trace.standing.role_now) == (Role.CANDIDATE, Role.PRODUCTION)
    assert trace.standing.came_by is not None
    assert trace.standing.came_by.event == "candidate"
    assert trace.release is not None
    assert trace.release.labels == ("CO1", "BO2")

    trace = desk.tracer.trace(by_production)
    assert trace.standing is not None
    assert (trace.standing.role, trace.standing.role_now) == (Role.PRODUCTION, Role.PREVIOUS)
    assert not trace.answer.stood_in
    assert desk.tracer.trace(stood_in).answer.stood_in

    trace = desk.tracer.trace(later)
    assert trace.standing is not None
    assert (trace.standing.phase, trace.standing.role) == ("promoting", Role.PRODUCTION)
    assert trace.standing.came_by is not None
    assert (trace.standing.came_by.actor, trace.standing.came_by.reason) == ("ada", "looks good")


def test_what_is_not_known_is_said_and_not_guessed(desk: Desk) -> None:
    before = datetime.now(UTC) - timedelta(days=3)
    identifier = made_at(desk, before)
    desk.ship(old_line(identifier, before, version=7))
    trace = desk.tracer.trace(identifier)
    assert (trace.release, trace.data, trace.standing, trace.drift, trace.feedback) == (None, None, None, None, ())
    assert trace.answer.trace_id is None
    told = "\n".join(trace.missing)
    for part in ("the trace id", "no published release 7", "no decision", "no comparison of that day is kept"):
        assert part in told


def test_a_day_that_is_not_over_is_not_missed(desk: Desk) -> None:
    assert "once over" in "\n".join(desk.tracer.trace(desk.answer()).missing)


def test_an_answer_that_left_the_database_is_found_in_the_file_of_its_hour(desk: Desk) -> None:
    moment = (datetime.now(UTC) - timedelta(days=40)).replace(minute=30, second=0, microsecond=0)
    old, new = made_at(desk, moment), made_at(desk, moment + timedelta(minutes=5))
    desk.ship(old_line(old, moment), old_line(new, moment + timedelta(minutes=5), trace_id=TRACE, sample=True))
    given = (moment + timedelta(minutes=9)).timestamp()
    desk.ship(feedback(new, product=PRODUCT, at=given, type="comment", value=None, text="ok"))
    before = desk.tracer.trace(new)
    export_hour(desk.database, desk.storage, PRODUCT, moment.replace(minute=0))
    assert remove_old(desk.database, PRODUCT, 30, datetime.now(UTC)).predictions == 2
    after = desk.tracer.trace(new)
    assert after.answer.kept_in is KeptIn.HOURLY_FILE
    same = vars(before.answer) | {"kept_in": KeptIn.HOURLY_FILE}
    assert vars(after.answer) == same
    assert after.feedback == before.feedback
    assert (after.release, after.data, after.drift) == (before.release, before.data, before.drift)
    assert any("feedback" in one for one in after.missing)
    assert desk.tracer.trace(old).answer.trace_id is None

    gone = made_at(desk, moment + timedelta(minutes=1))
    with pytest.raises(TraceError, match="neither in the log nor in the file of its hour"):
        desk.tracer.trace(gone)


def test_an_answer_at_the_end_of_an_hour_may_be_in_the_next_hours_file(desk: Desk) -> None:
    hour = (datetime.now(UTC) - timedelta(days=40)).replace(minute=0, second=0, microsecond=0)
    identifier = made_at(desk, hour - timedelta(seconds=1))
    desk.ship(old_line(identifier, hour + timedelta(seconds=1)))
    export_hour(desk.database, desk.storage, PRODUCT, hour)
    with desk.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM mlops.prediction"))
    assert desk.tracer.trace(identifier).answer.id == identifier


def test_an_hour_file_that_can_not_be_read_is_told(desk: Desk) -> None:
    moment = (datetime.now(UTC) - timedelta(days=40)).replace(minute=30)
    identifier = made_at(desk, moment)
    desk.ship(old_line(identifier, moment))
    done = export_hour(desk.database, desk.storage, PRODUCT, moment.replace(minute=0, second=0, microsecond=0))
    (Path(done.uri) / "predictions.parquet").write_bytes(b"not a file of this kind")
    with desk.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM mlops.prediction"))
    with pytest.raises(TraceError, match="can't be read"):
        desk.tracer.trace(identifier)


def test_a_shipper_that_is_newer_than_the_database_waits_and_rejects_nothing(desk: Desk) -> None:
    with desk.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE mlops.prediction DROP COLUMN trace_id"))
    identifier = desk.ids.new()
    with pytest.raises(DatabaseDownError, match="trace_id"):
        desk.answer(id=identifier)
    with desk.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE mlops.prediction ADD COLUMN trace_id text"))
    desk.answer(id=identifier)
    assert desk.tracer.trace(identifier).answer.trace_id == TRACE


def test_a_forged_id_is_told_from_one_that_is_not_there_yet(desk: Desk) -> None:
    with pytest.raises(TraceError, match="no prediction of this installation has the id"):
        desk.tracer.trace(uuid7())
    of_another = PredictionIds(bytes(range(32)), PRODUCT).new()
    with pytest.raises(TraceError, match="no prediction of this installation has the id"):
        desk.tracer.trace(of_another)
    mine = desk.ids.new()
    with pytest.raises(TraceError, match="not in the log yet"):
        desk.tracer.trace(mine)
    with pytest.raises(TraceError, match="neither in the log"):
        desk.tracer.trace(mine, now=datetime.fromtimestamp(seconds_of(mine), UTC) + timedelta(hours=1))


def test_an_id_may_be_written_in_any_way(desk: Desk) -> None:
    identifier = desk.answer()
    for way in (identifier.upper(), identifier.replace("-", ""), f" {identifier}\n", f"{{{identifier}}}"):
        assert desk.tracer.trace(way).answer.id == identifier


def test_without_the_key_a_logged_answer_is_traced_and_another_is_not_judged(desk: Desk, tmp_path: Path) -> None:
    identifier = desk.answer()
    (tmp_path / "secrets" / "key").unlink()
    assert desk.tracer.trace(identifier).answer.id == identifier
    with pytest.raises(TraceError, match="key can't be read"):
        desk.tracer.trace(desk.ids.new())


def test_one_day_of_the_log_is_looked_at_and_by_its_key(desk: Desk) -> None:
    now = datetime.now(UTC)
    for days in range(5):
        moment = now - timedelta(days=days)
        desk.ship(old_line(made_at(desk, moment), moment))
    identifier = made_at(desk, now - timedelta(days=2))
    plan = "\n".join(
        line
        for (line,) in rows(
            desk.database, "EXPLAIN SELECT * FROM mlops.prediction WHERE id = cast(:id AS uuid)", id=identifier
        )
    )
    assert plan.count("prediction_") == plan.count(f"prediction_{now - timedelta(days=2):%Y%m%d}"), plan


def test_values_are_left_out_for_who_may_not_see_them(desk: Desk) -> None:
    numbers = {"price": 5.5, "unit": "coins", "interval": {"low": 1, "high": 2}, "sample_data": True}
    texts = {"reasons": ["Pune is rare"], "notes": ["Pune?"], "label": "Pune", "inner": {"text": "Pune"}}
    identifier = desk.answer(output=numbers | texts, user="ab" * 16)
    desk.ship(feedback(identifier, product=PRODUCT, type="comment", value=None, text="call me: Pune 7"))
    shown = desk.tracer.trace(identifier).without_values()
    assert shown.answer.output == numbers
    assert (shown.answer.features, shown.answer.user_hash, shown.values) == (None, None, False)
    assert "Pune" not in repr(shown)
    assert [one.type for one in shown.feedback] == ["comment"]
