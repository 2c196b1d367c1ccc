"""The commands of `mlops pipeline …` that are about runs and what they leave.

Add a command about runs here. Keep out what they do (`client`) and how it looks (`pipeline_tables`, `pipeline_watch`).
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from mlops_assets.api.pipelines.run_schemas import LogLineView, RunDetail, RunStatus
from mlops_assets.cli import pipeline_tables
from mlops_assets.cli.pipeline_access import ParametersOption, client_of, parameters_of, tags_of
from mlops_assets.cli.pipeline_tables import plain
from mlops_assets.cli.pipeline_watch import Watch
from mlops_assets.client.runs import LOG_PAGE

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]
LEVELS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}

app = typer.Typer()


@app.command("run")
def pipeline_run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A pipeline's name or id.")],
    param: ParametersOption = None,
    param_file: Annotated[Path | None, typer.Option(help="Parameters as YAML or JSON; --param goes before.")] = None,
    env: Annotated[str | None, typer.Option(help="A label that stages see as context.environment.")] = None,
    note: Annotated[str | None, typer.Option(help="Why; kept with the run.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show its stages until it ends.")] = False,
    logs: Annotated[bool, typer.Option("--logs", help="With --follow, also what stages log.")] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Return when it has ended.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="With --wait, at most so many seconds.")] = None,
) -> None:
    """Start a run and print its id. With --follow or --wait, exit code 1 unless it completes."""
    given, tags = parameters_of(param, param_file), tags_of(tag)
    with client_of(context) as client:
        run = client.run(name, parameters=given, environment=env, tags=tags, notes=note, trigger="MANUAL")
        if follow or logs:
            raise typer.Exit(_code(Watch(Console(), logs=logs).follow(client, run.id)))
        typer.echo(run.id)
        if wait:
            ended = client.wait(run.id, timeout)
            Watch(Console(stderr=True)).ended(ended)
            raise typer.Exit(_code(ended))


@app.command("runs")
def pipeline_runs(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Of one pipeline; else of all.")] = None,
    status: Annotated[list[RunStatus] | None, typer.Option(case_sensitive=False, help="Several: any of them.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="KEY or KEY=VALUE.")] = None,
    limit: LimitOption = 20,
) -> None:
    """The newest runs."""
    with client_of(context) as client:
        found = list(islice(client.runs(name, status=status or (), tags=tag or ()), limit))
    if not found:
        Console().print("no run fits" if status or tag else "nothing has run yet")
        return
    Console().print(pipeline_tables.runs(found))


@app.command("status")
def pipeline_status(context: typer.Context, run: RunArgument) -> None:
    """One run: its stages, what they took, and why one failed."""
    with client_of(context) as client:
        found = client.get_run(run)
    console = Console()
    console.print(
        Text.assemble(
            plain(f"{found.pipeline} version {found.version} ", "bold"),
            pipeline_tables.status(found.status),
            plain(f", {pipeline_tables.moment(found.created_at)} UTC by {pipeline_tables.starter(found)}"),
        )
    )
    for label, value in (
        ("parameters", ", ".join(f"{k}={v}" for k, v in found.parameters.items())),
        ("environment", found.environment),
        ("tags", ", ".join(f"{k}={v}" for k, v in found.tags.items())),
        ("notes", found.notes),
        ("error", found.error),
        ("Dagster", found.dagster_url),
    ):
        if value:
            console.print(Text.assemble(Text(f"{label}: ", "dim"), plain(value)), soft_wrap=True)
    console.print()
    console.print(pipeline_tables.run_stages(found))


@app.command("logs")
def pipeline_logs(
    context: typer.Context,
    run: RunArgument,
    stage: Annotated[str, typer.Argument(metavar="STAGE")],
    attempt: Annotated[int | None, typer.Option(min=1, help="Else the newest.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the stage ends.")] = False,
    tail: Annotated[int | None, typer.Option(min=1, max=LOG_PAGE, help="Only so many of the last lines.")] = None,
) -> None:
    """What a stage printed and logged."""
    console = Console()
    with client_of(context) as client:
        for line in client.log_lines(run, stage, attempt, follow=follow, tail=tail):
            _log_line(console, line)


@app.command("cancel")
def pipeline_cancel(context: typer.Context, run: RunArgument) -> None:
    """End a run and everything that it started."""
    with client_of(context) as client:
        found = client.cancel(run)
    Console().print(plain(f"run {found.id} of {found.pipeline}: {found.status}"), soft_wrap=True)


@app.command("artifacts")
def pipeline_artifacts(
    context: typer.Context,
    run: Annotated[str | None, typer.Option(help="Of one run.")] = None,
    pipeline: Annotated[str | None, typer.Option(help="Of one pipeline.")] = None,
    stage: Annotated[str | None, typer.Option(help="Of one stage.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="MODEL, DATASET, METRICS, PLOT, …")] = None,
    limit: LimitOption = 50,
) -> None:
    """The files that stages left, the newest first."""
    wanted = kind.upper() if kind is not None else None
    with client_of(context) as client:
        found = list(islice(client.artifacts(run=run, pipeline=pipeline, stage=stage, type=wanted), limit))
    if not found:
        Console().print("no artifact fits")
        return
    Console().print(pipeline_tables.artifacts(found))


@app.command("download")
def pipeline_download(
    context: typer.Context,
    artifact: Annotated[str, typer.Argument(metavar="ARTIFACT", help="An artifact's id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A file, or a folder.")] = Path("."),
) -> None:
    """Fetch an artifact's file and check that it is whole."""
    with client_of(context) as client:
        typer.echo(str(client.download(artifact, output)))


def _log_line(console: Console, line: LogLineView) -> None:
    level = "" if line.level == "INFO" else f"{line.level} "
    words = plain(f"{level}{line.text}", LEVELS.get(line.level, ""))
    console.print(Text.assemble(Text(f"{line.at:%H:%M:%S} ", "dim"), words), soft_wrap=True, highlight=False)


def _code(run: RunDetail) -> int:
    return 0 if run.status is RunStatus.COMPLETED else 1
