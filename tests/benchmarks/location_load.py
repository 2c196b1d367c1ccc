"""What loading the code location costs in a fresh interpreter, and what it imports.

`python -m tests.benchmarks.location_load` prints a table and writes results/location_load.json. The peer of the
same run is a bare `import dagster`: the rest is ours.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mlops_assets.settings import PROJECT

RESULT = Path(__file__).parent / "results" / "location_load.json"
ROUNDS = 7
GOAL_SECONDS = 1.5
HEAVY = ("mlflow", "evidently", "sklearn", "pandas")
LOAD = "from mlops_assets.definitions import defs; defs().get_repository_def()"
SHOW = f"{LOAD}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"


def seconds(code: str, home: str) -> float:
    """Wall time of a fresh interpreter that runs `code`, its start and end included."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLOPS_")}
    environment |= {"MLOPS_HOME": home, "DAGSTER_HOME": home}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=PROJECT,
        env=environment,
        check=True,
        timeout=120,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def main() -> dict[str, Any]:
    """Measure, print, keep."""
    with tempfile.TemporaryDirectory() as home:
        seconds(LOAD, home)
        ours = [seconds(LOAD, home) for _ in range(ROUNDS)]
        bare = [seconds("import dagster", home) for _ in range(ROUNDS)]
        shown = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SHOW],
            cwd=PROJECT,
            env={**os.environ, "MLOPS_HOME": home, "DAGSTER_HOME": home},
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
    result = {
        "location_seconds": statistics.median(ours),
        "import_dagster_seconds": statistics.median(bare),
        "goal_seconds": GOAL_SECONDS,
        "met": statistics.median(ours) <= GOAL_SECONDS and shown.stdout.strip() == "[]",
        "heavy_imports": shown.stdout.strip(),
        "load_average": os.getloadavg()[0],
    }
    table = Table("what", "median s", "goal")
    table.add_row("code location, fresh interpreter", f"{result['location_seconds']:.2f}", f"≤ {GOAL_SECONDS}")
    table.add_row("import dagster alone", f"{result['import_dagster_seconds']:.2f}", "")
    table.add_row(f"of {', '.join(HEAVY)} imported", result["heavy_imports"], "[]")
    Console().print(table)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
