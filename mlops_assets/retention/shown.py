"""What is kept and what was removed, as tables for people. Keep out counting (`measure`) and removing (`rounds`)."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from mlops_assets.retention.declared import KEPT
from mlops_assets.retention.measure import Held
from mlops_assets.retention.round import Swept
from mlops_assets.settings import Settings

_UNITS = ("B", "kB", "MB", "GB", "TB")


def in_all(done: Mapping[str, Swept]) -> Swept:
    """The sum of all removals."""
    return sum(done.values(), Swept())


def as_markdown(done: Mapping[str, Swept], settings: Settings) -> str:
    """What each removal did, a line each."""
    lines = ["| what | kept for | removed | freed | still needed | failed |", "|---|---|---|---|---|---|"]
    for kept in KEPT:
        if kept.sweep is not None and kept.sweep in done:
            swept = done[kept.sweep]
            figures = [_removed(swept), size(swept.bytes), f"{swept.kept:,}", f"{swept.failed:,}"]
            lines.append("| " + " | ".join([kept.what, kept.how_long(settings), *figures]) + " |")
    return "\n".join(lines)


def as_table(held: Mapping[str, Held], done: Mapping[str, Swept], settings: Settings, *, applied: bool) -> Table:
    """Every line of the list: how much is kept, since when, for how long, and what is or would be removed."""
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for name, left in (("what", True), ("rows", False), ("files", False), ("size", False), ("oldest", False)):
        table.add_column(name, justify="left" if left else "right", no_wrap=not left)
    table.add_column("kept for")
    table.add_column("by")
    table.add_column("removed" if applied else "would remove", justify="right")
    for kept in KEPT:
        one = held[kept.what]
        about = "~" if one.about else ""
        swept = done.get(kept.sweep) if kept.sweep else None
        table.add_row(
            Text(kept.what),
            f"{about}{one.rows:,}" if kept.tables else "",
            f"{about}{one.files:,}" if kept.home or kept.storage else "",
            size(one.bytes) if one.bytes else "",
            f"{one.oldest:%Y-%m-%d}" if one.oldest else "",
            kept.how_long(settings),
            Text(kept.variable or ""),
            "" if swept is None else _removed(swept) + (f" ({size(swept.bytes)})" if swept.bytes else ""),
        )
    return table


def reasons() -> Table:
    """Every line of the list with its reason, and who removes what."""
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("what", no_wrap=True)
    table.add_column("why, or what is special")
    for kept in KEPT:
        table.add_row(Text(kept.what), Text(kept.why))
    return table


def size(count: float) -> str:
    """Bytes in the unit that fits."""
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError


def _removed(swept: Swept) -> str:
    said = f"{swept.removed:,}" + ("+" if swept.unfinished else "")
    return said + (f", {swept.failed:,} failed" if swept.failed else "")
