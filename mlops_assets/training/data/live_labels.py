"""Labels from live use as further raw rows: what users asked for, with the actual value they told later.

They are appended to the fetched file as CSV lines, so that version, cleaning, contract, split and gates are those of
any raw file. Labels are what users say, and users may lie: a row enters only if cleaning keeps it and every value is
in the contract's range; one user (all without a name are one) gives `per_user` at most, all together `max_share`
of the source's rows; the contract's shares and the gates judge what comes of them. A text that a user typed can
become a known category. Add here which labels become rows. Keep out what a row looks like: that is `as_raw` of the
product's module.
"""

from __future__ import annotations

import csv
import io
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_assets.storage.database import Database
from mlops_assets.storage.files import BLOCK, atomic_file, sha256_of
from mlops_assets.training.data.raw_file import SourceError
from mlops_assets.training.data.sources import Fetched
from mlops_assets.training.data.spec import Column
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import pandas as pd

LABELLED_NAME = "labelled.csv"
# The window begins at midnight, so that it is the same for every run of a day.
_LABELLED = """
SELECT features, value FROM (
  SELECT p.features, f.value, f.at, f.id,
    row_number() OVER (PARTITION BY coalesce(f.user_hash, '') ORDER BY f.at DESC, f.id DESC) AS number
  FROM mlops.feedback_current AS f JOIN mlops.prediction AS p ON p.id = f.prediction_id AND p.product = f.product
  WHERE f.product = :product AND f.type = 'actual_price' AND f.value > 0 AND f.value < 'infinity'
    AND f.at >= date_trunc('day', clock_timestamp(), 'UTC') - make_interval(days => :days)
) AS labelled WHERE number <= :per_user ORDER BY at DESC, id DESC
"""
_RECORD = """
INSERT INTO mlops.labelled_source (product, source_sha256, version, live_rows)
VALUES (:product, :sha256, :version, :rows) ON CONFLICT DO NOTHING
"""
_KNOWN = "SELECT max(version) FROM mlops.labelled_source WHERE product = :product AND source_sha256 = :sha256"

AsRaw = Callable[[dict[str, Any], float], dict[str, str]]
Row = tuple[str, ...]


class Label(NamedTuple):
    """What was asked, as the log keeps it, and the actual value that a user told of the answer."""

    record: dict[str, Any]
    actual: float


def row_function(product: Product, module: Any) -> AsRaw | None:
    """`as_raw` of the product's module; None if the product takes no labels from live use.

    Raises:
        SourceError: it declares them, and they can't become rows.
    """
    if product.source.live_labels is None:
        return None
    if product.task != "regression":
        raise SourceError(f"{product.name}: source.live_labels needs a regression; live use tells actual numbers only")
    as_raw: AsRaw | None = getattr(module, "as_raw", None)
    if not callable(as_raw):
        raise SourceError(f"{product.name}: source.live_labels needs as_raw(record, actual) in {product.functions}")
    return as_raw


def read(product: Product, database: Database) -> list[Label]:
    """The newest actual values of the product's answers, newest first, with what was asked; [] if it takes none."""
    from sqlalchemy import text

    wanted = product.source.live_labels
    if wanted is None:
        return []
    given = {"product": product.name, "days": wanted.days, "per_user": wanted.per_user}
    with database.session() as session:
        return [Label(features, float(value)) for features, value in session.execute(text(_LABELLED), given)]


def append(
    product: Product, module: Any, labels: Sequence[Label], fetched: Fetched, raw: pd.DataFrame
) -> tuple[Fetched, int]:
    """The fetched file with labels as further lines, and how many those are.

    With too few of them it is the fetched file itself. `raw` are its rows. Raises SourceError if `as_raw` is missing,
    or it and `clean` don't fit together.
    """
    as_raw, wanted = row_function(product, module), product.source.live_labels
    if as_raw is None or wanted is None:
        return fetched, 0
    most = min(int(wanted.max_share * len(raw)), product.source.max_rows - len(raw))
    header = [str(name) for name in raw.columns]
    rows = _rows(product, module, as_raw, labels, header)[: max(0, most)]
    if len(rows) < wanted.min_rows:
        return fetched, 0
    path = fetched.path.with_name(LABELLED_NAME)
    _write(fetched.path, path, rows)
    more = f" + {len(rows):,} live labels"
    labelled = replace(
        fetched,
        path=path,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        location=fetched.location + more,
        description=fetched.description + more,
    )
    return labelled, len(rows)


def record(database: Database, product: str, source_sha256: str, version: int, live_rows: int) -> None:
    """Remember that a source's content is in a data version together with labels."""
    from sqlalchemy import text

    row = {"product": product, "sha256": source_sha256, "version": version, "rows": live_rows}
    with database.session() as session, session.begin():
        session.execute(text(_RECORD), row)


def version_with(database: Database, product: str, source_sha256: str) -> int | None:
    """The newest data version that holds this content of the source and labels from live use."""
    from sqlalchemy import text

    with database.session() as session:
        return session.scalar(text(_KNOWN), {"product": product, "sha256": source_sha256})


def _rows(product: Product, module: Any, as_raw: AsRaw, labels: Sequence[Label], header: Sequence[str]) -> list[Row]:
    """Labels as rows of the file, each once: those that cleaning keeps and whose every value is within the contract.

    Cleaning doesn't say which rows it drops. So all are cleaned once with their number as the actual value, which
    cleaning has to give back.
    """
    import pandas as pd

    asked = list(_asked(module, labels))
    if not asked:
        return []
    numbered = [_row(product, as_raw(record, float(n)), header) for n, (record, _) in enumerate(asked, start=1)]
    # Empty fields are null, as in a file that was read.
    raw = pd.DataFrame([[cell or None for cell in row] for row in numbered], columns=list(header), dtype=object)
    cleaned, target = module.clean(raw).rows, product.target.column
    if target not in cleaned.columns or not set(cleaned[target]) <= set(range(1, len(asked) + 1)):
        raise SourceError(f"{product.functions}: clean doesn't give back the {target} that as_raw wrote")
    # One that cleaning doesn't give is told by the contract's own check.
    columns = [column for column in product.contract.columns if column.name in cleaned.columns]
    within = [_within(column, cleaned[column.name]) for column in columns if column.name != target]
    fitting = cleaned[target][pd.concat(within, axis=1).all(axis=1)] if within else cleaned[target]
    chosen = [asked[int(n) - 1] for n in sorted(fitting)]
    told = pd.Series([label.actual for label in chosen], dtype="float64")
    for column in columns:
        if column.name == target:
            chosen = [label for label, fits in zip(chosen, _within(column, told), strict=True) if fits]
    return list(dict.fromkeys(_row(product, as_raw(record, actual), header) for record, actual in chosen))


def _asked(module: Any, labels: Sequence[Label]) -> Iterator[Label]:
    """The labels whose record could be a request today, with every field that one has."""
    for label in labels:
        try:
            yield Label(module.Request.model_validate(label.record).model_dump(), label.actual)
        except ValueError:
            continue


def _row(product: Product, cells: dict[str, str], header: Sequence[str]) -> Row:
    unknown = [name for name in cells if name not in header]
    if unknown:
        raise SourceError(f"{product.functions}.as_raw gives columns that the file lacks: {', '.join(unknown)}")
    return tuple(cells.get(name, "") for name in header)


def _within(column: Column, values: pd.Series) -> pd.Series:
    """Which cleaned values the contract allows by themselves; its shares are of all rows, and judged of all."""
    import pandas as pd

    fits = values.isna()
    if column.type == "number":
        numbers = pd.to_numeric(values, errors="coerce")
        low = -math.inf if column.minimum is None else column.minimum
        fits = fits | numbers.between(low, math.inf if column.maximum is None else column.maximum)
    else:
        fits = fits | (values.isin(column.values) if column.values is not None else True)
    return fits & values.notna() if column.required else fits


def _write(source: Path, target: Path, rows: Sequence[Row]) -> None:
    """Copy the file and add the rows as lines of its own kind."""
    with source.open("rb") as file:
        newline = b"\r\n" if file.readline(BLOCK).endswith(b"\r\n") else b"\n"
        file.seek(-1, io.SEEK_END)
        ended = file.read(1) in b"\r\n"
        file.seek(0)
        lines = io.StringIO(newline="")
        # Quoted always: a lone carriage return in a text would end its line.
        csv.writer(lines, lineterminator=newline.decode(), quoting=csv.QUOTE_ALL).writerows(rows)
        with atomic_file(target) as out:
            shutil.copyfileobj(file, out, BLOCK)
            out.write(b"" if ended else newline)
            out.write(lines.getvalue().encode())
