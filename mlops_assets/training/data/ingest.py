"""From a source to a registered, checked data version, and back to its rows.

Add here the order of the steps. Keep out fetching (`sources`), reading (`csv_file`), labels (`live_labels`),
numbering (`versions`) and judging (`contract`).
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.training.data import contract, csv_file, live_labels, raw_pieces, sources, versions
from mlops_assets.training.data.cleaned_file import CleanedFile, clean_pieces
from mlops_assets.training.data.contract import Finding
from mlops_assets.training.data.contract_facts import CleanFacts, RawCount
from mlops_assets.training.data.raw_file import SourceError
from mlops_assets.training.records import DataVersion
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import pandas as pd

# What a person has to put right in the data, the source or the storage, as one message and no traceback.
REFUSED = (SourceError, csv_file.CsvError, versions.DatasetError, StorageError)


@dataclass(frozen=True)
class Ingested:
    """A data version with how its rows came about and what its contract says of them.

    `live_rows` of its raw rows are labels from live use, the others the source's. `head` are its first rows.
    """

    version: DataVersion
    dropped: dict[str, int]
    handled: dict[str, int]
    head: pd.DataFrame
    findings: tuple[Finding, ...]
    is_new: bool
    live_rows: int = 0


def ingest(product: Product, database: Database, storage: Storage, override: str | None) -> Ingested:
    """Fetch, read, clean, check and register the product's source; `override` replaces the declared location.

    A product that declares it gets labels from live use as further rows of the file.

    Raises one of `REFUSED`, naming file, line and column where there is one.
    """
    functions = importlib.import_module(product.functions)
    live_labels.row_function(product, functions)
    kept = versions.DatasetVersions(database, storage)
    with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
        source = _fetch(product, Path(folder), override)
        fetched, live_rows = _with_labels(product, functions, database, source)
        raw, clean = RawCount(), CleanFacts(product.contract, _categories_before(kept, product, fetched))
        cleaned = _cleaned(product, functions, fetched.path, Path(folder), fetched.location, raw, clean)
        findings = contract.judge(raw.facts(), clean)
        record, is_new = kept.register(product.name, fetched, cleaned, cleaning=_cleaning_version(product, functions))
    if live_rows:
        live_labels.record(database, product.name, source.sha256, record.version, live_rows)
    version = DataVersion(
        product=product.name,
        version=record.version,
        sha256=record.sha256,
        rows=cleaned.rows,
        source=fetched.location,
        sample=record.sample,
    )
    return Ingested(version, cleaned.dropped, cleaned.handled, cleaned.head, findings, is_new, live_rows)


def _with_labels(
    product: Product, functions: Any, database: Database, source: sources.Fetched
) -> tuple[sources.Fetched, int]:
    labels = live_labels.read(product, database)
    if not labels:
        return source, 0
    raw = csv_file.read_rows(source.path, product.contract, product.source, name=source.location)
    return live_labels.append(product, functions, labels, source, raw)


def _cleaned(
    product: Product, functions: Any, path: Path, folder: Path, name: str | None = None, *counts: Any
) -> CleanedFile:
    pieces = raw_pieces.read_pieces(path, product.contract, product.source, folder, name=name)
    return clean_pieces(functions.clean, pieces, folder, *counts)


def _cleaning_version(product: Product, functions: Any) -> str:
    return versions.cleaning_version(functions.clean, product.source.rows_in_memory)


def _fetch(product: Product, folder: Path, override: str | None) -> sources.Fetched:
    if override or product.source.location:
        return sources.fetch(product.source, folder, override)
    return sources.fetch_sample(sample_generator(product), product.source, folder)


def sample_generator(product: Product) -> Any:
    """`generate` of the product's module of sample data, which lies in `samples` beside its functions.

    Raises:
        SourceError: the product has neither a source nor a generator.
    """
    package, _, name = product.functions.rpartition(".")
    try:
        return importlib.import_module(f"{package}.samples.{name}").generate
    except ModuleNotFoundError as error:
        if error.name not in (f"{package}.samples", f"{package}.samples.{name}"):
            raise
        raise SourceError(
            f"{product.name} has no source: set source.location in its YAML, or MLOPS_{product.name.upper()}_SOURCE"
        ) from error


def _categories_before(
    kept: versions.DatasetVersions, product: Product, fetched: sources.Fetched
) -> dict[str, set[Any]] | None:
    """Those of the newest other version of the same kind; sample data says nothing about real data."""
    earlier = [
        record
        for record in kept.list(product.name)
        if record.sample == fetched.sample and record.sha256 != fetched.sha256
    ]
    names = [column.name for column in product.contract.columns if column.type == "category"]
    return kept.categories(product.name, earlier[-1].version, names) if earlier else None


@contextmanager
def rows_file(product: Product, version: DataVersion, database: Database, storage: Storage) -> Iterator[Path]:
    """The cleaned rows of a version, as today's cleaning cleans them, as a temporary local Parquet file."""
    functions = importlib.import_module(product.functions)
    found = versions.DatasetVersions(database, storage).rows_file(
        product.name,
        version.version,
        cleaning=_cleaning_version(product, functions),
        clean=lambda path, folder: _cleaned(product, functions, path, folder),
    )
    with found as (path, _, _):
        yield path
