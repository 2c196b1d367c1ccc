"""What a stored verdict says in sentences that anybody may read: made from its figures alone.

Add a sentence here when a verdict can say something new. Keep out the judge's own sentences: they may quote what
people sent, and these never do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# A value is a word that anybody may hear if so many of the training rows have it.
LEAST_SHARE = 0.01
LEAST_ROWS = 10

_RISES = {
    "missing": "missing values",
    "unseen": "values that the training data lacks",
    "out_of_range": "values beyond the range of the training data",
}
_OWN = {"feature": "the values", "prediction": "the estimates", "error": "the errors of the estimates"}


def day_reasons(verdict: Mapping[str, Any], drifted: Sequence[str]) -> list[str]:
    """What the day says as a whole."""
    columns, rows = verdict["columns"], verdict["current_rows"]
    if verdict["status"] == "insufficient":
        return [f"{rows:,} rows are too few to tell: neither drift nor its absence is shown"]
    if verdict["status"] == "no_reference":
        return [f"release {verdict['release']} has no reference to compare with"]
    if not drifted:
        return [f"none of {len(columns)} columns changed both significantly and by much, in {rows:,} rows"]
    return [f"{len(drifted)} of {len(columns)} columns drifted, in {rows:,} rows: {', '.join(drifted)}"]


def column_reasons(column: Mapping[str, Any]) -> list[str]:
    """What changed in a column, from what to what, how sure; or that nothing did."""
    return list(_changes(column)) or [_QUIET.get(column["status"], _QUIET["ok"])]


_QUIET = {
    "ok": "no change that is both significant and large",
    "drifted": "it changed both significantly and by much",
    "insufficient": "too few values to tell",
    "no_reference": "nothing to compare with",
}


def _changes(column: Mapping[str, Any]) -> Iterator[str]:
    p_value, effect = column["p_value"], column["effect"]
    known = column["status"] == "drifted" and p_value is not None and effect is not None
    if known and p_value < column["alpha"] and effect >= column["floor"]:
        yield _moved(column)
    for share in column["shares"]:
        if share["risen"]:
            what = _RISES.get(share["name"], share["name"])
            yield (
                f"{what} rose from {_percent(share['expected'])} to {_percent(share['seen'])} of the rows "
                f"(a rise of {_percent(share['limit'])} counts), p {_p(share['p_value'])}"
            )


def _moved(column: Mapping[str, Any]) -> str:
    sure = f"p {_p(column['p_value'])}"
    if column["distance"] == "total_variation":
        said = f"{_percent(column['effect'])} of the values lie elsewhere (limit {_percent(column['floor'])}), {sure}"
        return said + "".join(f"; {change}" for change in _largest(column))
    said = f"{_OWN[column['role']]} moved by {column['effect']:.3g} standard deviations (limit {column['floor']:g})"
    medians = [column[side]["quantiles"].get("0.5") for side in ("reference", "current")]
    if None in medians:
        return f"{said}, {sure}"
    return f"{said}, the median from {medians[0]:.4g} to {medians[1]:.4g}, {sure}"


def _largest(column: Mapping[str, Any]) -> list[str]:
    """The value whose share changed most, among those that many training rows have."""
    before, now = column["reference"], column["current"]["top"]
    least = max(LEAST_SHARE, LEAST_ROWS / max(1, before["rows"]))
    known = {value: share for value, share in before["top"].items() if share >= least and value in now}
    if not known:
        return []
    value = max(known, key=lambda one: abs(now[one] - known[one]))
    return [f"{value} went from {_percent(known[value])} to {_percent(now[value])}"]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _p(value: float) -> str:
    return "< 1e-9" if value < 1e-9 else f"= {value:.2g}"
