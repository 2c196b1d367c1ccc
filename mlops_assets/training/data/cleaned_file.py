"""Cleaned rows as a local Parquet file, made from pieces of raw rows, with the account of their cleaning.

Add here how pieces are cleaned and counted. Keep out where raw pieces come from (`raw_pieces`), what a row must be
(`contract`) and where the file is kept (`versions`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.products.cleaned import Cleaned
from mlops_assets.training.data.contract_facts import CleanFacts, RawCount
from mlops_assets.training.data.parquet_pieces import ParquetPieces

if TYPE_CHECKING:
    import pandas as pd

NAME = "rows.parquet"
HEAD_ROWS = 20

Clean = Callable[["pd.DataFrame"], Cleaned]


@dataclass(frozen=True, eq=False)
class CleanedFile:
    """What `Cleaned` tells, of rows that are in the file `path`: their number, column types and first few."""

    path: Path
    rows: int
    columns: dict[str, str]
    dropped: dict[str, int]
    handled: dict[str, int]
    head: pd.DataFrame


def clean_pieces(
    clean: Clean,
    pieces: Iterable[pd.DataFrame],
    folder: Path,
    raw_count: RawCount | None = None,
    facts: CleanFacts | None = None,
) -> CleanedFile:
    """Clean piece by piece into a file in `folder`; what the contract needs is counted on the way.

    Raises what `clean` and the pieces raise, and StorageError.
    """
    kept = ParquetPieces(folder, NAME)
    dropped: Counter[str] = Counter()
    handled: Counter[str] = Counter()
    head: pd.DataFrame | None = None
    for raw in pieces:
        if raw_count is not None:
            raw_count.add(raw)
        cleaned = clean(raw)
        if facts is not None:
            facts.add(cleaned)
        kept.add(cleaned.rows)
        dropped.update(cleaned.dropped)
        handled.update(cleaned.handled)
        if head is None or len(head) < HEAD_ROWS:
            # A copy: a view would keep the piece.
            head = cleaned.rows.head(HEAD_ROWS).copy()
    if head is None:
        raise ValueError("there is no piece to clean")
    return CleanedFile(kept.file(), kept.rows, kept.columns, dict(dropped), dict(handled), head)
