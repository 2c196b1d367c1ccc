"""Accounts of steps that a real executor runs: which rows there are, whose they are; and no run fails for them."""

import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from psycopg2 import OperationalError

from mlops_assets.runs import measured_steps, usage_rows
from mlops_assets.runs.measured_steps import StageName, measured_in_process_executor
from mlops_assets.runs.stages import Stage
from mlops_assets.runs.usage_rows import AttemptRow, UsageRows

STAGE = Stage("homes", "model", 60)


class RememberedRows(UsageRows):
    """Keeps what would be written; with `error`, every write fails instead."""

    written: list[AttemptRow] = []  # noqa: RUF012 emptied before each test
    error: Exception | None = None

    def put(self, row: AttemptRow) -> bool:
        if self.error is not None:
            raise self.error
        self.written.append(row)
        return True


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[AttemptRow]]:
    """What is written."""
    RememberedRows.written.clear()
    monkeypatch.setattr(measured_steps, "UsageRows", RememberedRows)
    return RememberedRows.written


@dg.asset(key=["homes", "model"], op_tags=STAGE.op_tags)
@STAGE
def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """A stage under the house's rules."""
    return dg.MaterializeResult(metadata={"rows": 3, "seconds": 99.0})


@dg.asset(key=["pipelines", "nightly", "load"], retry_policy=dg.RetryPolicy(max_retries=1))
def load(context: dg.AssetExecutionContext) -> None:
    """Fails once."""
    if context.retry_number == 0:
        raise ValueError("not yet")


@dg.asset(key=["platform", "cleaning"])
def cleaning() -> None:
    """Always fails."""
    raise ValueError("broken")


@dg.asset(key=["homes", "stopped"])
def stopped() -> None:
    """Somebody terminates the run."""
    raise DagsterExecutionInterruptedError


@dg.op
def plain() -> None:
    """A step without an asset."""


@dg.job(executor_def=measured_in_process_executor)
def plain_job() -> None:
    """One step without an asset."""
    plain()


def defs() -> dg.Definitions:
    """Every asset, each with a job of its name."""
    assets = [model, load, cleaning, stopped]
    jobs = [dg.define_asset_job(asset.key.path[-1], [asset]) for asset in assets]
    return dg.Definitions(assets=assets, jobs=[*jobs, plain_job], executor=measured_in_process_executor)


def job(name: str) -> dg.JobDefinition:
    """One of them, as a process of a run finds it."""
    return defs().resolve_job_def(name)


def executed(name: str) -> dg.JobExecutionResult:
    """A run of a job with its own executor."""
    with warnings.catch_warnings(), dg.DagsterInstance.ephemeral() as instance:
        warnings.simplefilter("ignore")
        found = dg.build_reconstructable_job(__name__, "job", (name,))
        with dg.execute_job(found, instance, raise_on_error=False) as result:
            return result


def test_a_stage_has_a_row_when_it_begins_and_its_figures_when_it_ends(rows: list[AttemptRow]) -> None:
    result = executed("model")
    began, ended = rows
    assert (began.outcome, began.used, began.ended_at) == (None, None, None)
    assert (ended.kind, ended.product, ended.stage, ended.job) == ("product", "homes", "model", "model")
    assert (ended.run_id, ended.attempt, ended.outcome) == (result.run_id, 1, "SUCCESS")
    assert ended.used is not None
    assert ended.used.peak_memory_bytes > 0
    assert ended.values().keys() == began.values().keys() == set(usage_rows.COLUMNS)


def test_a_materialization_tells_what_was_used_and_the_stages_own_entries_win() -> None:
    (made,) = executed("model").get_asset_materialization_events()
    metadata = made.materialization.metadata
    assert {"cpu_seconds", "peak_memory_mb", "read_mb", "written_mb", "rows"} <= metadata.keys()
    assert metadata["seconds"].value == 99.0


def test_each_try_has_a_row_of_its_own(rows: list[AttemptRow]) -> None:
    assert executed("load").success
    assert [(row.attempt, row.outcome) for row in rows] == [(1, None), (1, "RETRY"), (2, None), (2, "SUCCESS")]
    assert {(row.kind, row.product, row.stage) for row in rows} == {("pipeline", "nightly", "load")}


def test_a_failed_stage_used_something_too(rows: list[AttemptRow]) -> None:
    assert not executed("cleaning").success
    assert (rows[-1].kind, rows[-1].outcome) == ("platform", "FAILURE")
    assert rows[-1].used is not None


def test_a_terminated_run_is_told_from_a_failed_one(rows: list[AttemptRow]) -> None:
    assert not executed("stopped").success
    assert rows[-1].outcome == "CANCELED"


def test_a_step_without_an_asset_is_the_platforms(rows: list[AttemptRow]) -> None:
    assert executed("plain_job").success
    assert (rows[-1].kind, rows[-1].product, rows[-1].stage) == ("platform", "platform", "plain")


def test_no_run_fails_because_accounts_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RememberedRows, "error", RuntimeError("no such thing"))
    assert executed("model").success
    assert executed("load").success


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (["homes", "model"], StageName("product", "homes", "model")),
        (["homes", "by", "month"], StageName("product", "homes", "by/month")),
        (["pipelines", "nightly", "load"], StageName("pipeline", "nightly", "load")),
        (["platform", "self_test"], StageName("platform", "platform", "self_test")),
        (["rows"], StageName("product", "rows", "rows")),
        (["pipelines", "odd"], StageName("product", "pipelines", "odd")),
    ],
)
def test_whose_stage_it_is_follows_from_the_key(key: list[str], name: StageName) -> None:
    assert StageName.of(dg.AssetKey(key), "step") == name


def test_a_database_that_is_away_is_told_once_and_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[None] = []

    def url() -> str:
        asked.append(None)
        return "postgresql+psycopg2://u:hunter2@127.0.0.1:1/none"

    row = AttemptRow("r", "s", 1, "product", "p", "s", "j", datetime(2026, 1, 1, tzinfo=UTC))
    found = usage_rows.UsageRows(url)
    with caplog.at_level(logging.WARNING):
        assert [found.put(row) for _ in range(3)] == [False] * 3
        found.close()
    assert len(caplog.records) == len(asked) == 1
    assert OperationalError.__name__ in caplog.text
    assert "hunter2" not in caplog.text
