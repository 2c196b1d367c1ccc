"""A whole installation, started: every step in order, each safe to repeat after a kill at any moment.

Keep out how programs are kept up (`supervisor.py`) and what they are (`programs.py`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from mlops_assets.installation import (
    gateway_files,
    leftovers,
    monitoring,
    monitoring_files,
    ports,
    postgres,
    schema,
    secret_files,
)
from mlops_assets.installation.programs import Program, all_programs, of_this_host, platform_programs
from mlops_assets.installation.report import Report
from mlops_assets.installation.supervisor import Supervisor, tail
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.training.spec import Product

READY_SECONDS = 90.0
GONE_SECONDS = 60.0
# A program that can't start is tried again after 1, 2, 3, … seconds; the third such pause tells enough.
FAILING_SECONDS = 2.5
# Of what isn't the platform's own: the services. After them come those that watch everything.
LAST_STAGE = 2
WATCHING_STAGE = 3
# Marks a home whose restore isn't finished.
RESTORING = "restoring"


class InstallationError(RuntimeError):
    """The installation can't be started or stopped; the message names the program and its log."""


@contextmanager
def exclusive(settings: Settings) -> Iterator[None]:
    """Only one command that starts or stops an installation at a time; the system frees the lock of a killed one."""
    with (settings.home / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstallationError(f"another `mlops up`, `down` or `restore` works on {settings.home}") from None
        yield


def prepare_home(settings: Settings) -> None:
    """The folders of an installation. State is private: only the owner may look inside."""
    private = (
        *(settings.run_dir, settings.runs_socket.parent, settings.logs, settings.home / "serving"),
        *(settings.journal, settings.gateway, settings.stages_socket.parent, settings.stage_logs),
    )
    for folder in (settings.home, *private):
        folder.mkdir(parents=True, exist_ok=True)
    if settings.run_dir.stat().st_uid != os.getuid():
        raise InstallationError(f"{settings.run_dir} belongs to another user")
    for folder in private:
        folder.chmod(0o700)
    if postgres.system_user():
        # The database's own account has to pass through to its socket's folder, and may list nothing.
        settings.run_dir.chmod(0o711)
    secret_files.prepare(settings.secrets, generate=settings.runs("orchestrator"))
    shipped = PROJECT / "dagster_home" / "dagster.yaml"
    if settings.home != shipped.parent:
        shutil.copyfile(shipped, settings.home / "dagster.yaml")
    keep_logs(settings.home)


def keep_logs(home: Path) -> None:
    """Keep Dagster's programs, started by hand without `settings.environment()`, from sending `logs` to their maker.

    They do so whatever dagster.yaml says of telemetry, and first move the folder to this name; not over a file.
    """
    queue = home / ".logs_queue"
    if not queue.exists():
        queue.touch(mode=0o600)


def start(settings: Settings, products: list[Product], report: Report) -> list[Program]:
    """Start everything of this host that isn't running and return when all of it is ready."""
    if (settings.home / RESTORING).exists():
        raise InstallationError(f"the restore of {settings.home} isn't finished: make it again with `mlops restore`")
    programs = configured(settings, products)
    supervisor = Supervisor(settings)
    if not supervisor.running():
        lost = leftovers.marked(settings.home)
        if lost:
            with report.step(f"End {len(lost)} processes left by an earlier start"):
                leftovers.end(lost)
    running = {s.name for s in supervisor.states().values() if s.state in ("RUNNING", "STARTING")}
    wanted = {p.title: p.port for p in programs if p.port is not None and p.name not in running}
    if settings.runs("gateway") and "gateway" not in running:
        # It listens there as well, for people.
        wanted["Console"] = settings.ports.api
    for address in {settings.host, settings.listen}:
        ports.refuse_taken(address, wanted)
    if settings.embedded_database and "postgres" not in running:
        with report.step("Prepare the embedded PostgreSQL"):
            postgres.prepare(settings)
    supervisor.write_config(programs)
    if supervisor.running():
        supervisor.apply()
    else:
        supervisor.start()
    _start_stages(settings, products, supervisor, programs, report)
    return programs


def configured(settings: Settings, products: list[Product]) -> list[Program]:
    """The programs of this host, with every file that they read at their start written."""
    if monitoring.wanted(settings):
        monitoring_files.configure(settings, products)
    digest = gateway_files.configure(settings, products) if settings.runs("gateway") else ""
    return of_this_host(settings, all_programs(settings, products, digest))


def _start_stages(
    settings: Settings, products: list[Product], supervisor: Supervisor, programs: list[Program], report: Report
) -> None:
    for program in (p for p in programs if p.stage == 0):
        supervisor.start_program(program.name)
    if settings.runs("orchestrator"):
        with report.step("Database up, schemas up to date"):
            schema.wait_for_database(settings)
            schema.migrate(settings)
    if settings.runs("gateway"):
        gateway_files.write_first_routes(settings, products)
    for stage in sorted({p.stage for p in programs} - {0, WATCHING_STAGE}):
        members = [p for p in programs if p.stage == stage]
        for program in members:
            supervisor.start_program(program.name)
        for program in (p for p in members if p.needed_by_next):
            wait_ready(settings, supervisor, program)
    _all_ready(settings, supervisor, [p for p in programs if 0 < p.stage < WATCHING_STAGE], report)
    watching = [p for p in programs if p.stage == WATCHING_STAGE]
    for program in watching:
        supervisor.start_program(program.name)
    _all_ready(settings, supervisor, watching, report)


def _all_ready(settings: Settings, supervisor: Supervisor, programs: list[Program], report: Report) -> None:
    for program in programs:
        with report.step(f"{program.title} ready" + (f" on {program.port}" if program.port else "")):
            wait_ready(settings, supervisor, program)


def wait_ready(settings: Settings, supervisor: Supervisor, program: Program) -> None:
    """Return when `program` answers.

    Raises:
        InstallationError: it gave up, or is silent for too long; holds the last lines of its log.
    """
    give_up = time.monotonic() + READY_SECONDS
    failing_since: float | None = None
    while not is_ready(settings, program):
        state = supervisor.states().get(program.name)
        failing_since = (failing_since or time.monotonic()) if state and state.state == "BACKOFF" else None
        hopeless = failing_since is not None and time.monotonic() - failing_since > FAILING_SECONDS
        gone = state is None or state.state in ("FATAL", "STOPPED")
        if gone or hopeless or time.monotonic() > give_up:
            log = settings.logs / f"{program.name}.log"
            last = "\n".join(f"    {line}" for line in tail(log, 12))
            word = state.state if state else "unknown to the process manager"
            raise InstallationError(f"{program.title} isn't ready ({word}); the end of {log}:\n{last}")
        time.sleep(0.1)
    _wait_running(supervisor, program, give_up)


def _wait_running(supervisor: Supervisor, program: Program, give_up: float) -> None:
    # A program that answers may still be in supervisord's first two seconds; one without a port has only those.
    while supervisor.states()[program.name].state != "RUNNING" and time.monotonic() < give_up:
        time.sleep(0.1)


def is_ready(settings: Settings, program: Program) -> bool:
    """True if the program answers on its path, or accepts connections on its port; True if it has neither."""
    if program.port is None:
        return True
    if program.ready_path is None:
        return ports.answers(program.here(settings), program.port)
    try:
        url = f"http://{program.here(settings)}:{program.port}{program.ready_path}"
        return httpx.get(url, timeout=5).status_code < 400
    except httpx.HTTPError:
        return False


def stop(settings: Settings, report: Report) -> int:
    """Stop every program and the process manager, the database last; end whatever else is still alive.

    Returns the number of processes that nobody managed any more.
    """
    supervisor = Supervisor(settings)
    if supervisor.running():
        stages = {p.name: p.stage for p in platform_programs(settings)}
        with report.step("Stop all programs"):
            for stage in sorted({*stages.values(), LAST_STAGE}, reverse=True):
                names = [n for n in supervisor.states() if stages.get(n, LAST_STAGE) == stage]
                _stop_together(supervisor, names)
            supervisor.shut_down()
            give_up = time.monotonic() + GONE_SECONDS
            while leftovers.marked(settings.home, "supervisord") and time.monotonic() < give_up:
                time.sleep(0.05)
    lost = leftovers.marked(settings.home)
    if lost:
        with report.step(f"End {len(lost)} processes that were left"):
            leftovers.end(lost)
    return len(lost)


def _stop_together(supervisor: Supervisor, names: list[str]) -> None:
    for name in names:
        supervisor.stop_program(name)
    give_up = time.monotonic() + GONE_SECONDS
    while time.monotonic() < give_up:
        states = supervisor.states()
        if all(states[n].state in ("STOPPED", "EXITED", "FATAL") for n in names):
            return
        time.sleep(0.05)
