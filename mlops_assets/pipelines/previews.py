"""What of an artifact can be shown on a page: the first rows of a table, a text's beginning, an image, or why nothing.

Add a format here, or an ending that tells more than a format. Keep out how tables are read (`preview_tables`). A
pickle is never loaded, and a damaged file is a reason, not a fault.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.pipelines import preview_tables
from mlops_assets.pipelines.artifact_content import MAGIC_BYTES, DamagedError, beginning, image_type
from mlops_assets.pipelines.preview_tables import COLUMNS, ROWS, UnshownError
from mlops_assets.storage.files import MissingFileError

if TYPE_CHECKING:
    from mlops_assets.storage.files import Storage
    from mlops_assets.storage.pipeline_tables import Artifact

TEXT_BYTES = 64 * 1024
LONGEST_CELL = 300
MOST_IMAGE_BYTES = 20_000_000
_TABLES = ("parquet", "arrow", "npy")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))


@dataclass(frozen=True)
class Preview:
    """What can be shown; `kind` "none" says why in `reason`. Cells are text, numbers, booleans or None."""

    kind: Literal["table", "text", "image", "none"]
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    total_rows: int | None = None
    text: str = ""
    truncated: bool = False
    reason: str = ""


def preview(storage: Storage, artifact: Artifact) -> Preview:
    """What can be shown of an artifact. Raises StorageError only when the storage doesn't answer."""
    if artifact.format == "none":
        return _nothing("the stage returned None")
    if artifact.uri is None:
        return _nothing("the file is older than files are kept, and was removed")
    if artifact.format == "pickle":
        return _nothing(f"{artifact.type_name} is stored as a pickle, which is never loaded outside of a stage")
    try:
        if artifact.format in _TABLES:
            found = preview_tables.first_rows(storage, artifact)
            return Preview("table", found.columns, found.rows, found.total_rows, truncated=found.truncated)
        return _of_content(artifact, beginning(storage, artifact, TEXT_BYTES))
    except UnshownError as error:
        return _nothing(str(error))
    except MissingFileError:
        return _nothing("the file isn't in the storage")
    except DamagedError:
        return _nothing("the file in the storage isn't what the stage left")


def image(storage: Storage, artifact: Artifact) -> str | None:
    """The media type of an artifact that is an image; None if it is none. Raises as `artifact_content.opened`."""
    if artifact.format != "bytes" or artifact.size > MOST_IMAGE_BYTES:
        return None
    return image_type(beginning(storage, artifact, MAGIC_BYTES))


def _of_content(artifact: Artifact, head: bytes) -> Preview:
    whole = len(head) == artifact.size
    if artifact.format == "json":
        return _json(head, whole)
    if artifact.format == "bytes" and image_type(head) is not None:
        if artifact.size > MOST_IMAGE_BYTES:
            return _nothing(f"images are shown up to {MOST_IMAGE_BYTES / 1e6:.0f} MB")
        return Preview("image")
    if artifact.format == "bytes" and not _is_text(head, whole):
        return _nothing("the content is neither text nor an image that can be shown")
    if _is_csv(artifact):
        return _csv(head, whole)
    return _text(head, whole)


def _nothing(reason: str) -> Preview:
    return Preview("none", reason=reason)


def _text(head: bytes, whole: bool) -> Preview:
    # The last character may be cut.
    text = head.decode("utf-8", "replace" if whole else "ignore")
    return Preview("text", text=text, truncated=not whole)


def _is_text(head: bytes, whole: bool) -> bool:
    if head.translate(None, _CONTROLS) != head:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
    except UnicodeDecodeError:
        return False
    return True


def _json(head: bytes, whole: bool) -> Preview:
    if not whole:
        return _text(head, whole)
    try:
        pretty = json.dumps(json.loads(head), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return _text(head, whole)
    return Preview("text", text=pretty.encode("utf-8", "replace").decode())


def _is_csv(artifact: Artifact) -> bool:
    return artifact.name.lower().endswith(".csv") or str(artifact.details.get("format")).lower() == "csv"


def _csv(head: bytes, whole: bool) -> Preview:
    text = head.decode("utf-8-sig", "replace" if whole else "ignore")
    try:
        lines = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error:
        return _text(head, whole)
    if not whole:
        lines = lines[:-1]  # cut
    if not lines:
        return _text(head, whole)
    names, *rows = lines
    width = min(COLUMNS, max(len(line) for line in lines[: ROWS + 1]))
    shown = [[_cell(row, place) for place in range(width)] for row in rows[:ROWS]]
    more = not whole or len(rows) > ROWS or width < len(names)
    columns = [str(_cell(names, place) or "") for place in range(width)]
    return Preview("table", columns, shown, len(rows) if whole else None, truncated=more)


def _cell(row: list[str], place: int) -> str | None:
    return row[place][:LONGEST_CELL] if place < len(row) else None
