"""What Grafana does to a query before PostgreSQL sees it: variables first, then the macros of its data source.

Add a macro here when a dashboard uses it; one that isn't here fails, as an unknown one does in Grafana. A macro ends at
the first closing bracket there, and so it does here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_VARIABLE = re.compile(r"\$\{(\w+):sqlstring\}")
_MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")


@dataclass(frozen=True)
class Range:
    """The chosen range of times."""

    start: datetime
    end: datetime


def expanded(
    sql: str, variables: Mapping[str, str], chosen: Range, several: Mapping[str, Sequence[str]] | None = None
) -> str:
    """The SQL that is sent; `several` are variables of which any number of values may be chosen."""
    values = {name: (value,) for name, value in variables.items()} | dict(several or {})
    quoted = _VARIABLE.sub(lambda found: ",".join(_text(value) for value in values[found[1]]), sql)
    start, end = _literal(chosen.start), _literal(chosen.end)

    def macro(found: re.Match[str]) -> str:
        name, argument = found[1], found[2].strip()
        known = {
            "__timeFilter": f"{argument} BETWEEN {start} AND {end}",
            "__timeFrom": start,
            "__timeTo": end,
        }
        assert name in known, f"a macro that this doesn't know: {found[0]}"
        assert bool(argument) == (name == "__timeFilter"), found[0]
        return known[name]

    sent = _MACRO.sub(macro, quoted)
    assert "${" not in sent, sent
    return sent


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _literal(moment: datetime) -> str:
    # Nanoseconds, as Go prints them.
    return f"'{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}789Z'"
