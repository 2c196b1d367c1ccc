"""What a person sees of an attempt on Dagster's pages: resources, size and beginning of the result, links.

Add an entry here when it helps somebody who looks at a stage in Dagster. Keep out what programs read (`stage_facts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.pipelines.stage_facts import StageFacts

if TYPE_CHECKING:
    from mlops_assets.settings import Settings
    from mlops_assets.storage.pipeline_tables import Artifact

MB = 1e6


def outcome_metadata(settings: Settings, facts: StageFacts, kept: Sequence[Artifact]) -> dict[str, Any]:
    """The entries of a materialization or a failure."""
    entries: dict[str, Any] = {
        "attempt": facts.attempt,
        "seconds": round(facts.wall_seconds, 3),
        "cpu_seconds": round(facts.cpu_seconds, 3),
        "peak_memory_mb": round(facts.peak_memory_bytes / MB, 1),
    }
    for name, count in (("read_mb", facts.bytes_read), ("written_mb", facts.bytes_written)):
        if count is not None:
            entries[name] = round(count / MB, 3)
    if facts.traceback:
        entries["traceback"] = dg.MetadataValue.md(f"```\n{facts.traceback.replace('```', '')}\n```")
    result = next((artifact for artifact in kept if artifact.is_result), None)
    if result is not None:
        entries |= _result(result)
        entries["result"] = dg.MetadataValue.url(f"{settings.console_url}/artifacts?id={result.id}")
    written = [artifact for artifact in kept if not artifact.is_result]
    if written:
        entries["artifacts"] = dg.MetadataValue.md(_list(settings, written))
    return entries


def _result(result: Artifact) -> dict[str, Any]:
    entries: dict[str, Any] = {"result_type": result.type_name, "result_bytes": result.size}
    preview = result.preview
    if isinstance(preview.get("rows"), int):
        entries["dagster/row_count"] = preview["rows"]
    columns = preview.get("columns")
    if isinstance(columns, list) and all(isinstance(column, list) and len(column) == 2 for column in columns):
        schema = [dg.TableColumn(str(name), type=str(kind)) for name, kind in columns]
        entries["dagster/column_schema"] = dg.TableSchema(columns=schema)
    if isinstance(preview.get("text"), str):
        entries["result_text"] = preview["text"]
    return entries


def _list(settings: Settings, written: Sequence[Artifact]) -> str:
    """A Markdown list; names are a stranger's, so they are shown as code."""
    lines = []
    for artifact in written:
        name = artifact.name.replace("`", "'").replace("\n", " ")
        url = f"{settings.console_url}/artifacts?id={artifact.id}"
        lines.append(f"- `{name}` ({artifact.type}, {artifact.size:,} bytes): [open]({url})")
    return "\n".join(lines)
