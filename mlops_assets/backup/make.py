"""`mlops backup`: an installation's state in a folder, taken while it works.

What services have answered but not yet shipped is copied first, then the database as it is at one moment, then the
files: so no answer is missing, and every file that the database tells of is there. Keep out how each is done.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from mlops_assets.backup import database, files
from mlops_assets.backup.record import DATABASE_FOLDER, RECORD_FILE, BackupError, File, Record
from mlops_assets.installation.report import Report
from mlops_assets.installation.supervisor import Supervisor
from mlops_assets.installation.up import exclusive, prepare_home
from mlops_assets.settings import Settings
from mlops_assets.storage.files import atomic_file, sha256_of

PACKAGES = ("dagster", "mlflow")
OWN = "mlops_assets"


def backup(settings: Settings, folder: Path, report: Report) -> Record:
    """Save everything into a folder that isn't there yet, or is empty.

    Raises:
        BackupError: it holds something, or the database can't be dumped.
        StorageError: a file can't be read or written; names it.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder} is there and not empty: name a new folder")
    if not settings.home.exists():
        raise BackupError(f"there is no installation in {settings.home}")
    if folder.is_relative_to(settings.home):
        raise BackupError(f"{folder} is inside of what is saved ({settings.home})")
    prepare_home(settings)
    with ExitStack() as held:
        if not Supervisor(settings).running():
            held.enter_context(exclusive(settings))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return _save(settings, folder, report)
        except BaseException:
            # Half of one is worth nothing and looks like one.
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _save(settings: Settings, folder: Path, report: Report) -> Record:
    with report.step("Copy what isn't in the database yet"):
        saved = files.copied(files.unshipped(settings), folder)
    with database.database_up(settings), database.snapshot(settings) as (connection, name):
        with report.step("Dump the database"):
            database.dump(settings, name, folder / DATABASE_FOLDER)
        with report.step("Sum up its tables"):
            tables = database.fingerprints(connection)
        revision = database.revision_of(connection)
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
