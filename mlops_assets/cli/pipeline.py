"""`mlops pipeline …`: pipelines declared over REST, through the client that scripts use too.

Add a command about pipelines here; those about runs are in `pipeline_runs`. Keep out what they do (`client`) and how
it looks (`pipeline_tables`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mlops_assets.cli import pipeline_runs, pipeline_tables
from mlops_assets.cli.pipeline_access import (
    TOKEN_VARIABLE,
    URL_VARIABLE,
    ParametersOption,
    client_of,
    opened,
    parameters_of,
    written,
)
from mlops_assets.cli.pipeline_tables import plain
from mlops_assets.client import Applied, AuthError, Client, ClientError, UnavailableError, ValidationError
from mlops_assets.client.documents import SUFFIXES

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A pipeline's name or id.")]
FilesArgument = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="YAML or JSON files, or folders of such files.")
]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="A file; else the terminal.")]

app = typer.Typer(no_args_is_help=True, help="Pipelines of Python stages: declare, deploy, run, look into.")
app.add_typer(pipeline_runs.app)


@app.callback()
def pipeline(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar=URL_VARIABLE, help="Where the control API is; else this machine's.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar=TOKEN_VARIABLE, help="An API token; else this machine's own, for its own API.")
    ] = None,
) -> None:
    """Say where the API is and who asks; without either, this machine's installation as its operator."""
    context.obj = context.obj or (lambda: opened(url, token))


@app.command("list")
def pipeline_list(
    context: typer.Context,
    q: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="A part of the name or the title.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="KEY or KEY=VALUE; several must all be there.")] = None,
) -> None:
    """Every pipeline: its state, version, stages and schedule."""
    with client_of(context) as client:
        found = list(client.pipelines(q=q, tags=tag or ()))
    if not found:
        _say("no pipeline is declared yet; start with: mlops pipeline templates" if not (q or tag) else "none fits")
        return
    Console().print(pipeline_tables.pipelines(found))


@app.command("show")
def pipeline_show(
    context: typer.Context,
    name: NameArgument,
    version: Annotated[int | None, typer.Option(min=1, help="Else the newest.")] = None,
) -> None:
    """One pipeline: state, stages and parameters."""
    with client_of(context) as client:
        found = client.pipeline(name, version)
    console = Console()
    console.print(plain(f"{found.name}{': ' + found.title if found.title else ''}", "bold"))
    if found.description:
        console.print(plain(found.description))
    console.print(pipeline_tables.facts(found))
    console.print()
    console.print(pipeline_tables.stages(found))
    if found.spec.get("parameters"):
        console.print()
        console.print(pipeline_tables.spec_parameters(found))


@app.command("validate")
def pipeline_validate(context: typer.Context, files: FilesArgument) -> None:
    """Say everything that is wrong with pipelines; store nothing. Exit code 1 if anything is."""
    console, wrong = Console(), False
    with client_of(context) as client:
        for file in _files(files):
            found = client.validate(file)
            wrong |= not found.valid
            if found.valid:
                console.print(plain(f"✓ {file}: {' → '.join(found.order)}"), soft_wrap=True)
            else:
                console.print(plain(f"✗ {file}", "red"), soft_wrap=True)
                console.print(pipeline_tables.problems(found.problems))
    raise typer.Exit(1 if wrong else 0)


@app.command("apply")
def pipeline_apply(
    context: typer.Context,
    files: FilesArgument,
    deploy: Annotated[bool, typer.Option(help="Let runs start with the new version.")] = True,
) -> None:
    """Make pipelines what the files say: create, or add a version where something differs. Exit code 1 if one fails."""
    failed = False
    with client_of(context) as client:
        for file in _files(files):
            failed |= not _apply(client, file, deploy)
    raise typer.Exit(1 if failed else 0)


@app.command("deploy")
def pipeline_deploy(
    context: typer.Context,
    name: NameArgument,
    version: Annotated[int | None, typer.Option(min=1, help="Else the newest; an older one is a rollback.")] = None,
) -> None:
    """Let runs start with a version."""
    with client_of(context) as client:
        found = client.deploy(name, version)
    _say(f"{found.name}: runs start with version {found.deployed_version}")
    _warn(found.load_error)


@app.command("pause")
def pipeline_pause(context: typer.Context, name: NameArgument) -> None:
    """Stop the schedule."""
    with client_of(context) as client:
        _say(f"{client.pause(name).name} is paused; it can still be run by hand")


@app.command("resume")
def pipeline_resume(context: typer.Context, name: NameArgument) -> None:
    """Let the schedule go on."""
    with client_of(context) as client:
        found = client.resume(name)
    then = "" if found.next_run_at is None else f"; next run {pipeline_tables.moment(found.next_run_at)} UTC"
    _say(f"{found.name} goes on{then}")


@app.command("versions")
def pipeline_versions(context: typer.Context, name: NameArgument) -> None:
    """Every version of a pipeline, the newest first."""
    with client_of(context) as client:
        Console().print(pipeline_tables.versions(client.versions(name)))


@app.command("export")
def pipeline_export(
    context: typer.Context,
    name: NameArgument,
    output: OutputOption = None,
    version: Annotated[int | None, typer.Option(min=1, help="Else the newest.")] = None,
) -> None:
    """A pipeline as YAML that `apply` takes."""
    with client_of(context) as client:
        _put(client.yaml(name, version), output, replace=True)


@app.command("delete")
def pipeline_delete(
    context: typer.Context,
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete a pipeline. Its runs and artifacts stay readable."""
    with client_of(context) as client:
        found = client.pipeline(name)
        if not yes:
            typer.confirm(f"Delete {found.name}, {found.version} versions?", abort=True)
        client.delete(found.id, revision=found.revision)
    _say(f"{found.name} is deleted")


@app.command("templates")
def pipeline_templates(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[TEMPLATE]", help="One, with what it has to be told.")] = None,
) -> None:
    """Pipelines to start from."""
    console = Console()
    with client_of(context) as client:
        if name is None:
            console.print(pipeline_tables.templates(client.templates()))
            return
        found = client.template(name)
    console.print(plain(f"{found.name}: {found.title}", "bold"))
    console.print(plain(found.description))
    console.print(pipeline_tables.template_parameters(found))


@app.command("new")
def pipeline_new(
    context: typer.Context,
    template: Annotated[str, typer.Argument(metavar="TEMPLATE")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new pipeline's name.")],
    param: ParametersOption = None,
    output: OutputOption = None,
) -> None:
    """A pipeline from a template, as YAML to look at, edit and apply."""
    given = parameters_of(param)
    with client_of(context) as client:
        _put(client.render(template, name, given).yaml, output, replace=False)


def _apply(client: Client, file: Path, deploy: bool) -> bool:
    """Whether the file's pipeline is as it says now."""
    try:
        done = client.apply(file, deploy=deploy)
    except (AuthError, UnavailableError):
        raise  # which no other file would escape
    except ValidationError as error:
        console, found = Console(stderr=True), error.problems
        console.print(plain(f"✗ {file}" if found else f"✗ {file}: {error}", "red"), soft_wrap=True)
        if found:
            console.print(pipeline_tables.problems(found))
        return False
    except ClientError as error:
        Console(stderr=True).print(plain(f"✗ {file}: {error}", "red"), soft_wrap=True)
        return False
    _say(_applied(done))
    _warn(done.pipeline.load_error)
    return True


def _applied(done: Applied) -> str:
    found = done.pipeline
    if done.change == "unchanged":
        return f"{found.name}: as it was, version {found.version}"
    before = "" if done.before is None else f" (was {done.before})"
    deployed = "deployed" if found.deployed_version == found.version else "not deployed"
    return f"{found.name}: {done.change}, version {found.version}{before}, {deployed}"


def _files(given: list[Path]) -> Iterator[Path]:
    """The files themselves and those in the folders, by name."""
    for path in given:
        if not path.is_dir():
            yield path
            continue
        found = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES and one.is_file())
        if not found:
            raise ClientError(f"{path}: no {', '.join(SUFFIXES)} file is in this folder")
        yield from found


def _put(text: str, output: Path | None, *, replace: bool) -> None:
    if output is None:
        typer.echo(text, nl=not text.endswith("\n"))
        return
    written(output, text, replace=replace)
    _say(f"written: {output}")


def _say(text: str) -> None:
    Console().print(plain(text), soft_wrap=True, highlight=False)


def _warn(load_error: str | None) -> None:
    if load_error:
        Console(stderr=True).print(plain(f"it doesn't load: {load_error}", "red"), soft_wrap=True)
