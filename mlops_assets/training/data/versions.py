"""Numbered versions of a product's data: V1, V2, … one for each content of its raw file, readable for ever.

Add here what keeps or gives back a version. Keep out fetching (`sources`), reading (`csv_file`) and judging
(`contract`). A version is identified by the hash of its raw bytes, never by the cleaning code, so that new
code makes no new data. Files lie under that hash and are written before the table's row:

    <product>/datasets/<raw sha256>/raw.csv.gz
    <product>/datasets/<raw sha256>/<cleaning>/rows.parquet, dataset.json (last)

So two runs never write different bytes to one place, and a killed one leaves files that the next one finds.
"""

from __future__ import annotations

import gzip
import hashlib
import inspect
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.storage.files import BLOCK, Storage, StorageError, atomic_file, sha256_of
from mlops_assets.training.data.cleaned_file import CleanedFile
from mlops_assets.training.data.parquet_pieces import read_column
from mlops_assets.training.data.sources import Fetched

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy.orm import Session

    from mlops_assets.storage.database import Database, DatasetVersion

RAW = "raw.csv.gz"
ROWS = "rows.parquet"
MANIFEST = "dataset.json"


class DatasetError(RuntimeError):
    """A data version isn't there, or what is kept of it isn't what was written."""


@dataclass(frozen=True)
class DatasetRecord:
    """One registered version. `uri` is the folder of its first cleaned rows, relative to the storage root."""

    product: str
    version: int
    sha256: str
    rows: int
    uri: str
    source: str
    sample: bool
    created_at: datetime


@dataclass(frozen=True)
class Dataset:
    """A version with its cleaned rows and the content of its `dataset.json`."""

    record: DatasetRecord
    rows: pd.DataFrame
    manifest: dict[str, Any]


def cleaning_version(clean: Callable[..., Any], rows_in_memory: int | None = None) -> str:
    """12 hexadecimal digits that change with the module of `clean`, the size of pieces, with pandas and with pyarrow.

    Equal digits mean equal rows and equal Parquet bytes from equal raw bytes.
    """
    import pandas as pd
    import pyarrow as pa

    source = inspect.getsource(sys.modules[clean.__module__])
    text = "\0".join((clean.__qualname__, source, pd.__version__, pa.__version__))
    if rows_in_memory is not None:
        text += f"\0{rows_in_memory}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class DatasetVersions:
    """The versions of every product: numbers and hashes in the database, files in the storage."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self._database = database
        self._storage = storage

    def register(
        self, product: str, fetched: Fetched, cleaned: CleanedFile, *, cleaning: str
    ) -> tuple[DatasetRecord, bool]:
        """The version of this raw content, and whether it is new: the next number, or the one it already has.

        `cleaning` is `cleaning_version` of the code that made `cleaned`. Safe against other runs and kills at
        any point: files first, then one transaction that takes the number.
        """
        self._keep_raw(product, fetched)
        self._keep_rows(product, fetched, cleaned, cleaning)
        uri = f"{product}/datasets/{fetched.sha256}/{cleaning}"
        with self._database.session() as session, session.begin():
            return self._number(session, product, fetched, cleaned.rows, uri)

    def load(
        self,
        product: str,
        version: int,
        *,
        cleaning: str | None = None,
        clean: Callable[[Path, Path], CleanedFile] | None = None,
    ) -> Dataset:
        """A version with all of its rows in memory; else as `rows_file`."""
        import pandas as pd

        with self.rows_file(product, version, cleaning=cleaning, clean=clean) as (path, record, manifest):
            return Dataset(record, pd.read_parquet(path), manifest)

    def categories(self, product: str, version: int, names: Collection[str]) -> dict[str, set[Any]]:
        """The values that those columns of a version have, of the columns that it has. Raises DatasetError."""
        with self.rows_file(product, version) as (path, _, manifest):
            return {
                name: {value for piece in read_column(path, name) for value in piece.dropna().unique()}
                for name in names
                if name in manifest["columns"]
            }

    @contextmanager
    def rows_file(
        self,
        product: str,
        version: int,
        *,
        cleaning: str | None = None,
        clean: Callable[[Path, Path], CleanedFile] | None = None,
    ) -> Iterator[tuple[Path, DatasetRecord, dict[str, Any]]]:
        """A version's cleaned rows as a temporary local file, checked against their hash, with their manifest.

        By default as they were cleaned when the version was registered. With `cleaning`, as that code cleans
        them: the kept rows, or else those of `clean(path of the raw CSV, folder to work in)`, which are then kept.
        Raises DatasetError.
        """
        record = self.get(product, version)
        folder = self._folder(product, record.sha256)
        wanted = cleaning or record.uri.rpartition("/")[2]
        if not folder.at(wanted).exists(MANIFEST):
            # Without a version of the code asked for, rows of today's code would pass for those of the first.
            if clean is None or cleaning is None:
                raise DatasetError(f"{product} V{version}: no rows cleaned by {wanted} are kept")
            with self.raw_file(product, version) as path:
                fetched = Fetched(path, record.sha256, path.stat().st_size, record.source, record.source, record.sample)
                self._keep_rows(product, fetched, clean(path, path.parent), wanted)
        manifest = folder.at(wanted).read_json(MANIFEST)
        with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
            local = Path(temporary) / ROWS
            folder.at(wanted).read_file(ROWS, local)
            _verify(folder.at(wanted), local, record, manifest)
            yield local, record, manifest

    @contextmanager
    def raw_file(self, product: str, version: int) -> Iterator[Path]:
        """The raw CSV of a version as a temporary local file, checked against its hash."""
        record = self.get(product, version)
        with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
            packed, path = Path(temporary) / RAW, Path(temporary) / "raw.csv"
            self._folder(product, record.sha256).read_file(RAW, packed)
            try:
                with gzip.open(packed) as source, atomic_file(path) as file:
                    shutil.copyfileobj(source, file, BLOCK)
            except (StorageError, EOFError, gzip.BadGzipFile) as error:
                raise DatasetError(f"{product} V{version}: the raw file can't be unpacked: {error}") from error
            if sha256_of(path) != record.sha256:
                raise DatasetError(f"{product} V{version}: the raw file isn't what was registered")
            yield path

    def get(self, product: str, version: int) -> DatasetRecord:
        """One version's record. Raises DatasetError naming the versions there are."""
        records = self.list(product)
        found = next((r for r in records if r.version == version), None)
        if found is None:
            known = ", ".join(f"V{r.version}" for r in records) or "none"
            raise DatasetError(f"{product} has no data version V{version}; there is {known}")
        return found

    def latest(self, product: str) -> DatasetRecord | None:
        """The version with the highest number, or None."""
        records = self.list(product)
        return records[-1] if records else None

    def list(self, product: str) -> tuple[DatasetRecord, ...]:
        """Every version of a product, oldest first."""
        from sqlalchemy import select

        from mlops_assets.storage.database import DatasetVersion

        query = select(DatasetVersion).where(DatasetVersion.product == product).order_by(DatasetVersion.version)
        with self._database.session() as session:
            return tuple(_record(row) for row in session.scalars(query))

    def _folder(self, product: str, sha256: str) -> Storage:
        return self._storage.at(product, "datasets", sha256)

    def _keep_raw(self, product: str, fetched: Fetched) -> None:
        folder = self._folder(product, fetched.sha256)
        if folder.exists(RAW):
            return
        if sha256_of(fetched.path) != fetched.sha256:
            raise DatasetError(f"{fetched.location}: the fetched file changed after it was fetched")
        with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
            packed = Path(temporary) / RAW
            with (
                fetched.path.open("rb") as source,
                atomic_file(packed) as file,
                # No time and no name in the header: equal content packs to equal bytes.
                gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as out,
            ):
                shutil.copyfileobj(source, out, BLOCK)
            folder.write_file(RAW, packed)

    def _keep_rows(self, product: str, fetched: Fetched, cleaned: CleanedFile, cleaning: str) -> None:
        folder = self._folder(product, fetched.sha256).at(cleaning)
        if self._whole(folder):
            return
        folder.write_file(ROWS, cleaned.path)
        manifest = {
            "format": 1,
            "product": product,
            "sha256": fetched.sha256,
            "bytes": fetched.bytes,
            "source": fetched.location,
            "sample": fetched.sample,
            "cleaning": cleaning,
            "rows": cleaned.rows,
            "rows_sha256": sha256_of(cleaned.path),
            "columns": cleaned.columns,
            "dropped": dict(cleaned.dropped),
            "handled": dict(cleaned.handled),
        }
        folder.write_json(MANIFEST, manifest)

    def _whole(self, folder: Storage) -> bool:
        """Whether the rows are there as their manifest says; damaged ones are written again."""
        if not (folder.exists(MANIFEST) and folder.exists(ROWS)):
            return False
        return folder.sha256(ROWS) == folder.read_json(MANIFEST).get("rows_sha256")

    def _number(
        self, session: Session, product: str, fetched: Fetched, rows: int, uri: str
    ) -> tuple[DatasetRecord, bool]:
        """Find or take the version number, one run at a time; the table's unique keys back the lock up."""
        from sqlalchemy import func, select, text

        from mlops_assets.storage.database import DatasetVersion

        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        session.execute(lock, {"name": f"mlops.dataset_version.{product}"})
        mine = DatasetVersion.product == product
        known = session.scalar(select(DatasetVersion).where(mine, DatasetVersion.sha256 == fetched.sha256))
        if known is not None:
            return _record(known), False
        last = session.scalar(select(func.max(DatasetVersion.version)).where(mine)) or 0
        row = DatasetVersion(
            product=product,
            version=last + 1,
            sha256=fetched.sha256,
            rows=rows,
            uri=uri,
            source=fetched.location,
            sample=fetched.sample,
        )
        session.add(row)
        session.flush()
        session.refresh(row)
        return _record(row), True


def _verify(folder: Storage, local: Path, record: DatasetRecord, manifest: dict[str, Any]) -> None:
    name = f"{record.product} V{record.version}"
    if manifest.get("sha256") != record.sha256 or manifest.get("product") != record.product:
        raise DatasetError(f"{name}: {folder.locate(MANIFEST)} belongs to other data")
    if sha256_of(local) != manifest.get("rows_sha256"):
        raise DatasetError(f"{name}: {folder.locate(ROWS)} isn't what was written; its hash differs")


def _record(row: DatasetVersion) -> DatasetRecord:
    return DatasetRecord(
        row.product, row.version, row.sha256, row.rows, row.uri, row.source, row.sample, row.created_at
    )
