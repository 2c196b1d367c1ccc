"""What a backup says of itself: `backup.json`, which is written last, so that a folder without it is no backup.

Add a field here when a restore has to know it; older backups need a default for it. Keep out how it is come by.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

RECORD_FILE = "backup.json"
FORMAT = 1
DATABASE_FOLDER = "database"
STORAGE_FOLDER = "storage"
HOME_FOLDER = "home"
# Of the installation's own folder: what was generated once, what the database doesn't hold yet, what people put there,
# and the releases as Bentos. The rest is made anew at each start.
HOME_FOLDERS = ("secrets", "journal", "functions", "bentos")
SCHEMAS = ("mlops", "dagster", "mlflow")


class BackupError(RuntimeError):
    """A backup can't be made, read or put back; the message names the file, table or setting."""


class Table(BaseModel):
    """A table's rows as a number and a sum of their hashes, which doesn't depend on their order."""

    model_config = ConfigDict(frozen=True)

    rows: int = Field(ge=0)
    fingerprint: str


class File(BaseModel):
    """A file by its size in bytes, its content, and who may do what with it."""

    model_config = ConfigDict(frozen=True)

    bytes: int = Field(ge=0)
    sha256: str
    mode: int = Field(default=0o600, ge=0, le=0o777)


class Record(BaseModel):
    """One backup. `files` are below its folder by their relative names, `tables` by `schema.table`.

    `revision` is that of the platform's own tables, `versions` those of the packages whose tables are in it, `storage`
    where the files were.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    made_at: datetime
    version: str
    revision: str
    versions: dict[str, str]
    storage: str
    tables: dict[str, Table]
    files: dict[str, File]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files.values())

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables.values())


def read_record(folder: Path) -> Record:
    """The record of a backup's folder.

    Raises:
        BackupError: there is none, it is unreadable, or of a later format.
    """
    path = folder / RECORD_FILE
    try:
        found = Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BackupError(f"{folder} holds no finished backup: there is no {RECORD_FILE}") from None
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise BackupError(f"{path}: {'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}") from None
    if found.format > FORMAT:
        raise BackupError(f"{path}: made by version {found.version}, in format {found.format}; this one reads {FORMAT}")
    return found
