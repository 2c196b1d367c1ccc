"""`mlops upgrade`: every program of a running installation started anew from the code that is installed now.

Schemas first, which old programs can live with; then one program after the other, so that users are answered all the
time: a product's services never restart at once. Database and gateway, whose code is not ours, are left alone unless
what they are started with has changed. Keep out how one program is started (`supervisor`).
"""

from __future__ import annotations

import time
from typing import Any

import httpx

from mlops_assets.installation import gateway_files, postgres, schema
from mlops_assets.installation.programs import Program
from mlops_assets.installation.report import Report
from mlops_assets.installation.supervisor import Supervisor
from mlops_assets.installation.up import InstallationError, configured, wait_ready
from mlops_assets.settings import Settings
from mlops_assets.training.spec import Product

LEFT_ALONE = ("postgres", "gateway")
# An ejected service is asked again after some seconds; longer ejections are of services that keep failing.
USABLE_SECONDS = 60.0
STOPPED = ("STOPPED", "EXITED", "FATAL")
ASK_SECONDS = 5.0


def upgrade(settings: Settings, products: list[Product], report: Report) -> int:
    """Restart everything in its order; how many programs were.

    Raises:
        InstallationError: nothing runs, or a program doesn't come up again; names its log.
        MigrationError: a schema can't be brought up to date; nothing was restarted.
    """
    supervisor = Supervisor(settings)
    if not supervisor.running():
        raise InstallationError("nothing runs; the installed version starts with: mlops up")
    if settings.embedded_database:
        postgres.prepare(settings)
    if settings.runs("orchestrator"):
        with report.step("Schemas up to date"):
            schema.migrate(settings)
    programs = configured(settings, products)
    if settings.runs("gateway"):
        gateway_files.write_first_routes(settings, products)
    supervisor.write_config(programs)
    added, changed, removed = supervisor.reload()
    for name in removed:
        supervisor.drop(name)
    restarted = 0
    for program in sorted(programs, key=_place):
        known = program.name not in added
        if known and program.name in LEFT_ALONE and program.name not in changed:
            continue
        with report.step(f"{program.title} restarted" if known else f"{program.title} started"):
            _replace(settings, supervisor, program, changed=program.name in changed, known=known)
        restarted += 1
    return restarted


def _place(program: Program) -> tuple[int, bool, bool]:
    # Candidates before productions, whose users they take meanwhile; the gateway last, which all of them need.
    return program.stage, program.name == "gateway", program.name.endswith("_production")


def _replace(settings: Settings, supervisor: Supervisor, program: Program, *, changed: bool, known: bool) -> None:
    serves = program.ready_path is not None and program.name.endswith(("_production", "_candidate"))
    was_ready = serves and _ready(settings, program)
    if known:
        supervisor.stop_program(program.name)
        _wait(lambda: supervisor.states()[program.name].state in STOPPED, program.stop_seconds + 10, program, "stop")
    if changed:
        supervisor.drop(program.name)
    if changed or not known:
        supervisor.add(program.name)
    supervisor.start_program(program.name)
    wait_ready(settings, supervisor, program)
    if was_ready:
        _wait(lambda: _ready(settings, program) and _used(settings, program), USABLE_SECONDS, program, "serve")


def _wait(done: Any, seconds: float, program: Program, verb: str) -> None:
    give_up = time.monotonic() + seconds
    while not done():
        if time.monotonic() > give_up:
            raise InstallationError(f"{program.title} doesn't {verb} within {seconds:.0f} s; see its log: mlops logs")
        time.sleep(0.1)


def _ready(settings: Settings, program: Program) -> bool:
    try:
        return (
            httpx.get(f"http://{program.here(settings)}:{program.port}/readyz", timeout=ASK_SECONDS).status_code == 200
        )
    except httpx.HTTPError:
        return False


def _used(settings: Settings, program: Program) -> bool:
    """Whether the gateway gives requests to a service: its probe is passed and no failures are held against it."""
    transport = httpx.HTTPTransport(uds=str(settings.gateway_admin))
    try:
        with httpx.Client(transport=transport, timeout=ASK_SECONDS) as client:
            told = client.get("http://gateway/clusters", params={"format": "json"}).json()
    except (httpx.HTTPError, ValueError):
        # A gateway that doesn't answer gives nobody anything: that isn't the service's fault.
        return True
    hosts = [host for cluster in told.get("cluster_statuses", ()) for host in cluster.get("host_statuses", ())]
    mine = [host for host in hosts if host["address"].get("socket_address", {}).get("port_value") == program.port]
    held = ("failed_active_health_check", "failed_outlier_check")
    return not any(host.get("health_status", {}).get(name) for host in mine for name in held)
