"""`mlops restore`: a backup put back into an empty place, and compared with what was saved before anybody may use it.

A restore that was killed leaves a mark: nothing starts until the same restore has been made again. Keep out how
database and files are put back (`database`, `files`).
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from packaging.version import Version
from sqlalchemy import create_engine, text

from mlops_assets.backup import database, files
from mlops_assets.backup.make import OWN
from mlops_assets.backup.record import DATABASE_FOLDER, BackupError, Record, read_record
from mlops_assets.installation.report import Report
from mlops_assets.installation.supervisor import Supervisor
from mlops_assets.installation.up import RESTORING, exclusive, prepare_home
from mlops_assets.settings import Settings
from mlops_assets.storage import revisions

MOST_NAMED = 5
# Columns that tell where files are, by their whole address. Everything else names files below the storage root.
ADDRESSES = (
    ("mlops.release", "uri"),
    ("mlops.dataset_version", "uri"),
    ("mlops.drift_verdict", "report_uri"),
    ("mlops.artifact", "uri"),
    ("mlflow.experiments", "artifact_location"),
    ("mlflow.runs", "artifact_uri"),
    ("mlflow.model_versions", "source"),
    ("mlflow.model_versions", "storage_location"),
    ("mlflow.logged_models", "artifact_location"),
)
_COLUMNS = "SELECT table_schema || '.' || table_name, column_name FROM information_schema.columns"
_MOVE = """
UPDATE {table} SET {column} = :after || substr({column}, length(:before) + 1)
WHERE starts_with({column}, :before || '/')
"""


def restore(settings: Settings, folder: Path, report: Report) -> Record:
    """Put a backup back. The installation is down and holds nothing, or a restore of the same backup was begun.

    Raises:
        BackupError: the backup is damaged or of a later version, the place isn't empty, or what was put back isn't what
            was saved; names the files, tables or settings.
        StorageError: a file can't be read or written; names it.
    """
    folder = folder.expanduser().absolute()
    record = read_record(folder)
    _refuse_later(record)
    if Supervisor(settings).running():
        raise BackupError("the installation runs; stop it first: mlops down")
    mark = settings.home / RESTORING
    begun = _begun(mark, record)
    if not begun:
        _refuse_files(settings)
    with report.step(f"Check {len(record.files):,} files of the backup"):
        damaged = files.changed(folder, record.files)
        if damaged:
            raise BackupError(f"the backup is damaged: {_some(damaged)}")
    prepare_home(settings)
    with exclusive(settings), database.database_up(settings):
        if not begun:
            _refuse_tables(settings)
        mark.write_text(record.made_at.isoformat())
        with report.step(f"Restore the database: {record.rows:,} rows"):
            database.restore(settings, folder / DATABASE_FOLDER)
        with report.step("Compare its tables with what was saved"):
            _compare(settings, record)
        if settings.storage != record.storage:
            with report.step(f"Move addresses from {record.storage}"):
                _move(settings, record.storage)
        with report.step("Put files back"):
            files.put_back(folder, settings, record.files)
        mark.unlink()
    return record


def _refuse_later(record: Record) -> None:
    for name, theirs in {OWN: record.version, **record.versions}.items():
        if Version(theirs) > Version(version(name)):
            raise BackupError(
                f"the backup was made with {name} {theirs}, which is later than this one's {version(name)}"
            )
    if not revisions.knows(record.revision):
        raise BackupError(f"the backup's tables are at {record.revision!r}, which version {version(OWN)} doesn't know")


def _begun(mark: Path, record: Record) -> bool:
    if not mark.exists():
        return False
    if mark.read_text().strip() != record.made_at.isoformat():
        raise BackupError(f"{mark.parent}: the restore of another backup was begun; make that one again, or empty it")
    return True


def _refuse_files(settings: Settings) -> None:
    found = files.present(settings)
    if found:
        raise BackupError(f"{settings.home} isn't empty: {_some(found)}. Restore into a new MLOPS_HOME")


def _refuse_tables(settings: Settings) -> None:
    found = database.tables(settings)
    if found:
        raise BackupError(f"the database isn't empty: {_some(found)}")


def _compare(settings: Settings, record: Record) -> None:
    with database.snapshot(settings) as (connection, _):
        found = database.fingerprints(connection)
    different = [
        f"{name} ({record.tables[name].rows:,} rows saved, {found[name].rows if name in found else 'none':} restored)"
        for name in record.tables
        if found.get(name) != record.tables[name]
    ]
    if different:
        raise BackupError(f"tables aren't what was saved: {_some(different)}")


def _move(settings: Settings, before: str) -> None:
    """Let the addresses of files begin with this installation's storage root instead of the backup's."""
    roots = {"before": before.rstrip("/"), "after": settings.storage.rstrip("/")}
    engine = create_engine(settings.database)
    with engine.begin() as connection:
        there = {tuple(row) for row in connection.execute(text(_COLUMNS))}
        for table, column in ADDRESSES:
            # MLflow's tables differ from version to version.
            if (table, column) in there:
                connection.execute(text(_MOVE.format(table=table, column=column)), roots)
    engine.dispose()


def _some(names: list[str]) -> str:
    left = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {left} more" if left > 0 else "")
