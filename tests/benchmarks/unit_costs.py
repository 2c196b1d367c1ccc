"""Unit costs that no other benchmark has, for planning capacity: of a logged answer, a row of data, a run, a pipeline.

`python -m tests.benchmarks.unit_costs [--only log data runs schedules] [--rows 200000] [--runs 12]` prints tables and
writes results/unit_costs.json, in ten minutes, most of them waiting. Parts that aren't measured keep their last figures
there. `tests.benchmarks.scale` reads them. Run it while nothing else works.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks import unit_costs_data, unit_costs_log, unit_costs_runs

RESULT = Path(__file__).parent / "results" / "unit_costs.json"
DATA_ROWS = 100_000


def parts(given: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """What can be measured, by name."""
    return {
        "log": lambda: unit_costs_log.measured(given.rows),
        "data": lambda: unit_costs_data.measured(min(given.rows, DATA_ROWS)),
        "runs": lambda: unit_costs_runs.measured(given.runs),
        "schedules": unit_costs_runs.schedules,
    }


def main() -> dict[str, Any]:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=("log", "data", "runs", "schedules"))
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the prediction log")
    parser.add_argument("--runs", type=int, default=12, help="real runs of a declared pipeline")
    given = parser.parse_args()
    result: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for name, measure in parts(given).items():
        if given.only is None or name in given.only:
            result[name] = measure()
            RESULT.write_text(json.dumps(result, indent=1) + "\n")
            show(name, result[name])
    return result


def show(name: str, figures: dict[str, Any]) -> None:
    """Print the table of one part."""
    table = Table("what", "measured", title=name)
    for label, value in flat(figures):
        table.add_row(label, f"{value:,}" if isinstance(value, int | float) else str(value))
    Console().print(table)


def flat(figures: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Every figure with its path in words."""
    found: list[tuple[str, Any]] = []
    for name, value in figures.items():
        path = f"{before} {name.replace('_', ' ')}".strip()
        found += flat(value, path) if isinstance(value, dict) else [(path, value)]
    return found


if __name__ == "__main__":
    main()
