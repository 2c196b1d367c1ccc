"""From a source to a registered, checked data version, and back to its rows.

Add here the order of the steps. Keep out fetching (`sources`), reading (`csv_file`), labels (`live_labels`),
numbering (`datasets`) and judging (`contract`).
"""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.products.cleaned import Cleaned
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.training import contract, csv_file, datasets, live_labels, sources
from mlops_assets.training.contract import Finding
from mlops_assets.training.raw_file import SourceError
from mlops_assets.training.records import DataVersion
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import pandas as pd

# What a person has to put right in the data, the source or the storage, as one message and no traceback.
REFUSED = (SourceError, csv_file.CsvError, datasets.DatasetError, StorageError)


@dataclass(frozen=True)
class Ingested:
    """A data version with how its rows came about and what its contract says of them.

    `live_rows` of its raw rows are labels from live use, the others the source's.
    """

    version: DataVersion
    cleaned: Cleaned
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
    versions = datasets.DatasetVersions(database, storage)
    with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
        source = _fetch(product, Path(folder), override)
        raw = csv_file.read_rows(source.path, product.contract, product.source, name=source.location)
        fetched, live_rows = live_labels.append(product, functions, live_labels.read(product, database), source, raw)
        if live_rows:
            raw = csv_file.read_rows(fetched.path, product.contract, product.source, name=fetched.location)
        cleaned = functions.clean(raw)
        facts = contract.raw_facts(raw)
        previous = _rows_before(versions, product, fetched)
        findings = contract.check(facts, cleaned, product.contract, previous)
        cleaning = datasets.cleaning_version(functions.clean)
        record, is_new = versions.register(product.name, fetched, cleaned, cleaning=cleaning)
    if live_rows:
        live_labels.record(database, product.name, source.sha256, record.version, live_rows)
    version = DataVersion(
        product=product.name,
        version=record.version,
        sha256=record.sha256,
        rows=len(cleaned.rows),
        source=fetched.location,
        sample=record.sample,
    )
    return Ingested(version, cleaned, findings, is_new, live_rows)


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


def _rows_before(versions: datasets.DatasetVersions, product: Product, fetched: sources.Fetched) -> pd.DataFrame | None:
    """Rows of the newest other version of the same kind; sample data says nothing about real data."""
    earlier = [
        record
        for record in versions.list(product.name)
        if record.sample == fetched.sample and record.sha256 != fetched.sha256
    ]
    return versions.load(product.name, earlier[-1].version).rows if earlier else None


def rows_of(product: Product, version: DataVersion, database: Database, storage: Storage) -> pd.DataFrame:
    """The cleaned rows of a version, as today's cleaning cleans them."""
    functions = importlib.import_module(product.functions)

    def clean(path: Path) -> Cleaned:
        cleaned: Cleaned = functions.clean(csv_file.read_rows(path, product.contract, product.source))
        return cleaned

    found = datasets.DatasetVersions(database, storage).load(
        product.name,
        version.version,
        cleaning=datasets.cleaning_version(functions.clean),
        clean=clean,
    )
    return found.rows
