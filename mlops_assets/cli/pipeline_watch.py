"""A run while somebody watches: a line for each stage that ends, and below them, on a terminal, what runs right now.

Keep out where events come from (`client.following`) and tables (`pipeline_tables`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mlops_assets.api.pipelines.run_schemas import RunDetail, RunStatus, RunView, StageRunView, StageStatus
from mlops_assets.cli.pipeline_tables import error, plain, printable, size
from mlops_assets.client import Client, RunEvent, StageLine

SIGNS = {
    StageStatus.COMPLETED: ("✓", "green"),
    StageStatus.FAILED: ("✗", "red"),
    StageStatus.CANCELLED: ("■", "yellow"),
    StageStatus.SKIPPED: ("–", "dim"),
}
TRACEBACK_LINES = 15
WAITS = "… waits for its turn"


class Watch:
    """Shows one run. `logs` also shows what its stages log."""

    def __init__(self, console: Console, *, logs: bool = False) -> None:
        self._console = console
        self._logs = logs
        self._running: dict[str, StageRunView] = {}
        self._told: set[tuple[str, int, StageStatus]] = set()
        self._status: RunStatus | None = None

    def follow(self, client: Client, run_id: str) -> RunDetail:
        """Show the run until it ends, then how it ended; the run. Raises ClientError."""
        try:
            with self._live():
                for event in client.follow(run_id, logs=self._logs):
                    self._show(event)
                run = client.get_run(run_id)
                for stage in run.stages:
                    self._stage(stage)
        except KeyboardInterrupt:
            self._console.print(f"the run goes on; stop it with: mlops pipeline cancel {printable(run_id)}")
            raise
        self.ended(run)
        return run

    def ended(self, run: RunDetail) -> None:
        """How a run ended; of what failed, the end of its traceback."""
        sign, colour = SIGNS.get(StageStatus(run.status), ("…", ""))
        took = "" if run.duration_seconds is None else f" after {run.duration_seconds:,.1f} s"
        done = f"{run.succeeded} of {len(run.stages)} stages completed"
        self._line(Text(sign, colour), Text(f" {run.pipeline} version {run.version}: {run.status}{took}, {done}"))
        failed = [stage for stage in run.stages if stage.status is StageStatus.FAILED]
        for stage in failed:
            if stage.error is not None and stage.error.traceback:
                lines = stage.error.traceback.rstrip().splitlines()[-TRACEBACK_LINES:]
                self._line(plain("\n".join(f"  {line}" for line in lines), "dim"))
            self._line(Text(f"  mlops pipeline logs {run.id} {stage.name}", "dim"))
        if run.error and not failed:
            self._line(plain(f"  {run.error}", colour))

    def _show(self, event: RunEvent) -> None:
        if isinstance(event.data, StageRunView):
            self._stage(event.data)
        elif isinstance(event.data, RunView):
            self._run(event.data)
        elif isinstance(event.data, StageLine):
            self._line(plain(f"  {event.data.stage} │ ", "dim"), plain(event.data.text))

    def _run(self, run: RunView) -> None:
        if self._status is None:
            self._line(plain(f"run {run.id} of {run.pipeline} version {run.version}"))
            if run.status is RunStatus.PENDING and not self._console.is_terminal:
                self._line(Text(WAITS, "dim"))
        self._status = run.status

    def _stage(self, stage: StageRunView) -> None:
        if stage.status is StageStatus.RUNNING:
            if not self._console.is_terminal and self._once(stage):
                self._line(Text("…", "cyan"), plain(f" {stage.name} runs{_try(stage)}"))
            self._running[stage.name] = stage
            return
        self._running.pop(stage.name, None)
        if stage.status in SIGNS and self._once(stage):
            sign, colour = SIGNS[stage.status]
            end = _end(stage)
            words = f" {stage.name:<24} {_took(stage)}"
            self._line(Text(sign, colour), plain(f"{words:<50}" if end else words), plain(end, "dim"))

    def _once(self, stage: StageRunView) -> bool:
        known = (stage.name, stage.attempt, stage.status)
        fresh = known not in self._told
        self._told.add(known)
        return fresh

    def _line(self, *parts: Text) -> None:
        self._console.print(Text.assemble(*parts), highlight=False, soft_wrap=True)

    @contextmanager
    def _live(self) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, get_renderable=self._now, refresh_per_second=5, transient=True):
            yield

    def _now(self) -> Text:
        now = datetime.now(UTC)
        parts = [f"{one.name}{_try(one)} {_since(one, now)}" for one in list(self._running.values())]
        if not parts:
            return Text(WAITS if self._status is RunStatus.PENDING else "", "dim")
        return plain("… " + " · ".join(parts), "cyan")


def _since(stage: StageRunView, now: datetime) -> str:
    # The two clocks may differ.
    return "" if stage.started_at is None else f"{max(0.0, (now - stage.started_at).total_seconds()):.0f} s"


def _took(stage: StageRunView) -> str:
    if stage.status is StageStatus.SKIPPED:
        return "skipped"
    time = "" if stage.wall_seconds is None else f"{stage.wall_seconds:8,.1f} s"
    return f"{time}   {size(stage.peak_memory_bytes):>8}" if stage.peak_memory_bytes is not None else time


def _end(stage: StageRunView) -> str:
    return "  ".join(part for part in (_try(stage).strip(), error(stage)) if part)


def _try(stage: StageRunView) -> str:
    return f" try {stage.attempt}" if stage.attempt > 1 else ""
