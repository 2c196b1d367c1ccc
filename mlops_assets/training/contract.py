"""The data contract of a product as pure checks: raw facts, cleaned rows and their account in, findings out.

Add a check here when it can be told from the rows alone, for any product. Keep out reading files, Dagster and
what to do about a finding. Every check always yields a finding, so that a gate never lacks its result; shares
are of rows, from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from numbers import Real
from typing import TYPE_CHECKING, Literal

from mlops_assets.products.cleaned import Cleaned
from mlops_assets.training.data_spec import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning"]
SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One check's result. Failed with severity `error` it blocks training; `limit` None only tells."""

    check: str
    passed: bool
    severity: Severity
    column: str | None
    value: float
    limit: float | None
    message: str


@dataclass(frozen=True)
class RawFacts:
    """What the checks need of the raw rows, so that these needn't be kept."""

    rows: int
    columns: tuple[str, ...]
    null_shares: dict[str, float]
    duplicate_share: float


def raw_facts(raw: pd.DataFrame) -> RawFacts:
    """The facts of raw rows as `read_rows` returns them."""
    rows = len(raw)
    return RawFacts(
        rows=rows,
        columns=tuple(str(c) for c in raw.columns),
        null_shares={str(c): _share(int(raw[c].isna().sum()), rows) for c in raw.columns},
        duplicate_share=_share(int(raw.duplicated().sum()), rows),
    )


def check(
    facts: RawFacts,
    cleaned: Cleaned,
    contract: Contract,
    previous: pd.DataFrame | None = None,
    *,
    today: date | None = None,
) -> tuple[Finding, ...]:
    """Every finding about one data version, in the order of the steps.

    `previous` holds the cleaned rows of the version before; pass None for the first version, and when real
    data follows sample data, whose categories say nothing about real ones. No time may lie after `today`, the
    local date of the check unless it is given.
    """
    today = today or date.today()
    findings = [
        *_raw_columns(facts, contract),
        *_raw_nulls(facts, contract),
        *_accounts(facts, cleaned, contract),
    ]
    for column in contract.columns:
        if column.name not in cleaned.rows.columns:
            findings.append(_fact("column", False, 1, 0, f"cleaning returns no column {column.name}", column.name))
            continue
        values = cleaned.rows[column.name]
        findings.append(_clean_nulls(column, values))
        findings.append(_type(column, values))
        findings += [*_range(column, values), *_values(column, values), *_future(column, values, today)]
        if column.type == "category" and previous is not None and column.name in previous.columns:
            findings.append(_unseen(column, values, previous[column.name], contract.max_unseen_share))
    return tuple(findings)


def blocking(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings that stop training."""
    return tuple(f for f in findings if not f.passed and f.severity == "error")


def _raw_columns(facts: RawFacts, contract: Contract) -> Iterator[Finding]:
    missing = [c for c in contract.raw_columns if c not in facts.columns]
    extra = [c for c in facts.columns if c not in contract.raw_columns]
    yield _fact("raw_columns", not missing, len(missing), 0, f"raw columns missing: {_listed(missing)}")
    yield _fact(
        "raw_columns_extra", not extra, len(extra), 0, f"columns the contract doesn't name: {_listed(extra)}",
        severity="warning",
    )  # fmt: skip


def _raw_nulls(facts: RawFacts, contract: Contract) -> Iterator[Finding]:
    """Nulls before cleaning drops them. A raw column without a cleaned one of its name counts as required."""
    declared = {c.name: c for c in contract.columns}
    for name in contract.raw_columns:
        if name not in facts.null_shares:
            continue
        column, share = declared.get(name), facts.null_shares[name]
        if column is not None and not column.required:
            message = f"{name} is null in {share:.1%} of raw rows; it is optional"
            yield _fact("raw_nulls", True, share, None, message, name, severity="warning")
            continue
        limit = contract.max_null_share if column is None else min(column.max_null_share, contract.max_null_share)
        message = f"{name} is null in {share:.1%} of raw rows, {limit:.1%} at most"
        yield _fact("raw_nulls", share <= limit, share, limit, message, name)


def _accounts(facts: RawFacts, cleaned: Cleaned, contract: Contract) -> Iterator[Finding]:
    kept, dropped = len(cleaned.rows), sum(cleaned.dropped.values())
    lost = facts.rows - kept - dropped
    yield _fact(
        "account",
        lost == 0,
        lost,
        0,
        f"{facts.rows:,} raw rows, {kept:,} kept, {dropped:,} dropped with a reason",
    )
    yield _fact("min_rows", kept >= contract.min_rows, kept, contract.min_rows,
                f"{kept:,} rows after cleaning, {contract.min_rows:,} at least")  # fmt: skip
    share, limit = _share(dropped, facts.rows), contract.max_dropped_share
    reasons = ", ".join(f"{r} {n:,}" for r, n in sorted(cleaned.dropped.items(), key=lambda item: -item[1]))
    yield _fact("dropped_share", share <= limit, share, limit,
                f"{share:.1%} of raw rows dropped, {limit:.1%} at most ({reasons or 'none'})")  # fmt: skip
    limit = contract.max_duplicate_share
    yield _fact("raw_duplicates", facts.duplicate_share <= limit, facts.duplicate_share, limit,
                f"{facts.duplicate_share:.1%} of raw rows repeat another, {limit:.1%} expected at most",
                severity="warning")  # fmt: skip
    share = _share(int(cleaned.rows.duplicated().sum()), kept)
    yield _fact("duplicates", share <= limit, share, limit,
                f"{share:.1%} of cleaned rows repeat another, {limit:.1%} at most")  # fmt: skip


def _clean_nulls(column: Column, values: pd.Series) -> Finding:
    share = _share(int(values.isna().sum()), len(values))
    name = column.name
    if column.required:
        message = f"{name} is null in {share:.2%} of cleaned rows; it is required"
        return _fact("nulls", share == 0, share, 0, message, name)
    if "max_null_share" not in column.model_fields_set:
        message = f"{name} is null in {share:.1%} of cleaned rows; it is optional and no limit is declared"
        return _fact("nulls", True, share, None, message, name, severity="warning")
    limit = column.max_null_share
    message = f"{name} is null in {share:.1%} of cleaned rows, {limit:.1%} at most"
    return _fact("nulls", share <= limit, share, limit, message, name)


def _type(column: Column, values: pd.Series) -> Finding:
    present = values.dropna()
    if column.type == "number":
        wrong = len(present) - int(_numbers(values).notna().sum())
        expected = "finite numbers"
    elif column.type == "time":
        wrong = len(present) - len(_local_times(present))
        expected = "local times without a zone"
    else:
        wrong = sum(not isinstance(v, str) for v in present)
        expected = "text"
    message = f"{column.name} holds {wrong:,} values that aren't {expected}"
    return _fact("type", wrong == 0, wrong, 0, message, column.name)


def _range(column: Column, values: pd.Series) -> Iterator[Finding]:
    if column.type != "number":
        return
    numbers = _numbers(values)
    for check_name, limit, outside in (
        ("minimum", column.minimum, None if column.minimum is None else numbers < column.minimum),
        ("maximum", column.maximum, None if column.maximum is None else numbers > column.maximum),
    ):
        if outside is None or limit is None:
            continue
        count = int(outside.sum())
        message = f"{column.name} is {'under' if check_name == 'minimum' else 'over'} {limit:g} in {count:,} rows"
        if count:
            message += f", for example {_listed([f'{v:g}' for v in numbers[outside].head(SHOWN)])}"
        yield _fact(check_name, count == 0, count, 0, message, column.name)


def _values(column: Column, values: pd.Series) -> Iterator[Finding]:
    if column.values is None:
        return
    present = values.dropna()
    unknown = present[~present.isin(column.values)]
    message = f"{column.name} has {len(unknown):,} rows with values that aren't declared"
    if len(unknown):
        message += f": {_listed([str(v) for v in unknown.unique()])}"
    yield _fact("values", not len(unknown), len(unknown), 0, message, column.name)


def _future(column: Column, values: pd.Series, today: date) -> Iterator[Finding]:
    if column.type != "time":
        return
    times = _local_times(values.dropna())
    late = times[times >= datetime.combine(today + timedelta(days=1), time())]
    message = f"{column.name} is after {today} in {len(late):,} rows"
    if len(late):
        message += f", for example {_listed([f'{v:%Y-%m-%d %H:%M}' for v in late.head(SHOWN)])}"
    yield _fact("future", not len(late), len(late), 0, message, column.name)


def _unseen(column: Column, values: pd.Series, previous: pd.Series, limit: float) -> Finding:
    """Rows whose category the version before didn't have; an optional column only warns."""
    present = values.dropna()
    new = present[~present.isin(previous.dropna().unique())]
    share = _share(len(new), len(present))
    message = f"{column.name} is new to the version before in {share:.1%} of rows, {limit:.1%} at most"
    if len(new):
        message += f": {_listed([str(v) for v in new.unique()])}"
    severity: Severity = "error" if column.required else "warning"
    return _fact("unseen", share <= limit, share, limit, message, column.name, severity=severity)


def _numbers(values: pd.Series) -> pd.Series:
    """Finite numbers as float64, NaN for all else. Text isn't read as a number, nor a truth value."""
    import numpy as np
    import pandas as pd

    if values.dtype == object:
        values = values.map(lambda v: v if isinstance(v, Real) and not isinstance(v, bool) else np.nan)
    elif not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return pd.Series(np.nan, index=values.index)
    floats = values.astype("float64")
    return floats.where(np.isfinite(floats))


def _local_times(present: pd.Series) -> pd.Series:
    """Those values that are times without a zone. Text isn't read as a time, nor a number, nor a date alone."""
    import pandas as pd

    if isinstance(present.dtype, pd.DatetimeTZDtype):
        return present[:0].dt.tz_localize(None)
    if pd.api.types.is_datetime64_dtype(present):
        return present
    return present[[isinstance(v, datetime) and v.tzinfo is None for v in present]]


def _share(count: int, rows: int) -> float:
    return count / rows if rows else 0.0


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN]) or "none"
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _fact(
    check_name: str,
    passed: bool,
    value: float,
    limit: float | None,
    message: str,
    column: str | None = None,
    *,
    severity: Severity = "error",
) -> Finding:
    return Finding(check_name, bool(passed), severity, column, value, limit, message)
