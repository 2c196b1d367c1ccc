"""A day's drift for people: tables and sentences, as Dagster's metadata shows them and the console prints them.

Keep out pictures (`heatmap`), the full report (`report`) and the web page, which has files of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlops_assets.drift.facts import ColumnDrift, Status, Summary, Verdict

SIGNS = {Status.OK: "✓", Status.DRIFTED: "✗", Status.INSUFFICIENT: "…", Status.NO_REFERENCE: "?"}


def headline(verdict: Verdict) -> str:
    """One sentence: what the day says."""
    return " ".join(verdict.reasons) or f"{verdict.status}"


def columns_table(verdict: Verdict) -> str:
    """Column by column as a Markdown table, the strongest first."""
    if not verdict.columns:
        return headline(verdict)
    rows = ["| column | | distance | limit | p | in training | that day | |", "|---|---|---:|---:|---:|---|---|---|"]
    for column in ordered(verdict.columns):
        cells = (
            column.name,
            f"{SIGNS[column.status]} {column.status}",
            number(column.effect),
            number(column.floor),
            p_value(column.p_value),
            side(column, column.reference),
            side(column, column.current),
            " ".join(column.reasons),
        )
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(rows)


def days_table(verdicts: Sequence[Verdict]) -> str:
    """Day by day as a Markdown table, the newest first."""
    if not verdicts:
        return "no day has been compared yet"
    rows = ["| day | | release | rows | drifted columns |", "|---|---|---:|---:|---|"]
    for verdict in sorted(verdicts, key=lambda one: one.day, reverse=True):
        drifted = ", ".join(verdict.drifted) or ("none" if verdict.status is Status.OK else headline(verdict))
        status = f"{SIGNS[verdict.status]} {verdict.status}"
        rows.append(f"| {verdict.day} | {status} | {verdict.release} | {verdict.current_rows:,} | {_cell(drifted)} |")
    return "\n".join(rows)


def ordered(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """Drifted columns first, the strongest of them on top; the others as declared."""
    return sorted(columns, key=lambda column: (column.status is not Status.DRIFTED, -column.strength))


def side(column: ColumnDrift, summary: Summary, most: int = 3) -> str:
    """One side of a column in a few words: the median with the middle half, or the `most` commonest values."""
    missing = f", {summary.missing:.0%} missing" if summary.missing >= 0.005 else ""
    if column.kind == "number":
        if not summary.quantiles:
            return f"no value{missing}"
        middle = summary.quantiles.get("0.5")
        low, high = summary.quantiles.get("0.25"), summary.quantiles.get("0.75")
        return f"{number(middle)} ({number(low)} … {number(high)}){missing}"
    top = sorted(summary.top.items(), key=lambda item: -item[1])[:most]
    if not top:
        return f"no value{missing}"
    return ", ".join(f"{value} {share:.0%}" for value, share in top) + missing


def number(value: float | None) -> str:
    """Three significant digits, thousands with a comma; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def p_value(value: float | None) -> str:
    """Two significant digits; what is smaller than any doubt as such."""
    if value is None:
        return "–"
    return "< 1e-9" if value < 1e-9 else f"{value:.2g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
