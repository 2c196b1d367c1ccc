"""Runs on a real platform: own processes, limits, termination, and every way in which one of the parts dies.

Add a test here when it needs real servers. Keep out what a unit test can show.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.run_platform import Options, Platform, wait_for

LIMIT = 2


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A platform on which two runs may be in progress."""
    with Platform(Options(max_concurrent_runs=LIMIT)) as running:
        yield running


@pytest.fixture(autouse=True)
def _quiet(platform: Platform) -> Iterator[None]:
    """Each test starts with the fork server up and no run in progress."""
    if "fork_server" not in platform.processes:
        platform.start_fork_server()
    yield
    for run_id in unfinished(platform):
        platform.terminate(run_id)
    wait_for(lambda: not unfinished(platform), 60, "the runs of a test to end")


def unfinished(platform: Platform) -> list[str]:
    """Runs that have not ended."""
    text = """{ runsOrError(filter: {statuses: [NOT_STARTED, QUEUED, STARTING, STARTED, CANCELING]}) {
      ... on Runs { results { runId } } } }"""
    return [run["runId"] for run in platform.query(text)["runsOrError"]["results"]]


def waiting(seconds: float = 30, stubborn: bool = False) -> dict[str, object]:
    """Run config of the job that waits."""
    return {"ops": {"wait": {"config": {"seconds": seconds, "stubborn": stubborn}}}}


def materialised_pids(platform: Platform, run_id: str) -> set[int]:
    """The pids that a run's steps reported as metadata."""
    text = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
      ... on MaterializationEvent {
        metadataEntries { label ... on IntMetadataEntry { intValue } } } } } } }"""
    events = platform.query(text, id=run_id)["logsForRun"]["events"]
    entries = [entry for event in events for entry in event.get("metadataEntries", [])]
    return {entry["intValue"] for entry in entries if entry["label"] == "pid"}


def messages(platform: Platform, run_id: str) -> str:
    """All messages of a run's event log, a line each."""
    text = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
      ... on MessageEvent { message } } } } }"""
    events = platform.query(text, id=run_id)["logsForRun"]["events"]
    return "\n".join(event.get("message") or "" for event in events)


def times_of(platform: Platform, run_id: str, event_type: str) -> list[float]:
    """When a run had events of a GraphQL type, in seconds, in the order of its log."""
    text = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events { __typename
      ... on MessageEvent { timestamp } } } } }"""
    events = platform.query(text, id=run_id)["logsForRun"]["events"]
    return [float(event["timestamp"]) / 1000 for event in events if event["__typename"] == event_type]


def was_queued(platform: Platform, run_id: str) -> bool:
    """Whether a run has ever waited in the queue."""
    return bool(times_of(platform, run_id, "RunEnqueuedEvent"))


def test_each_run_has_a_process_of_its_own_forked_from_the_server(platform: Platform) -> None:
    runs = [platform.launch("two_stage") for _ in range(2)]
    assert [platform.finish(run) for run in runs] == ["SUCCESS", "SUCCESS"]
    processes = [platform.process(run) for run in runs]
    assert processes[0] != processes[1]
    for run, process in zip(runs, processes, strict=True):
        assert materialised_pids(platform, run) == {process.pid}
        assert platform.tags(run)["mlops/launched_by"] == "fork_server"
    wait_for(lambda: not any(process.is_alive() for process in processes), 10, "the processes to end")
    assert platform.client.status().running == {}


def test_steps_can_have_processes_of_their_own(platform: Platform) -> None:
    run = platform.launch("two_stage_isolated")
    assert platform.finish(run) == "SUCCESS"
    steps = materialised_pids(platform, run)
    assert len(steps) == 2
    assert platform.process(run).pid not in steps


def test_no_zombie_stays_behind(platform: Platform) -> None:
    import psutil

    platform.finish(platform.launch("two_stage"))
    server = psutil.Process(platform.processes["fork_server"].pid)
    wait_for(lambda: server.children() == [], 10, "the fork server to reap its children")


def test_two_runs_at_once(platform: Platform) -> None:
    runs = [platform.launch("waiting", waiting(2)) for _ in range(2)]
    for run in runs:
        platform.began(run)
    assert {platform.status(run) for run in runs} == {"STARTED"}
    assert len({platform.process(run).pid for run in runs}) == 2
    assert [platform.finish(run) for run in runs] == ["SUCCESS", "SUCCESS"]


def test_output_of_a_step_and_of_its_children_is_captured(platform: Platform) -> None:
    run = platform.launch("speaking")
    assert platform.finish(run) == "SUCCESS"
    text = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
      ... on LogsCapturedEvent { fileKey } } } } }"""
    keys = [event["fileKey"] for event in platform.query(text, id=run)["logsForRun"]["events"] if event]
    (key,) = keys
    text = "query($k: [String!]!) { capturedLogs(logKey: $k) { stdout stderr } }"
    logs = platform.query(text, k=[run, "compute_logs", key])["capturedLogs"]
    assert "said to stdout" in logs["stdout"]
    assert "said by a child process" in logs["stdout"]
    assert "said to stderr" in logs["stderr"]


def test_a_killed_run_is_marked_failed_with_its_cause(platform: Platform) -> None:
    run = platform.launch("waiting", waiting())
    platform.began(run)
    os.kill(platform.process(run).pid, signal.SIGKILL)
    assert platform.finish(run, seconds=30) == "FAILURE"
    assert "SIGKILL" in messages(platform, run)


def test_terminate_cancels_a_run(platform: Platform) -> None:
    run = platform.launch("waiting", waiting())
    platform.began(run)
    process = platform.process(run)
    assert platform.terminate(run) == "TerminateRunSuccess"
    assert platform.finish(run) == "CANCELED"
    wait_for(lambda: not process.is_alive(), 10, "the process to end")


def test_terminating_a_finished_run_changes_nothing(platform: Platform) -> None:
    run = platform.launch("two_stage")
    platform.finish(run)
    platform.terminate(run)
    assert platform.status(run) == "SUCCESS"


def test_a_run_that_ignores_its_interrupt_is_killed(platform: Platform) -> None:
    run = platform.launch("waiting", waiting(60, stubborn=True))
    platform.began(run)
    process = platform.process(run)
    platform.terminate(run)
    assert platform.finish(run, seconds=20) == "CANCELED"
    assert not process.is_alive()
    assert "was killed" in messages(platform, run)


def test_runs_outlive_a_killed_fork_server_and_can_still_be_terminated(platform: Platform) -> None:
    ends, stays = (platform.launch("waiting", waiting(seconds)) for seconds in (4, 60))
    platform.began(ends)
    platform.began(stays)
    platform.stop("fork_server", signal.SIGKILL)
    assert platform.status(ends) == "STARTED"
    platform.start_fork_server()
    assert platform.finish(ends) == "SUCCESS"
    assert platform.status(stays) == "STARTED"
    assert platform.terminate(stays) == "TerminateRunSuccess"
    assert platform.finish(stays) == "CANCELED"
    run = platform.launch("two_stage")
    assert platform.finish(run) == "SUCCESS"
    assert platform.tags(run)["mlops/launched_by"] == "fork_server"


def test_a_run_falls_back_to_a_subprocess_while_the_fork_server_is_down(platform: Platform) -> None:
    platform.stop("fork_server", signal.SIGKILL)
    run = platform.launch("two_stage")
    assert platform.finish(run) == "SUCCESS"
    assert platform.tags(run)["mlops/launched_by"] == "subprocess"
    assert materialised_pids(platform, run) == {platform.process(run).pid}
    assert "starting it as a subprocess" in messages(platform, run)


def test_a_run_of_the_fallback_can_be_terminated(platform: Platform) -> None:
    platform.stop("fork_server", signal.SIGKILL)
    run = platform.launch("waiting", waiting())
    platform.began(run)
    assert platform.terminate(run) == "TerminateRunSuccess"
    assert platform.finish(run) == "CANCELED"


def test_a_fork_server_that_hangs_is_passed_by_and_starts_nothing_late(platform: Platform) -> None:
    server = platform.processes["fork_server"]
    server.send_signal(signal.SIGSTOP)
    try:
        run = platform.launch("two_stage")
    finally:
        server.send_signal(signal.SIGCONT)
    assert platform.finish(run) == "SUCCESS"
    assert platform.tags(run)["mlops/launched_by"] == "subprocess"
    assert materialised_pids(platform, run) == {platform.process(run).pid}
    wait_for(lambda: platform.client.status().running == {}, 20, "the late child to give up")
    assert messages(platform, run).count("Started process for run") == 1


def test_stopping_the_fork_server_fails_its_runs_and_leaves_no_process(platform: Platform) -> None:
    run = platform.launch("waiting", waiting(60))
    platform.began(run)
    process = platform.process(run)
    platform.stop("fork_server", signal.SIGTERM)
    assert not process.is_alive()
    assert platform.finish(run) == "FAILURE"
    assert "interrupted" in messages(platform, run)


def test_changed_code_is_what_the_next_run_executes_while_older_runs_go_on(platform: Platform) -> None:
    old = platform.launch("waiting", waiting(6))
    platform.began(old)
    generation = platform.client.status().generation
    platform.change_code('MARK = "first"', 'MARK = "second"')
    run = platform.launch("two_stage")
    assert platform.finish(run) == "SUCCESS"
    text = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
      ... on MaterializationEvent { metadataEntries { label ... on TextMetadataEntry { text } } } } } } }"""
    events = platform.query(text, id=run)["logsForRun"]["events"]
    marks = [e["text"] for v in events for e in v.get("metadataEntries", []) if e["label"] == "mark"]
    assert marks == ["second"]
    assert platform.finish(old) == "SUCCESS"
    wait_for(lambda: old in platform.client.status().ended, 10, "the older run's process to be reaped")
    status = platform.client.status()
    assert status.generation > generation
    assert status.ended[old] == 0


def test_broken_code_does_not_stop_the_fork_server(platform: Platform) -> None:
    platform.change_code("import dagster as dg\n", "import dagster as dg\nimport no_such_module\n")
    run = platform.launch("waiting", waiting(1))
    assert platform.finish(run) == "FAILURE"
    assert "no_such_module" in platform.client.wait_until_ready(30).failed["two_stage_product"]
    platform.change_code("import no_such_module\n", "")
    wait_for(lambda: platform.client.wait_until_ready(30).failed == {}, 60, "the corrected code to be loaded")
    assert platform.finish(platform.launch("waiting", waiting(0.1))) == "SUCCESS"


def test_ten_simultaneous_launches_keep_the_limit(platform: Platform) -> None:
    with ThreadPoolExecutor(10) as pool:
        runs = list(pool.map(lambda _: platform.launch("waiting", waiting(0.5)), range(10)))
    assert {platform.finish(run, seconds=120) for run in runs} == {"SUCCESS"}
    spans = [(fact["startTime"], fact["endTime"]) for fact in map(platform.run, runs)]
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) <= LIMIT
    assert sum(was_queued(platform, run) for run in runs) >= 10 - LIMIT


def test_processes_that_submit_at_the_same_moment_keep_the_limit(platform: Platform) -> None:
    runs = platform.submitters(processes=4, each=3)
    assert len(set(runs)) == 12
    assert {platform.finish(run, seconds=120) for run in runs} == {"SUCCESS"}
    spans = [(fact["startTime"], fact["endTime"]) for fact in map(platform.run, runs)]
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) <= LIMIT
    direct = [run for run in runs if not was_queued(platform, run)]
    assert 1 <= len(direct) <= LIMIT
    # The lock was PostgreSQL's: the one for other storages leaves its file behind.
    assert not (platform.folder / "home" / "admission.lock").exists()


def test_a_run_queues_while_another_session_holds_the_admission_lock(platform: Platform) -> None:
    import sqlalchemy

    from mlops_assets.runs.admission import LOCK_NUMBER

    engine = sqlalchemy.create_engine(platform.database, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:n)"), {"n": LOCK_NUMBER})
        run = platform.launch("waiting", waiting(0.1))
        assert was_queued(platform, run)
    assert platform.finish(run) == "SUCCESS"


def test_queued_runs_are_launched_in_the_order_of_the_queue(platform: Platform) -> None:
    holders = [platform.launch("waiting", waiting(60)) for _ in range(LIMIT)]
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: platform.launch("waiting", waiting(0.1)), range(8)))
    assert {platform.status(run) for run in runs} == {"QUEUED"}
    for run in holders:
        platform.began(run)
        platform.terminate(run)
    assert {platform.finish(run, seconds=120) for run in runs} == {"SUCCESS"}
    # Runs are listed newest first by their row, which is the queue's order; creationTime is stamped
    # before the row exists, so it orders simultaneous submits differently. Launch times, since two that were dequeued
    # together may begin in either order.
    text = "{ runsOrError(limit: 8) { ... on Runs { results { runId } } } }"
    listed = [run["runId"] for run in platform.query(text)["runsOrError"]["results"]]
    assert set(listed) == set(runs)
    assert listed[::-1] == sorted(runs, key=lambda run: times_of(platform, run, "RunStartingEvent")[-1])


def test_a_run_starts_at_once_when_there_is_room_and_queues_when_there_is_none(platform: Platform) -> None:
    first, second = (platform.launch("waiting", waiting(60)) for _ in range(2))
    third = platform.launch("waiting", waiting(0.1))
    assert not was_queued(platform, first)
    assert not was_queued(platform, second)
    assert platform.status(third) == "QUEUED"
    platform.began(first)
    platform.terminate(first)
    assert platform.finish(third) == "SUCCESS"
