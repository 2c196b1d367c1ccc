"""The client's calls about runs: start, read, wait, follow, cancel, and what stages logged.

Add a call here when the API has a new route about runs. Keep out files that runs leave (`artifacts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from mlops_assets.api.pipelines.run_schemas import LogLineView, RunDetail, RunPage, RunView, StageLog
from mlops_assets.client.connection import Connection, Sent, as_json, fresh_key, given, path, read
from mlops_assets.client.errors import RunTimeoutError, UnavailableError
from mlops_assets.client.following import FINISHED, Follower, RunEvent
from mlops_assets.client.paging import PAGE

LOG_PAGE = 5000
LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.2, 2.0
LOG_SECONDS = 0.5
# So often in a row the API may be away while a run is waited for.
MOST_ABSENCES = 20
IN_STAGE = frozenset({"PENDING", "RUNNING"})


class RunCalls:
    """Runs by their id. Every call raises ApiError, or the subclass that says more."""

    _connection: Connection

    def run(
        self,
        name_or_id: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        environment: str | None = None,
        tags: Mapping[str, str] | None = None,
        notes: str | None = None,
        trigger: Literal["API", "MANUAL", "WEBHOOK"] = "API",
        key: str | None = None,
    ) -> RunView:
        """Start a run of the deployed version; it may wait for its turn. Text is converted to a parameter's type.

        The same `key` again starts nothing and answers the same; without one, each call has its own.

        Raises:
            ConflictError: nothing is deployed. ValidationError: a parameter is refused.
        """
        order = given(
            parameters=None if parameters is None else dict(parameters),
            environment=environment,
            tags=None if tags is None else dict(tags),
            notes=notes,
            trigger=trigger,
        )
        where, content = path("pipelines", name_or_id, "runs"), as_json(order, "the run's order")
        sent = Sent("POST", where, content=content, key=key if key is not None else fresh_key())
        return read(RunView, self._connection.request(sent))

    def runs(
        self,
        pipeline: str | None = None,
        *,
        status: Iterable[str] = (),
        trigger: str | None = None,
        tags: Iterable[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        sort: Literal["-created_at", "created_at"] = "-created_at",
    ) -> Iterator[RunView]:
        """Every run that fits, of one pipeline (name or id) or of all, read page by page. Times need a time zone."""
        asked = given(
            status=list(status) or None,
            trigger=trigger,
            tag=list(tags) or None,
            since=None if since is None else since.isoformat(),
            until=None if until is None else until.isoformat(),
            sort=sort,
        )
        where = "runs" if pipeline is None else path("pipelines", pipeline, "runs")
        cursor: str | None = None
        while True:
            page = self._connection.get(RunPage, where, {**asked, "limit": PAGE, **given(cursor=cursor)})
            yield from page.items
            # A cursor that stays the same would be read for ever.
            if page.next_cursor is None or page.next_cursor == cursor:
                return
            cursor = page.next_cursor

    def get_run(self, run_id: str) -> RunDetail:
        """One run with its stages in execution order."""
        return self._connection.get(RunDetail, path("runs", run_id))

    def cancel(self, run_id: str) -> RunView:
        """End a run and everything that it started. ConflictError: it has ended already."""
        return read(RunView, self._connection.request(Sent("POST", path("runs", run_id, "cancel"), content=b"{}")))

    def wait(self, run_id: str, timeout: float | None = None) -> RunDetail:
        """The run once it has ended, whichever way; also over a restart of the API.

        Raises:
            RunTimeoutError: it hasn't after `timeout` seconds. UnavailableError: the API stays away.
        """
        clock = self._connection.clock
        began, pause, absences = clock.now(), LOOK_SECONDS, 0
        while True:
            try:
                run, absences = self.get_run(run_id), 0
                if run.status in FINISHED:
                    return run
            except UnavailableError:
                absences += 1
                if absences > MOST_ABSENCES:
                    raise
            left = None if timeout is None else timeout - (clock.now() - began)
            if left is not None and left <= 0:
                raise RunTimeoutError(f"run {run_id} hasn't ended after {timeout:g} s; it goes on")
            clock.sleep(pause if left is None else min(pause, left))
            pause = min(1.3 * pause, LONGEST_LOOK_SECONDS)

    def follow(self, run_id: str, *, logs: bool = True) -> Iterator[RunEvent]:
        """What happens in a run, from its present state to its end; lost connections are taken up again.

        Without `logs`, no lines that stages log.

        Raises:
            UnavailableError: the API stays away.
        """
        return Follower(self._connection, run_id, logs=logs).events()

    def logs(
        self,
        run_id: str,
        stage: str,
        attempt: int | None = None,
        *,
        after: int | None = None,
        limit: int = 1000,
        tail: int | None = None,
    ) -> StageLog:
        """Lines of a stage's attempt, the newest attempt unless asked.

        At most `limit` of those after line number `after`, from the first unless asked; or with `tail` the last ones.
        """
        asked = given(attempt=attempt, after=after, limit=limit if tail is None else None, tail=tail)
        return self._connection.get(StageLog, path("runs", run_id, "stages", stage, "logs"), asked)

    def log_lines(
        self, run_id: str, stage: str, attempt: int | None = None, *, follow: bool = False, tail: int | None = None
    ) -> Iterator[LogLineView]:
        """Every line of a stage, the newest attempt unless asked; with `follow`, also those still to come.

        Of those that are there already, with `tail` only so many of the last. Following ends with the asked attempt,
        or with the stage: what a retry logs comes after what it repeats.
        """
        present, after = attempt, 0
        if tail is not None:
            page = self.logs(run_id, stage, attempt, tail=tail)
            yield from page.lines
            if not follow:
                return
            if page.lines:
                present, after = page.attempt, page.lines[-1].number
        while True:
            # Asked before the lines: what is logged until the stage ends is read after that.
            live = follow and self._may_log(run_id, stage)
            while (page := self.logs(run_id, stage, present, after=after, limit=LOG_PAGE)).lines:
                yield from page.lines
                present, after = page.attempt, page.lines[-1].number
            if not follow or (page.ended and attempt is not None):
                return
            if page.ended and (newest := self.logs(run_id, stage, limit=1).attempt) > page.attempt:
                present, after = newest, 0
            elif live:
                self._connection.clock.sleep(LOG_SECONDS)
            else:
                return

    def _may_log(self, run_id: str, stage: str) -> bool:
        run = self.get_run(run_id)
        return run.status not in FINISHED and any(s.name == stage and s.status in IN_STAGE for s in run.stages)
