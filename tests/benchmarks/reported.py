"""The command of a benchmark in rounds: measure, print, write the result down.

Keep out what is measured, and what a result has to reach.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def report(
    file: Path,
    described: str | None,
    measure: Callable[[int, Any], Result],
    show: Callable[[Result], None],
    *,
    rounds: int,
    seconds: float,
) -> Result:
    """What `measure(rounds, seconds)` gave, by `--rounds` and `--seconds` or these defaults, shown and in `file`."""
    parser = argparse.ArgumentParser(description=described)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=type(seconds), default=seconds)
    given = parser.parse_args()
    result = measure(given.rounds, given.seconds)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    show(result)
    return result


def show_goals(result: Result) -> None:
    """Print the figures, and which of the `goals` were met."""
    for name, value in result.items():
        if name != "goals":
            print(f"{name.replace('_', ' '):<28} {value}")
    for goal, met in result["goals"].items():
        print(f"{goal}: {'met' if met else 'missed'}")
