"""How often the drift verdict is wrong: false alarms, shifts found, outliers; beside Evidently's default preset.

`python -m tests.benchmarks.drift [--draws 1000] [--preset-draws 100] [--real FOLDER]` prints tables and writes
results/drift.json; exit code 1 when a goal is missed. Each draw is one day against one reference, both new. With the
real files (`--real` or MLOPS_REAL_DATA) it shows their verdicts column by column. Last: the seconds of one verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from mlops_assets.drift.facts import Status, Verdict
from mlops_assets.drift.judge import judge
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.sample import Sample
from tests.benchmarks import drift_data
from tests.benchmarks.drift_data import WORLDS, Columns, Rng

RESULT = Path(__file__).with_name("results") / "drift.json"
PROCESSES = 2
POLICY = DriftPolicy()
DAY = date(2025, 1, 1)
LARGE = 5000  # from here on a day is slow to draw and to judge
SIZES = ((500, 500), (1000, 200), (1001, 200), (5000, 200), (20_000, 20_000))
SPEED_ROWS, SPEED_COLUMNS, SPEED_REPEATS = 20_000, 10, 5


@dataclass(frozen=True)
class Cell:
    """One truth at one size. Counted are draws where `column` drifted, or any column; `goal` bounds their share."""

    kind: str
    name: str
    reference: int
    current: int
    goal: tuple[float, float] | None
    world: str = "mixed"
    column: str | None = None
    shift: float = 0.0
    outlier: str = ""  # the sides that have one: "", "reference", "current" or "both"


def cells() -> list[Cell]:
    """Every cell, by kind. Cells without a goal show what no rule can reach at that size, or nearly."""
    calm = [Cell("no drift", "five columns", *size, (0, 0.01)) for size in SIZES]
    calm += [
        Cell("no drift", f"five {world} columns", *size, (0, 0.01), world=world)
        for world in ("continuous", "ragged")
        for size in ((500, 500), (5000, 200), (5000, 1000))
    ]
    asked: tuple[tuple[str, float, tuple[tuple[int, int, float | None], ...]], ...] = (
        ("normal", 0.25, ((5000, 500, 0.9), (20_000, 500, 0.9), (5000, 1000, 0.99), (20_000, 1000, 0.99))),
        ("normal", 0.25, ((5000, 200, None), (500, 500, None), (1000, 1000, None), (2000, 2000, 0.99))),
        ("normal", 0.5, ((1000, 200, 0.95), (5000, 200, 0.95), (20_000, 200, 0.95))),
        ("six", 0.2, ((500, 500, 0.9), (1000, 200, 0.95), (5000, 200, 0.95), (5000, 1000, 0.99))),
        ("many", 0.2, ((500, 500, 0.9), (1000, 200, 0.95), (5000, 200, 0.95), (5000, 1000, 0.99))),
    )
    units = {"normal": "sd", "six": "of one of 6 levels", "many": "of one of 200 levels"}
    found = [
        Cell("shift", f"+{by:g} {units[column]}", *size, None if goal is None else (goal, 1), column=column, shift=by)
        for column, by, sizes in asked
        for *size, goal in sizes
    ]
    outliers = [
        Cell("outlier", f"{name}, outlier in {side}", 1000, 500, goal, column="normal", shift=by, outlier=side)
        for name, by, goal in (("no drift", 0.0, (0, 0)), ("+0.5 sd", 0.5, (1, 1)))
        for side in ("reference", "current", "both")
    ]
    return [*calm, *found, *outliers]


def measure(cell: Cell, draws: int, seed: int) -> dict[str, Any]:
    """Share of draws that drifted. An outlier counts as faking drift only where there was none without it."""
    rng = np.random.default_rng([seed, cell.reference, cell.current])
    hits = 0
    for _ in range(draws):
        before, now = _draw(cell, rng)
        hit = _drifted(_judged(*_outliers(cell, before, now)), cell.column)
        if cell.outlier and not cell.shift and hit:
            hit = not _drifted(_judged(before, now), cell.column)
        hits += hit
    return {"draws": draws, "share": hits / draws}


def preset(cell: Cell, draws: int, seed: int) -> dict[str, Any]:
    """The same of Evidently's default preset, as users of it read it: any column called drifted."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    rng = np.random.default_rng([seed, cell.reference, cell.current])
    any_column, but_many = 0, 0
    for _ in range(draws):
        sides = _draw(cell, rng)
        columns = drift_data.monitored(sides[0])
        definition = DataDefinition(
            numerical_columns=[column.name for column in columns if column.kind == "number"],
            categorical_columns=[column.name for column in columns if column.kind == "category"],
        )
        before, now = (Dataset.from_pandas(pd.DataFrame(side), data_definition=definition) for side in sides)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            tests = Report([DataDriftPreset()], include_tests=True).run(now, before).dict()["tests"]
        called = {
            test["name"].rpartition(" ")[2]
            for test in tests
            if test["name"].startswith("Value Drift") and test["status"].value == "FAIL"
        }
        any_column += bool(called)
        but_many += bool(called - {"many"})
    return {"draws": draws, "share": any_column / draws, "share_without_many": but_many / draws}


def speed() -> dict[str, float]:
    """Seconds of one verdict at the largest sample, half of the columns text with 1,300 values."""
    rng = np.random.default_rng(0)
    places = np.array([f"place {n}" for n in range(1300)], dtype=object)

    def side() -> Columns:
        return {
            f"column {n}": rng.normal(size=SPEED_ROWS) if n % 2 else rng.choice(places, size=SPEED_ROWS)
            for n in range(SPEED_COLUMNS)
        }

    before, now = side(), side()
    seconds = []
    for _ in range(SPEED_REPEATS):
        began = time.perf_counter()
        _judged(before, now)
        seconds.append(time.perf_counter() - began)
    return {"rows": SPEED_ROWS, "columns": SPEED_COLUMNS, "seconds": float(np.median(seconds))}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure every cell, print the tables, write the result file and return its content."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--draws", type=int, default=1000, help="days a cell; a third of it for shifts and where both sides are large"
    )
    parser.add_argument("--preset-draws", type=int, default=100, help="days a cell for Evidently's preset")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", type=Path, default=os.environ.get("MLOPS_REAL_DATA"), help="folder of the real files")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    quick = speed()
    asked = cells()
    with ProcessPoolExecutor(PROCESSES) as pool:
        theirs = {
            cell: pool.submit(preset, cell, _draws(cell, options.preset_draws), options.seed)
            for cell in asked
            if cell.kind == "no drift" and cell.world == "mixed" and options.preset_draws
        }
        ours = {cell: pool.submit(measure, cell, _draws(cell, options.draws), options.seed) for cell in asked}
        rows = [
            asdict(cell)
            | {"ours": ours[cell].result(), "preset": theirs[cell].result() if cell in theirs else None}
            | {"met": cell.goal is None or cell.goal[0] <= ours[cell].result()["share"] <= cell.goal[1]}
            for cell in asked
        ]
    real = _real(Path(options.real)) if options.real else []
    result = {
        "seed": options.seed,
        "seconds": round(time.perf_counter() - began),
        "load_average": os.getloadavg()[0],
        "speed": quick,
        "rows": rows,
        "real": real,
    }
    _print(result)
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return result


def _draws(cell: Cell, draws: int) -> int:
    slow = cell.kind == "shift" or min(cell.reference, cell.current) > LARGE
    return max(1, draws // 3) if slow else draws


def _draw(cell: Cell, rng: Rng) -> tuple[Columns, Columns]:
    make = WORLDS[cell.world]
    before, now = make(rng, cell.reference), make(rng, cell.current)
    return before, drift_data.shifted(now, cell.column, cell.shift) if cell.column and cell.shift else now


def _outliers(cell: Cell, before: Columns, now: Columns) -> tuple[Columns, Columns]:
    if cell.outlier in ("reference", "both"):
        before = drift_data.with_outlier(before, "normal")
    if cell.outlier in ("current", "both"):
        now = drift_data.with_outlier(now, "normal")
    return before, now


def _judged(before: Columns, now: Columns) -> Verdict:
    sides: tuple[Sample, Sample] = (drift_data.sample(before), drift_data.sample(now))
    return judge("made", DAY, 1, *sides, drift_data.monitored(before), POLICY)


def _drifted(verdict: Verdict, column: str | None) -> bool:
    return column in verdict.drifted if column else verdict.status is Status.DRIFTED


def _real(folder: Path) -> list[dict[str, Any]]:
    found = []
    for title, reference, current, columns in drift_data.comparisons(folder, POLICY.sample_rows):
        verdict = judge("real", DAY, 1, reference, current, columns, POLICY)
        told = [
            {
                "name": column.name,
                "status": column.status,
                "strength": round(column.strength, 3),
                "reasons": column.reasons,
            }
            for column in sorted(verdict.columns, key=lambda column: -column.strength)
        ]
        found.append({"title": title, "status": verdict.status, "reasons": verdict.reasons, "columns": told})
    return found


def _print(result: dict[str, Any]) -> None:
    console = Console(width=160)
    table = Table(title=f"days called drifted; {result['seconds']} s in all")
    for column in (
        "truth",
        "reference",
        "current",
        "days",
        "drifted",
        "goal",
        "",
        "Evidently preset",
        "without 'many'",
    ):
        table.add_column(column, justify="left" if column == "truth" else "right", no_wrap=True)
    kind = None
    for row in result["rows"]:
        if kind not in (None, row["kind"]):
            table.add_section()
        kind = row["kind"]
        theirs = row["preset"]
        shares = [f"{theirs[name]:.0%}" for name in ("share", "share_without_many")] if theirs else ["", ""]
        sign = "" if row["goal"] is None else "met" if row["met"] else "[red]missed[/red]"
        days = f"{row['ours']['draws']:,}"
        sizes = f"{row['reference']:,}", f"{row['current']:,}"
        table.add_row(
            f"{kind}: {row['name']}", *sizes, days, f"{row['ours']['share']:.2%}", _goal(row["goal"]), sign, *shares
        )
    console.print(table)
    for one in result["real"]:
        shown = Table(title=f"{one['title']}: {one['status']}. {' '.join(one['reasons'])}")
        for name in ("column", "status", "strength", "why"):
            shown.add_column(name)
        for column in one["columns"]:
            shown.add_row(column["name"], column["status"], f"{column['strength']:.2f}", " ".join(column["reasons"]))
        console.print(shown)
    quick = result["speed"]
    console.print(f"One verdict on {quick['rows']:,} rows × {quick['columns']} columns: {quick['seconds']:.2f} s")


def _goal(goal: tuple[float, float] | None) -> str:
    if goal is None:
        return ""
    if goal[0] == goal[1]:
        return f"{goal[0]:.0%}"
    return f"≥ {goal[0]:.0%}" if goal[0] else f"≤ {goal[1]:.0%}"


if __name__ == "__main__":
    sys.exit(not all(row["met"] for row in main()["rows"]))
