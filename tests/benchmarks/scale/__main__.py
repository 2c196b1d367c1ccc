"""`python -m tests.benchmarks.scale`: what ends first as load grows, from measured unit costs.

`python -m tests.benchmarks.scale [FILE] [--scenario NAME]` prints the tables of FILE, by default deploy/scale.yaml;
`--write` puts them into deploy/SCALE.md; `--check` says whether they are there as they are now. Measures nothing: the
costs are those in tests/benchmarks/results.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks.scale import costs, document, scenario, validation


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 1 when something can't be read, or the document isn't up to date."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.scale", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=scenario.FILE, help="scenarios and prices")
    parser.add_argument("--scenario", help="only this one")
    parser.add_argument("--write", action="store_true", help="put the tables into deploy/SCALE.md")
    parser.add_argument("--check", action="store_true", help="fail unless deploy/SCALE.md has them")
    given = parser.parse_args(arguments)
    try:
        measured = costs.read()
        tables = document.Tables(measured, scenario.load_plan(given.file), validation.points(measured), costs.loads())
        if given.write or given.check:
            return _document(tables, write=given.write)
        _show(tables, given.scenario)
    except (costs.CostError, scenario.ScenarioError, document.DocumentError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _document(tables: document.Tables, *, write: bool) -> int:
    before = document.FILE.read_text()
    now = document.refreshed(before, tables)
    if write:
        document.FILE.write_text(now)
        return 0
    if now != before:
        print(f"{document.FILE.name} isn't up to date: python -m tests.benchmarks.scale --write", file=sys.stderr)
    return int(now != before)


def _show(tables: document.Tables, only: str | None) -> None:
    names = [one.name for one in tables.plan.scenarios]
    if only is not None and only not in names:
        raise scenario.ScenarioError(f"there is no scenario {only!r}; there are {', '.join(names)}")
    for name, made in tables.named().items():
        kind, _, of = name.partition(" ")
        if only is None or of == only:
            print(f"\n{kind}{f' of {of}' if of else ''}\n{made()}")


if __name__ == "__main__":
    sys.exit(main())
