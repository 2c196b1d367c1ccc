"""References: a sample of what each release was trained on, kept beside it and never changed.

Add here what must be kept of a release to compare live data with it. Keep out which rows those are
(`training.drift_reference`) and the comparison (`judge`).
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.drift.sample import Sample
from mlops_assets.storage.files import MissingFileError, Storage, StorageError
from mlops_assets.storage.folders import publish_folder

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
MANIFEST, ROWS, SCORED = "reference.json", "rows.parquet", "scored.parquet"


class MissingReferenceError(RuntimeError):
    """The release has no reference."""


class DamagedReferenceError(RuntimeError):
    """The reference is there and is not what was stored; the message names the file."""


def folder_of(storage: Storage, product: str, version: int) -> Storage:
    """`<product>/references/<version>` of the storage."""
    return storage.at(product, "references", str(version))


def store(storage: Storage, product: str, version: int, sample: Sample) -> str:
    """Keep the reference of a release, its manifest last; where it is.

    Equal samples give equal bytes, so a release that is made again after a kill finds its own. Raises StorageError
    when another reference is kept under that number.
    """
    folder = folder_of(storage, product, version)
    with tempfile.TemporaryDirectory(prefix="mlops-reference-") as temporary:
        local = Path(temporary)
        contents = {ROWS: _parquet(sample.rows), SCORED: _parquet(sample.scored)}
        for name, content in contents.items():
            (local / name).write_bytes(content)
        manifest = {
            "format": FORMAT,
            "product": product,
            "version": version,
            "logged_rows": sample.logged_rows,
            "rows": len(sample.rows),
            "scored": len(sample.scored),
            "columns": [*map(str, sample.rows.columns), *map(str, sample.scored.columns)],
            "sha256": {name: _sha256(content) for name, content in contents.items()},
        }
        (local / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        publish_folder(local, folder, manifest=MANIFEST)
    return folder.url


def load(storage: Storage, product: str, version: int) -> Sample:
    """The reference of a release, once each file's hash is checked.

    Raises MissingReferenceError, DamagedReferenceError, or StorageError when the store does not answer.
    """
    folder = folder_of(storage, product, version)
    manifest = _manifest(folder, product, version)
    return Sample(
        rows=_frame(folder, ROWS, manifest["sha256"]),
        scored=_frame(folder, SCORED, manifest["sha256"]),
        logged_rows=int(manifest["logged_rows"]),
    )


def _manifest(folder: Storage, product: str, version: int) -> Mapping[str, Any]:
    try:
        content = folder.read_bytes(MANIFEST)
    except MissingFileError as error:
        raise MissingReferenceError(
            f"release {version} of {product} has no reference: it was made before references were kept; train again"
        ) from error
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise DamagedReferenceError(f"{folder.locate(MANIFEST)} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DamagedReferenceError(f"{folder.locate(MANIFEST)}: its format is not {FORMAT}")
    for name, kind in (("sha256", dict), ("logged_rows", int)):
        if not isinstance(manifest.get(name), kind):
            raise DamagedReferenceError(f"{folder.locate(MANIFEST)}: its field {name} is missing or of another type")
    return manifest


def _frame(folder: Storage, name: str, hashes: Mapping[str, Any]) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = folder.read_bytes(name)
    except MissingFileError as error:
        raise DamagedReferenceError(f"{folder.locate(name)} is gone; its manifest is there") from error
    if _sha256(content) != hashes.get(name):
        raise DamagedReferenceError(f"{folder.locate(name)} is not the file that was stored: its sha256 differs")
    try:
        return pq.read_table(io.BytesIO(content)).to_pandas()
    except pa.ArrowException as error:
        raise StorageError(f"{folder.locate(name)}: not a readable Parquet file: {error}") from error


def _parquet(frame: pd.DataFrame) -> bytes:
    """Numbers as doubles, all else as text, without pandas' own notes: equal frames give equal bytes."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        str(name): pa.float64() if pd.api.types.is_numeric_dtype(frame[name]) else pa.string() for name in frame.columns
    }
    schema = pa.schema(list(kinds.items()))
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata(None)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
