"""Declared contracts and gates as Dagster asset checks: their specs, and their results from findings and verdicts.

One place turns a rule into a blocking check whose metadata shows value, limit and production's value. Keep out
the rules: `contract` and `gates` decide. Every declared check always gets a result, for a missing one blocks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    from mlops_assets.training.data.contract import Finding
    from mlops_assets.training.gates import Verdict

PARITY_GATE = "serving_parity_gate"
# Findings that are about the whole file, by the check that shows them; all others belong to their column's check.
WHOLE_FILE = {
    "raw_columns": "raw_columns_contract",
    "raw_columns_extra": "raw_columns_contract",
    "raw_nulls": "nulls_contract",
    "account": "rows_contract",
    "min_rows": "rows_contract",
    "dropped_share": "rows_contract",
    "raw_duplicates": "duplicates_contract",
    "duplicates": "duplicates_contract",
}
# What the check of a column looks at, by the column's type.
LOOKED_AT = {
    "number": "type, range, nulls",
    "category": "type, nulls, values, new categories",
    "time": "type, nulls, nothing after the day of the check",
}


def contract_specs(product: Product, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The blocking checks of the dataset asset."""
    described = dict.fromkeys(WHOLE_FILE.values(), "the whole file") | {
        f"{column.name}_contract": f"{column.name}: {LOOKED_AT[column.type]}" for column in product.contract.columns
    }
    return [_spec(name, asset, text) for name, text in described.items()]


def gate_specs(product: Product, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of the metrics asset: every declared gate, and parity of the served graph."""
    declared = [_spec(g.name, asset, f"{g.metric} on the hold-out", g.blocking) for g in product.gates]
    return [*declared, _spec(PARITY_GATE, asset, "the ONNX graph answers as scikit-learn does")]


def _spec(name: str, asset: dg.AssetKey, description: str, blocking: bool = True) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=asset, description=description, blocking=blocking)


def contract_results(
    specs: Iterable[dg.AssetCheckSpec], findings: Iterable[Finding], source: str
) -> Iterator[dg.AssetCheckResult]:
    """One result a spec: failed if any of its findings is, blocking unless all of those only warn."""
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        name = WHOLE_FILE.get(finding.check, f"{finding.column}_contract")
        by_check.setdefault(name, []).append(finding)
    declared = list(specs)
    lost = by_check.keys() - {spec.name for spec in declared}
    if lost:
        raise ValueError(f"findings belong to checks that aren't declared: {', '.join(sorted(lost))}")
    for spec in declared:
        found = by_check.get(spec.name, [])
        failed = [f for f in found if not f.passed]
        error = any(f.severity == "error" for f in failed)
        yield dg.AssetCheckResult(
            check_name=spec.name,
            asset_key=spec.asset_key,
            passed=bool(found) and not failed,
            severity=dg.AssetCheckSeverity.ERROR if error or not found else dg.AssetCheckSeverity.WARN,
            description=_told(source, failed, found),
            metadata={"findings": dg.MetadataValue.md(_table(found))},
        )


def _told(source: str, failed: list[Finding], found: list[Finding]) -> str:
    if not found:
        return f"{source}: the check had nothing to look at"
    return f"{source}: " + "; ".join(f.message for f in failed or found[:1])


def _table(findings: Iterable[Finding]) -> str:
    rows = ["| | finding | value | limit |", "|---|---|---|---|"]
    for finding in findings:
        mark = "✓" if finding.passed else ("✗" if finding.severity == "error" else "!")
        limit = "" if finding.limit is None else f"{finding.limit:g}"
        rows.append(f"| {mark} | {finding.message} | {finding.value:.4g} | {limit} |")
    return "\n".join(rows)


def gate_results(asset: dg.AssetKey, verdicts: Iterable[Verdict]) -> Iterator[dg.AssetCheckResult]:
    """One result a verdict, with value, limit and production's value."""
    for verdict in verdicts:
        metadata: dict[str, Any] = {"limit": verdict.limit}
        if verdict.value is not None:
            metadata["value"] = shown(verdict.value)
        metadata["production"] = "none yet" if verdict.production is None else shown(verdict.production)
        yield dg.AssetCheckResult(
            check_name=verdict.gate.name,
            asset_key=asset,
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.ERROR if verdict.gate.blocking else dg.AssetCheckSeverity.WARN,
            description=verdict.message,
            metadata=metadata,
        )


def shown(value: float) -> float | str:
    """A number as metadata; NaN and infinity as words, for GraphQL's Float refuses them."""
    return value if math.isfinite(value) else str(value)


def parity_result(asset: dg.AssetKey, parity: float, tolerance: float, rows: int) -> dg.AssetCheckResult:
    """Whether the served graph answers as the fitted model does, on every hold-out row."""
    return dg.AssetCheckResult(
        check_name=PARITY_GATE,
        asset_key=asset,
        passed=parity <= tolerance,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"largest relative difference {parity:.2g} over {rows:,} rows, {tolerance:g} at most",
        metadata={"value": shown(parity), "limit": f"≤ {tolerance:g}", "rows": rows},
    )
