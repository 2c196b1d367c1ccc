"""What the asset of a stage does: hand the stage to the sandbox, keep what it left, tell Dagster how it went.

Add here what every attempt of every stage needs. Keep out how a stage is isolated (`sandbox`), where its files go
(`artifacts`) and what is kept of an attempt (`stage_facts`).
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.interrupts import capture_interrupts, check_captured_interrupt

from mlops_assets.pipelines import artifacts, naming
from mlops_assets.pipelines.artifacts import Attempt
from mlops_assets.pipelines.functions import FunctionError, located
from mlops_assets.pipelines.parameters import bind
from mlops_assets.pipelines.problem import ProblemError
from mlops_assets.pipelines.run_parents import with_parents
from mlops_assets.pipelines.spec import PipelineSpec, StageSpec
from mlops_assets.pipelines.stage_facts import ENTRY, StageFacts
from mlops_assets.pipelines.stage_folders import StageFolder, StageFolders
from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.pipelines.stage_metadata import outcome_metadata
from mlops_assets.runs import usage
from mlops_assets.sandbox.log_lines import LogLine
from mlops_assets.sandbox.order import Limits, StageOrder, StageOutcome, StoredValue
from mlops_assets.sandbox.run import run_stage
from mlops_assets.sandbox.start import Descriptors, Starter
from mlops_assets.sandbox.warm import Warm
from mlops_assets.settings import Settings, load
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage

if TYPE_CHECKING:
    from mlops_assets.storage.pipeline_tables import Artifact

# How an attempt ends that would end so again.
LASTING = ("unstorable",)
LONGEST_WAIT_SECONDS = 3600.0


@dataclass(frozen=True)
class Platform:
    """The installation as a stage's run sees it."""

    settings: Settings
    database: Database
    storage: Storage
    logs: StageLogs

    @classmethod
    def of_process(cls) -> Platform:
        """Of this process's settings, opened once."""
        global _platform
        if _platform is None:
            settings = load()
            _platform = cls(
                settings, Database.connect(settings.database), Storage(settings.storage), StageLogs(settings.stage_logs)
            )
        return _platform


_platform: Platform | None = None


@dataclass(frozen=True)
class StageBody:
    """One stage of one version; called by Dagster in the process of a run."""

    pipeline_id: UUID
    version: int
    spec: PipelineSpec
    stage: StageSpec

    def __call__(self, context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        """Run one attempt. Raises dg.Failure with the attempt's facts, DagsterExecutionInterruptedError."""
        platform = Platform.of_process()
        number = context.retry_number + 1
        # Asked for at moments that suit us: an exception out of nowhere would leave processes and folders behind.
        with capture_interrupts():
            done = _Try(self, context, platform, number)
            with done.folder() as folder:
                outcome = done.run(folder)
                kept = artifacts.keep(platform.database, platform.storage, done.attempt, outcome)
            # Whoever asked a moment too late for the stage is heard too: at the end of the block it is forgotten.
            interrupted = check_captured_interrupt()
        facts = StageFacts.of(outcome, number)
        metadata = {ENTRY: dg.MetadataValue.json(facts.as_json()), **outcome_metadata(platform.settings, facts, kept)}
        if interrupted or outcome.status == "cancelled":
            raise DagsterExecutionInterruptedError
        if outcome.error is not None:
            failure = dg.Failure(f"{outcome.error.type}: {outcome.error.message}", metadata=metadata)
            if outcome.status in LASTING or context.retry_number >= self.stage.retry_count:
                raise failure
            # Not by Dagster's retry policy, which would also retry a stage that somebody has cancelled.
            wait = wait_seconds(self.stage.retry_delay, number, context.run.run_id)
            raise dg.RetryRequested(self.stage.retry_count, seconds_to_wait=wait) from failure
        digest = outcome.result.sha256 if outcome.result else ""
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(digest))


class _Try:
    """One attempt of a stage: what it is given, and its run."""

    def __init__(self, body: StageBody, context: dg.AssetExecutionContext, platform: Platform, number: int) -> None:
        self._context, self._platform = context, platform
        self._spec, self._stage = body.spec, body.stage
        self.attempt = Attempt(
            pipeline_id=body.pipeline_id,
            pipeline_version=body.version,
            run_id=context.run.run_id,
            stage=body.stage.name,
            stage_type=self._stage.stage_type,
            number=number,
        )

    def folder(self) -> AbstractContextManager[StageFolder]:
        """The attempt's working folder, removed at the end."""
        attempt = self.attempt
        name = f"{attempt.run_id}.{attempt.stage}.{attempt.number}"
        return StageFolders(self._platform.settings.stage_folders).taken(name)

    def run(self, folder: StageFolder) -> StageOutcome:
        """The attempt in the sandbox. What can't be ordered is an attempt that failed."""
        attempt = self.attempt
        with self._platform.logs.writer(attempt.run_id, attempt.stage, attempt.number) as write:

            def heard(lines: Sequence[LogLine]) -> None:
                write(lines)
                _mirror(attempt.stage, lines)

            starter = _Noted(Warm(self._platform.settings.stages_socket))
            outcome = run_stage(self._order(folder), heard=heard, cancelled=check_captured_interrupt, starter=starter)
            usage.add_elsewhere(_used(outcome, below_us=starter.child is not None))
            return outcome

    def _order(self, folder: StageFolder) -> StageOrder:
        stage, settings = self._stage, self._platform.settings
        if stage.network and not settings.stage_network:
            raise _refused("network", "this installation doesn't let stages use the network (MLOPS_STAGE_NETWORK)")
        try:
            code = located(stage, settings)
            parameters = bind(self._spec, self._context.resources.parameters or {})
        except (FunctionError, ProblemError) as error:
            raise _refused(type(error).__name__, str(error)) from error
        return StageOrder(
            stage=stage.name,
            folder=folder.work,
            source=code.source,
            function=code.function,
            code_folder=code.code_folder,
            arguments=self._arguments(folder.given),
            parameters={**parameters, **stage.parameters},
            config={**self._spec.config, **stage.config},
            facts=self._facts(),
            environment=stage.environment,
            limits=Limits(
                memory_mb=stage.limits.memory_mb,
                cpu_seconds=stage.limits.cpu_seconds,
                wall_seconds=stage.timeout_seconds,
                output_mb=stage.limits.output_mb,
            ),
            network=stage.network,
        )

    def _arguments(self, fetched: Path) -> Mapping[str, StoredValue]:
        """The results of the stages before: of this run or the ones it takes up, else the newest there is."""
        runs = with_parents(self._context.instance, self._context.run)
        found: dict[str, StoredValue] = {}
        for name in self._stage.dependencies:
            kept = self._result(runs, name)
            if kept is None or (kept.uri is None and kept.format != "none"):
                raise _refused("MissingResult", f"there is no result of stage {name!r} to go on with: run it first")
            found[name] = artifacts.as_value(self._platform.storage, kept, fetched)
        return found

    def _result(self, runs: Sequence[str], stage: str) -> Artifact | None:
        database = self._platform.database
        found = artifacts.result_of(database, runs, stage)
        return found or artifacts.newest_result(database, self.attempt.pipeline_id, stage)

    def _facts(self) -> dict[str, Any]:
        tags = self._context.run.tags
        return {
            "run_id": self.attempt.run_id,
            "pipeline": self._spec.name,
            "pipeline_version": self.attempt.pipeline_version,
            "attempt": self.attempt.number,
            "trigger": tags.get(naming.TRIGGER_TAG, "MANUAL"),
            "triggered_by": tags.get(naming.WHO_TAG, "dagster"),
            "environment": tags.get(naming.ENVIRONMENT_TAG),
            "notes": tags.get(naming.NOTES_TAG, ""),
            "tags": {
                key: value for key, value in tags.items() if not key.startswith(("dagster/", ".dagster/", "mlops/"))
            },
        }


class _Noted:
    """A starter that remembers whether the stage became a child of this process."""

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self.child: subprocess.Popen[bytes] | None = None

    def start(self, descriptors: Descriptors, order: StageOrder) -> tuple[int, subprocess.Popen[bytes] | None]:
        """As the starter does."""
        process, self.child = self._starter.start(descriptors, order)
        return process, self.child


def _used(outcome: StageOutcome, *, below_us: bool) -> usage.Used:
    """What the stage's own processes used. Below this one, all but their peak is measured with this process's own."""
    if below_us:
        return usage.Used(0.0, 0.0, outcome.peak_memory_bytes, None, None)
    return usage.Used(
        outcome.wall_seconds,
        outcome.cpu_seconds,
        outcome.peak_memory_bytes,
        outcome.bytes_read,
        outcome.bytes_written,
    )


def wait_seconds(delay: float, attempt: int, run_id: str) -> float:
    """How long to wait after this attempt: the delay, doubled for each further one, an hour at most.

    A tenth more or less, drawn from the run's id, so that runs that failed together don't come back together.
    """
    jitter = random.Random(f"{run_id}.{attempt}").uniform(-0.1, 0.1)  # noqa: S311
    return min(delay * 2.0 ** (attempt - 1), LONGEST_WAIT_SECONDS) * (1 + jitter)


def _refused(kind: str, message: str) -> dg.Failure:
    return dg.Failure(f"{kind}: {message}", allow_retries=False)


def _mirror(stage: str, lines: Sequence[LogLine]) -> None:
    """The same lines where Dagster's own pages look for them."""
    for line in lines:
        sys.stdout.write(f"[{stage}] {line.level}: {line.text}\n")
    sys.stdout.flush()
