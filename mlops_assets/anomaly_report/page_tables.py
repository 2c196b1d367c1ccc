"""The tables of the page with charts, as HTML.

Add here another table of the page. Keep out figures (`summary`) and charts (`interactive`). Text is escaped: it comes
from files and requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from mlops_assets.anomaly_report import summary

if TYPE_CHECKING:
    import pandas as pd


def table(frame: pd.DataFrame) -> str:
    """Every row; numbers to the right."""
    names = [str(name) for name in frame.columns]
    kinds = ["number" if summary.is_number(frame[name]) else "" for name in names]
    columns = [[name.replace("_", " "), *(summary.written(name, value) for value in frame[name])] for name in names]
    head, *rows = zip(*columns, strict=True)
    lines = [_line("th", kinds, head), *(_line("td", kinds, row) for row in rows)]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _line(tag: str, kinds: Iterable[str], cells: Iterable[str]) -> str:
    line = (f'<{tag} class="{kind}">{escape(cell)}</{tag}>' for kind, cell in zip(kinds, cells, strict=True))
    return f"<tr>{''.join(line)}</tr>"


def lowest_table(scored: pd.DataFrame) -> str:
    """The records with the lowest scores, and why."""
    rows = summary.lowest(scored)
    if rows.empty:
        return "<p>No records.</p>"
    reasons = rows["reasons"] if "reasons" in rows else [""] * len(rows)
    body = "".join(
        f'<tr><td class="number">{place}</td><td class="date">{escape(summary.dated(at))}</td>'
        f'<td class="number{" odd" if prediction == -1 else ""}">{score:.4f}</td>'
        f"<td>{escape(why) if isinstance(why, str) else ''}</td></tr>"
        for place, (at, score, prediction, why) in enumerate(
            zip(rows["at"], rows["anomaly_score"], rows["anomaly_pred"], reasons, strict=True), start=1
        )
    )
    head = '<tr><th></th><th>date</th><th class="number">score</th><th>why</th></tr>'
    return f'<div class="scroll"><table>{head}{body}</table></div>'
