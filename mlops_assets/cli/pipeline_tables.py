"""Pipelines, runs and artifacts as tables for a terminal of 100 columns.

Add a table here. Every text comes from somebody else: it is shown as it is, with control characters made visible, so
that none can move the cursor or colour what follows. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from mlops_assets.api.pipelines.run_schemas import ArtifactView, RunDetail, RunView, StageRunView
from mlops_assets.api.pipelines.schemas import (
    ParameterView,
    PipelineDetail,
    PipelineView,
    ProblemView,
    TemplateView,
    VersionView,
)

RIGHT = frozenset({"version", "stages", "seconds", "CPU s", "memory", "size", "try", "memory MB", "limit s"})
COLOURS = {
    "COMPLETED": "green",
    "FAILED": "red",
    "RUNNING": "cyan",
    "CANCELLED": "yellow",
    "PENDING": "dim",
    "SKIPPED": "dim",
}


def printable(text: str) -> str:
    """The text with everything that a terminal could take for an order made visible."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def plain(text: object, style: str = "") -> Text:
    """Somebody's text, shown as it is."""
    return Text(printable(str(text)), style)


def moment(at: datetime | None) -> str:
    """A time, a dash for none."""
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M}"


def seconds(value: float | None) -> str:
    """A duration in seconds, a dash for none."""
    return "–" if value is None else f"{value:,.1f}"


def size(count: int | None) -> str:
    """Bytes in the unit that fits, a dash for none."""
    if count is None:
        return "–"
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 1000 or unit == "GB":
            return f"{value:,.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    raise AssertionError("the last unit takes all")


def status(word: str) -> Text:
    """A status in its colour."""
    return Text(word, COLOURS.get(word, ""))


def state(pipeline: PipelineView) -> Text:
    """In a word, whether it runs."""
    if pipeline.deployed_version is None:
        return Text("not deployed", "dim")
    if pipeline.load_error:
        return Text("not loaded", "red")
    return Text("active", "green") if pipeline.active else Text("paused", "yellow")


def version(pipeline: PipelineView) -> str:
    """The newest version and, if runs start with another, that one."""
    if pipeline.deployed_version in (None, pipeline.version):
        return str(pipeline.version)
    return f"{pipeline.version} (runs {pipeline.deployed_version})"


def pipelines(found: Iterable[PipelineView]) -> Table:
    """One line a pipeline."""
    table = _table("name", "state", "version", "stages", "schedule", "next run, UTC", "owner")
    for one in found:
        table.add_row(
            plain(one.name),
            state(one),
            version(one),
            str(one.stage_count),
            plain(one.schedule or "–"),
            moment(one.next_run_at),
            plain(one.owner or "–"),
        )
    return table


def facts(pipeline: PipelineDetail) -> Table:
    """What there is to know of one pipeline besides its stages."""
    rows: dict[str, Text | str | None] = {
        "state": state(pipeline),
        "problem": plain(pipeline.load_error, "red") if pipeline.load_error else None,
        "version": version(pipeline),
        "schedule": plain(f"{pipeline.schedule} {pipeline.timezone}") if pipeline.schedule else None,
        "next run": f"{moment(pipeline.next_run_at)} UTC" if pipeline.next_run_at else None,
        "owner": plain(pipeline.owner) if pipeline.owner else None,
        "tags": plain(", ".join(f"{k}={v}" for k, v in pipeline.tags.items())) if pipeline.tags else None,
        "created": plain(f"{moment(pipeline.created_at)} UTC by {pipeline.created_by}"),
        "id": plain(pipeline.id),
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, value)
    return table


def stages(pipeline: PipelineDetail) -> Table:
    """A version's stages in execution order."""
    table = _table("stage", "type", "after")
    for one in pipeline.stages:
        table.add_row(plain(one.name), plain(one.custom_name or one.stage_type), plain(", ".join(one.dependencies)))
    return table


def spec_parameters(pipeline: PipelineDetail) -> Table:
    """What a run may be given."""
    table = _table("parameter", "type", "default", "description")
    declared = pipeline.spec.get("parameters")
    for name, one in (declared if isinstance(declared, Mapping) else {}).items():
        _add_parameter(table, name, one)
    return table


def template_parameters(template: TemplateView) -> Table:
    """What a template has to be told."""
    table = _table("parameter", "type", "default", "description")
    for one in template.parameters:
        _add_parameter(table, one.name, one.model_dump(include=set(ParameterView.model_fields)))
    return table


def versions(found: Iterable[VersionView]) -> Table:
    """One line a version."""
    table = _table("version", "", "created, UTC", "by", "digest")
    for one in found:
        mark = Text("deployed", "green") if one.deployed else ""
        table.add_row(str(one.version), mark, moment(one.created_at), plain(one.created_by), plain(one.digest[:12]))
    return table


def problems(found: Iterable[ProblemView]) -> Table:
    """Why a pipeline is refused."""
    table = _table("stage", "field", "problem")
    for one in found:
        table.add_row(plain(one.stage or "–"), plain(one.field or "–"), plain(one.message))
    return table


def templates(found: Iterable[TemplateView]) -> Table:
    """One line a template."""
    table = _table("template", "stages", "title")
    for one in found:
        table.add_row(plain(one.name), str(len(one.stages)), plain(one.title))
    return table


def runs(found: Iterable[RunView]) -> Table:
    """One line a run."""
    table = _table("run", "pipeline", "status", "by", "created, UTC", "seconds")
    for one in found:
        table.add_row(
            plain(one.id),
            plain(one.pipeline),
            status(one.status),
            plain(starter(one)),
            f"{one.created_at:%m-%d %H:%M}",
            seconds(one.duration_seconds),
        )
    return table


def starter(run: RunView) -> str:
    """Who or what started a run."""
    return run.triggered_by if run.trigger != "SCHEDULED" else "schedule"


def run_stages(run: RunDetail) -> Table:
    """The stages of a run with what they took."""
    table = _table("stage", "status", "try", "seconds", "CPU s", "memory", "error")
    for one in run.stages:
        table.add_row(
            plain(one.name),
            status(one.status),
            str(one.attempt or "–"),
            seconds(one.wall_seconds),
            seconds(one.cpu_seconds),
            size(one.peak_memory_bytes),
            plain(error(one)),
        )
    return table


def error(stage: StageRunView) -> str:
    """Why a stage failed, on one line; nothing if it didn't."""
    if stage.error is None:
        return ""
    where = f" (line {stage.error.line})" if stage.error.line is not None else ""
    return f"{stage.error.type}: {' '.join(stage.error.message.split())[:300]}{where}"


def artifacts(found: Sequence[ArtifactView]) -> Table:
    """One line an artifact; the pipeline only where there are several."""
    several = len({one.pipeline for one in found}) > 1
    table = _table("artifact", *(["pipeline"] if several else []), "stage", "name", "type", "size")
    for one in found:
        gone = " (removed)" if one.removed_at is not None else ""
        table.add_row(
            plain(one.id),
            *([plain(one.pipeline)] if several else []),
            plain(one.stage),
            plain(f"{one.name}{gone}"),
            plain(one.type),
            size(one.size),
        )
    return table


def _add_parameter(table: Table, name: str, one: Mapping[str, Any]) -> None:
    default = "required" if one.get("required") else "–" if one.get("default") is None else str(one["default"])
    table.add_row(plain(name), plain(one.get("type", "")), plain(default), plain(one.get("description") or ""))


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        # An id that is folded can't be copied.
        whole = name in ("run", "artifact", "created, UTC", "next run, UTC", "status", "state")
        table.add_column(name, justify="right" if name in RIGHT else "left", overflow="fold", no_wrap=whole, style="")
    return table
