"""`mlops backup`: an installation's state in a folder, taken while it works.

What services have answered but not yet shipped is copied first, then the database as it is at one moment, then the
files: so no answer is missing, and every file that the database tells of is there. Keep out how each is done.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from mlops_assets.backup import database, files
from mlops_assets.backup.new_folder import new_folder
from mlops_assets.backup.record import DATABASE_FOLDER, RECORD_FILE, File, Record
from mlops_assets.installation.report import Report
from mlops_assets.settings import Settings
from mlops_assets.storage import revisions
from mlops_assets.storage.files import atomic_file, sha256_of

PACKAGES = ("dagster", "mlflow")
OWN = "mlops_assets"


def backup(settings: Settings, folder: Path, report: Report) -> Record:
    """Save everything into a folder that isn't there yet, or is empty.

    Raises:
        BackupError: it holds something, or the database can't be dumped.
        StorageError: a file can't be read or written; names it.
    """
    with new_folder(settings, folder) as made:
        return _save(settings, made, report)


def _save(settings: Settings, folder: Path, report: Report) -> Record:
    with report.step("Copy what isn't in the database yet"):
        saved = files.copied(files.unshipped(settings), folder)
    with database.database_up(settings), database.snapshot(settings) as (connection, name):
        with report.step("Dump the database"):
            database.dump(settings, name, folder / DATABASE_FOLDER)
        with report.step("Sum up its tables"):
            tables = database.fingerprints(connection)
        revision = revisions.revision_of(connection)
    dumped = {
        f"{DATABASE_FOLDER}/{path.name}": File(bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in sorted((folder / DATABASE_FOLDER).iterdir())
    }
    with report.step("Copy files"):
        saved |= files.copied(files.stored(settings), folder)
    record = Record(
        made_at=datetime.now(UTC),
        version=version(OWN),
        revision=revision,
        versions={name: version(name) for name in PACKAGES},
        storage=settings.storage,
        tables=tables,
        files=saved | dumped,
    )
    with atomic_file(folder / RECORD_FILE) as file:
        file.write(record.model_dump_json(indent=1).encode())
    os.chmod(folder / RECORD_FILE, 0o600)
    return record
