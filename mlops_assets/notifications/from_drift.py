"""A drifted day as a notice: which columns, from what to what. Pure.

Keep out which days are new (`collect`) and how a day is judged (`drift`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from mlops_assets.notifications.links import Links
from mlops_assets.notifications.notice import Kind, Notice, severity_of, titled

MOST_COLUMNS = 8


def notice(product: str, day: date, release: int, verdict: dict[str, Any], at: datetime, links: Links) -> Notice:
    """The notice of a drifted day. `verdict` is `drift.facts.Verdict.to_json()`, `at` when it was computed."""
    found = [column for column in verdict.get("columns") or [] if column.get("status") == "drifted"]
    found.sort(key=lambda column: -float(column.get("strength") or 0))
    names = [str(column["name"]) for column in found]
    lines = [
        f"On {day} the live data differed from what release {release} was trained on, "
        f"in {len(found)} of {len(verdict.get('columns') or [])} columns.",
        f"Compared: {_rows(verdict, 'current_rows')} of {_rows(verdict, 'logged_rows')} rows of that day with "
        f"{_rows(verdict, 'reference_rows')} of the reference.",
    ]
    for column in found[:MOST_COLUMNS]:
        said = "; ".join(str(reason) for reason in (column.get("reasons") or [])[:2])
        lines.append(f"{column['name']}: {said or 'differs'}")
    if len(found) > MOST_COLUMNS:
        lines.append(f"… and {len(found) - MOST_COLUMNS} more columns")
    return Notice(
        kind=Kind.DRIFT,
        product=product,
        subject=", ".join(names) or "data",
        severity=severity_of(Kind.DRIFT),
        title=titled(product, f"{day}: {_listed(names)} drifted"),
        body="\n".join(lines),
        link=links.drift(product, day),
        key=f"drift:{product}:{day}:{release}",
        group=f"{Kind.DRIFT}:{product}",
        at=at,
    )


def _rows(verdict: dict[str, Any], name: str) -> str:
    return f"{int(verdict.get(name) or 0):,}"


def _listed(names: list[str]) -> str:
    if not names:
        return "the data"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
