"""What an export says of itself: `export.json`, which is written last, so that a folder without it isn't finished.

Keep out how it is come by.
"""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field

MANIFEST = "export.json"
FORMAT = 1


class ExportedFile(BaseModel):
    """A file by its size in bytes and its content; `rows` of a table."""

    model_config = ConfigDict(frozen=True)

    bytes: int = Field(ge=0)
    sha256: str
    rows: int | None = None


class Prices(BaseModel):
    """What the cost of stages is computed by."""

    model_config = ConfigDict(frozen=True)

    cpu_hour: float
    gb_hour: float
    currency: str


class Export(BaseModel):
    """One export. `files` are below its folder, by their relative names.

    Everything is as it was at `made_at`; `revision` is that of the platform's tables. `prices` are what an hour of a
    core and of a GB of memory (1e9 bytes) costs here.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    made_at: datetime
    version: str
    revision: str
    product: str | None
    since: date | None
    prices: Prices
    files: dict[str, ExportedFile]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(file.rows or 0 for file in self.files.values())

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files.values())
