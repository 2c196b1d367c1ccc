"""The data contract of a product as pure checks: raw facts, facts of cleaned rows and their account in, findings out.

Add a check here when it can be told from the rows alone, for any product. Keep out counting (`contract_facts`), reading
files, Dagster and what to do about a finding. Every check always yields a finding, so that a gate never lacks its
result; shares are of rows, from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from mlops_assets.products.cleaned import Cleaned
from mlops_assets.training.data.contract_facts import (
    SHOWN,
    CleanFacts,
    ColumnFacts,
    Odd,
    RawCount,
    RawFacts,
    categories_of,
    share,
)
from mlops_assets.training.data.spec import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning"]


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


def raw_facts(raw: pd.DataFrame) -> RawFacts:
    """The facts of raw rows as `read_rows` returns them."""
    counted = RawCount()
    counted.add(raw)
    return counted.facts()


def check(
    facts: RawFacts,
    cleaned: Cleaned,
    contract: Contract,
    previous: pd.DataFrame | None = None,
    *,
    today: date | None = None,
) -> tuple[Finding, ...]:
    """`judge` for rows that are all there. `previous` holds the cleaned rows of the version before."""
    counted = CleanFacts(contract, None if previous is None else categories_of(previous, contract), today=today)
    counted.add(cleaned)
    return judge(facts, counted)


def judge(raw: RawFacts, clean: CleanFacts) -> tuple[Finding, ...]:
    """Every finding about one data version, in the order of the steps.

    Facts that know no version before are those of a first version, or of real data that follows sample data, whose
    categories say nothing about real ones.
    """
    contract = clean.contract
    findings = [*_raw_columns(raw, contract), *_raw_nulls(raw, contract), *_accounts(raw, clean)]
    for column in contract.columns:
        facts = clean.columns.get(column.name)
        if facts is None:
            findings.append(_fact("column", False, 1, 0, f"cleaning returns no column {column.name}", column.name))
            continue
        findings.append(_clean_nulls(column, facts))
        findings.append(_type(column, facts))
        findings += [*_range(column, facts), *_values(column, facts), *_future(column, facts, clean.today)]
        if column.type == "category" and column.name in clean.compared:
            findings.append(_unseen(column, facts, contract.max_unseen_share))
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
        column, nulls = declared.get(name), facts.null_shares[name]
        if column is not None and not column.required:
            message = f"{name} is null in {nulls:.1%} of raw rows; it is optional"
            yield _fact("raw_nulls", True, nulls, None, message, name, severity="warning")
            continue
        limit = contract.max_null_share if column is None else min(column.max_null_share, contract.max_null_share)
        message = f"{name} is null in {nulls:.1%} of raw rows, {limit:.1%} at most"
        yield _fact("raw_nulls", nulls <= limit, nulls, limit, message, name)


def _accounts(facts: RawFacts, clean: CleanFacts) -> Iterator[Finding]:
    contract, kept, dropped = clean.contract, clean.rows, clean.dropped.total()
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
    away, limit = share(dropped, facts.rows), contract.max_dropped_share
    reasons = ", ".join(f"{r} {n:,}" for r, n in sorted(clean.dropped.items(), key=lambda item: -item[1]))
    yield _fact("dropped_share", away <= limit, away, limit,
                f"{away:.1%} of raw rows dropped, {limit:.1%} at most ({reasons or 'none'})")  # fmt: skip
    limit = contract.max_duplicate_share
    yield _fact("raw_duplicates", facts.duplicate_share <= limit, facts.duplicate_share, limit,
                f"{facts.duplicate_share:.1%} of raw rows repeat another, {limit:.1%} expected at most",
                severity="warning")  # fmt: skip
    repeated = share(clean.duplicates, kept)
    yield _fact("duplicates", repeated <= limit, repeated, limit,
                f"{repeated:.1%} of cleaned rows repeat another, {limit:.1%} at most")  # fmt: skip


def _clean_nulls(column: Column, facts: ColumnFacts) -> Finding:
    nulls, name = share(facts.nulls, facts.rows), column.name
    if column.required:
        message = f"{name} is null in {nulls:.2%} of cleaned rows; it is required"
        return _fact("nulls", nulls == 0, nulls, 0, message, name)
    if "max_null_share" not in column.model_fields_set:
        message = f"{name} is null in {nulls:.1%} of cleaned rows; it is optional and no limit is declared"
        return _fact("nulls", True, nulls, None, message, name, severity="warning")
    limit = column.max_null_share
    message = f"{name} is null in {nulls:.1%} of cleaned rows, {limit:.1%} at most"
    return _fact("nulls", nulls <= limit, nulls, limit, message, name)


def _type(column: Column, facts: ColumnFacts) -> Finding:
    expected = {"number": "finite numbers", "time": "local times without a zone", "category": "text"}[column.type]
    message = f"{column.name} holds {facts.wrong_type:,} values that aren't {expected}"
    return _fact("type", facts.wrong_type == 0, facts.wrong_type, 0, message, column.name)


def _range(column: Column, facts: ColumnFacts) -> Iterator[Finding]:
    if column.type != "number":
        return
    for check_name, where, limit, odd in (
        ("minimum", "under", column.minimum, facts.under),
        ("maximum", "over", column.maximum, facts.over),
    ):
        if limit is not None:
            message = f"{column.name} is {where} {limit:g} in {odd.rows:,} rows{_for_example(odd)}"
            yield _fact(check_name, odd.rows == 0, odd.rows, 0, message, column.name)


def _values(column: Column, facts: ColumnFacts) -> Iterator[Finding]:
    if column.values is None:
        return
    odd = facts.undeclared
    message = f"{column.name} has {odd.rows:,} rows with values that aren't declared{_which(odd)}"
    yield _fact("values", not odd.rows, odd.rows, 0, message, column.name)


def _future(column: Column, facts: ColumnFacts, today: date) -> Iterator[Finding]:
    if column.type != "time":
        return
    message = f"{column.name} is after {today} in {facts.future.rows:,} rows{_for_example(facts.future)}"
    yield _fact("future", not facts.future.rows, facts.future.rows, 0, message, column.name)


def _unseen(column: Column, facts: ColumnFacts, limit: float) -> Finding:
    """Rows whose category the version before didn't have; an optional column only warns."""
    new = share(facts.unseen.rows, facts.rows - facts.nulls)
    message = f"{column.name} is new to the version before in {new:.1%} of rows, {limit:.1%} at most"
    severity: Severity = "error" if column.required else "warning"
    return _fact("unseen", new <= limit, new, limit, message + _which(facts.unseen), column.name, severity=severity)


def _for_example(odd: Odd) -> str:
    return f", for example {_listed(odd.examples)}" if odd.rows else ""


def _which(odd: Odd) -> str:
    return f": {_listed([*odd.values])}" if odd.rows else ""


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
