"""`mlops export`: rows as Parquet, pipelines as YAML, files as they are, all of one moment; the manifest last.

What can be lost meanwhile, by a removal at work, is left out of the files; rows are of one snapshot. Keep out which
tables are exported (`tables`) and what the folder says to whoever opens it (`readme`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from mlops_assets.backup import database, files
from mlops_assets.backup.make import OWN
from mlops_assets.backup.new_folder import new_folder
from mlops_assets.backup.record import STORAGE_FOLDER, BackupError
from mlops_assets.export.columns import columns_of
from mlops_assets.export.readme import readme
from mlops_assets.export.record import MANIFEST, Export, ExportedFile, Prices
from mlops_assets.export.tables import EXPORTED, Exported
from mlops_assets.installation.report import Report
from mlops_assets.pipelines import yaml_file
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.settings import Settings
from mlops_assets.storage import revisions
from mlops_assets.storage.files import atomic_file, sha256_of
from mlops_assets.storage.parquet_rows import write_rows
from mlops_assets.training.catalogue import declared_products

TABLES, PIPELINES, PRODUCTS = "tables", "pipelines", "products"
_PRODUCTS = "SELECT product FROM mlops.dataset_version UNION SELECT product FROM mlops.release ORDER BY 1"
_RELEASES = "SELECT product, version FROM mlops.release WHERE uri IS NOT NULL"
_SCORES = "SELECT product, file FROM mlops.scored_month"
# Hours whose rows have left the database; those of the others are in it.
_HOURS = """
SELECT done.product, done.hour FROM mlops.log_export AS done
WHERE NOT EXISTS (SELECT 1 FROM mlops.log_hour AS rows WHERE rows.product = done.product AND rows.hour = done.hour)
  AND done.hour >= coalesce(CAST(:since AS timestamptz), '-infinity')
"""
_VERSIONS = """
SELECT p.name, p.id::text AS id, v.version, v.spec FROM mlops.pipeline_version AS v
JOIN mlops.pipeline AS p ON p.id = v.pipeline_id ORDER BY p.created_at, v.version
"""
_PLAIN = re.compile(r"[a-z0-9_-]{1,100}", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """What is wanted: of one product or all, and of what happens, what happened since a UTC day."""

    product: str | None = None
    since: date | None = None

    @property
    def moment(self) -> datetime | None:
        """When that day begins."""
        return None if self.since is None else datetime.combine(self.since, time(), UTC)


def export(settings: Settings, folder: Path, asked: Asked, report: Report) -> Export:
    """Write everything that is asked for into a folder that isn't there yet, or is empty.

    Raises:
        BackupError: it holds something, or there is no such product.
        StorageError: a file can't be read or written; names it.
    """
    with new_folder(settings, folder) as made:
        return _export(settings, made, asked, report)


def _export(settings: Settings, folder: Path, asked: Asked, report: Report) -> Export:
    made_at = datetime.now(UTC)
    with database.database_up(settings), database.snapshot(settings) as (connection, _):
        products = _known(connection, asked)
        with report.step("Write tables"):
            found = {name: rows for exported in EXPORTED for name, rows in _table(connection, exported, asked, folder)}
        if asked.product is None:
            with report.step("Write pipelines"):
                _pipelines(connection, folder)
        wanted = _wanted(connection, products, asked)
        revision = revisions.revision_of(connection)
    with report.step("Copy files"):
        prefix = f"{STORAGE_FOLDER}/"
        sources = {
            f"{PRODUCTS}/{below}": opened
            for name, opened in files.in_storage(settings).items()
            if wanted(below := name.removeprefix(prefix))
        }
        copied = files.copied(sources, folder)
    (folder / "README.md").write_text(readme(made_at, asked.product, asked.since, found), encoding="utf-8")
    listed = {name: ExportedFile(bytes=one.bytes, sha256=one.sha256) for name, one in copied.items()}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in listed:
            size = path.stat().st_size
            listed[name] = ExportedFile(bytes=size, sha256=sha256_of(path), rows=found.get(name))
    done = Export(
        made_at=made_at,
        version=version(OWN),
        revision=revision,
        product=asked.product,
        since=asked.since,
        prices=Prices(
            cpu_hour=settings.cpu_hour_price, gb_hour=settings.gb_hour_price, currency=settings.price_currency
        ),
        files=dict(sorted(listed.items())),
    )
    with atomic_file(folder / MANIFEST) as file:
        file.write(done.model_dump_json(indent=1).encode())
    return done


def _known(connection: Connection, asked: Asked) -> set[str]:
    """The products whose files are wanted. Raises BackupError."""
    there = {product for (product,) in connection.execute(text(_PRODUCTS))}
    if asked.product is None:
        return there
    if asked.product not in there:
        raise BackupError(f"there is no product {asked.product!r}; there are: {', '.join(sorted(there)) or 'none'}")
    return {asked.product}


def _table(connection: Connection, exported: Exported, asked: Asked, folder: Path) -> Iterator[tuple[str, int]]:
    """Its file and how many rows that has; nothing for a table that isn't there or is of no single product."""
    columns = columns_of(connection, exported)
    if not columns or (asked.product is not None and exported.product is None):
        return
    wanted, values = [exported.where], dict[str, Any]()
    if asked.product is not None:
        # Experiments may have another name than their product.
        names = _experiments(asked.product) if exported.product == "e.name" else [asked.product]
        wanted.append(f"{exported.product} = ANY(:products)")
        values["products"] = names
    if asked.since is not None and exported.since is not None:
        wanted.append(f"{exported.since} >= :since")
        values["since"] = asked.moment
    source = f"{exported.table} AS t {exported.joined} WHERE {' AND '.join(wanted)}"
    if exported.order:
        source += f" ORDER BY {exported.order}"
    name = f"{TABLES}/{exported.name}.parquet"
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    yield name, write_rows(connection, columns, source, values, path)


def _experiments(product: str) -> list[str]:
    return [product, *(one.experiment_name for one in declared_products() if one.name == product)]


def _pipelines(connection: Connection, folder: Path) -> None:
    """Each version of each declared pipeline as YAML, below its name; a name that was used twice has its id too."""
    taken: dict[str, str] = {}
    for row in connection.execute(text(_VERSIONS)):
        name = row.name if _PLAIN.fullmatch(row.name) else row.id
        if taken.setdefault(name, row.id) != row.id:
            name = f"{name}-{row.id}"
        into = folder / PIPELINES / name
        into.mkdir(parents=True, exist_ok=True)
        words = yaml_file.dump(PipelineSpec.model_validate(row.spec))
        (into / f"version_{row.version}.yaml").write_text(words, encoding="utf-8")


def _wanted(connection: Connection, products: set[str], asked: Asked) -> Callable[[str], bool]:
    """Whether a file below the storage root is wanted, by its name."""
    releases = {(product, str(number)) for product, number in connection.execute(text(_RELEASES))}
    scores = {f"{product}/scores/{file}" for product, file in connection.execute(text(_SCORES))}
    hours = {
        (product, f"date={hour.astimezone(UTC):%Y-%m-%d}", f"hour={hour.astimezone(UTC):%H}")
        for product, hour in connection.execute(text(_HOURS), {"since": asked.moment})
    }

    def wanted(name: str) -> bool:
        product, kind, *rest = [*name.split("/"), "", ""]
        if product not in products:
            return False
        if kind in ("releases", "references"):
            return (product, rest[0]) in releases
        if kind == "prediction_log":
            return (product, *rest[:2]) in hours
        return kind == "datasets" or name in scores

    return wanted
