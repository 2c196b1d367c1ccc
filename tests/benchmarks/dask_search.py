"""The search of house prices on one Dask worker and on two, each of one thread, and in processes of this machine.

`python -m tests.benchmarks.dask_search [--rounds N]` prints a table and writes results/dask_search.json; exit status 1
when a goal is missed. The rows are generated sample rows. Each round does the same search at every place, one after the
other, with workers that have done one before; medians over the rounds count. Two workers need two free cores.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mlops_assets.compute.place import Place, place_of_work
from mlops_assets.products import house_prices
from mlops_assets.products.samples import house_prices as sample
from mlops_assets.settings import Settings
from mlops_assets.training import feature_set
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.search import SearchResult, search
from mlops_assets.training.spec import Search
from mlops_assets.training.trials import TrainingSet
from tests.benchmarks.reported import Result, report
from tests.integration.dask_cluster import running_scheduler, running_worker

RESULT = Path(__file__).parent / "results" / "dask_search.json"
ROWS, SEED = 13_320, 42
ONE, TWO = "1 Dask worker", "2 Dask workers"
PROCESSES = "2 processes, no Dask"
GOAL = 1.7


def data_and_search() -> tuple[TrainingSet, Search]:
    """The product's own search of its sample rows."""
    product = next(p for p in declared_products() if p.name == "house_prices")
    rows = house_prices.clean(sample.generate(ROWS, SEED)).rows
    table = feature_set.build(product, house_prices.features, rows)
    return feature_set.training_set(product, table), product.search


def told(found: SearchResult) -> list[Any]:
    """What has to be equal wherever it was found."""
    return [(t.family, t.params, t.score, t.fold_scores) for t in found.trials]


def measure(rounds: int, _: float) -> Result:
    """Seconds of each place in each round, and how many times quicker two workers are than one."""
    data, spec = data_and_search()
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder, ExitStack() as opened:
        places = {PROCESSES: Place()}
        for name, count in ((ONE, 1), (TWO, 2)):
            address = opened.enter_context(running_scheduler(Path(folder)))
            for _number in range(count):
                opened.enter_context(running_worker(address, Path(folder)))
            settings = Settings(dask_address=address)
            places[name] = opened.enter_context(place_of_work(settings, len(data), lambda said: sys.exit(said)))
        seconds: dict[str, list[float]] = {name: [] for name in places}
        results = []
        for _round in range(rounds + 1):
            for name, place in places.items():
                began = time.perf_counter()
                results.append(told(search(data, spec, place=place)))
                seconds[name].append(time.perf_counter() - began)
    if any(result != results[0] for result in results):
        raise RuntimeError("the places disagree on the search's result")
    # The first round warms up.
    median = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    times = median[ONE] / median[TWO]
    return {
        "rows": len(data),
        "trials": len(results[0]),
        "folds": spec.folds,
        "median_seconds": {name: round(value, 2) for name, value in median.items()},
        "times_quicker_with_two_workers": round(times, 2),
        "each_round": {name: [round(value, 2) for value in values[1:]] for name, values in seconds.items()},
        "cores": os.cpu_count(),
        "load_before": LOAD,
        "goals": {f"2 workers ≥ {GOAL} × 1 worker": times >= GOAL, "equal results": True},
    }


LOAD = round(os.getloadavg()[0], 1)


def show(result: Result) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=100)
    title = f"{result['trials']} trials × {result['folds']} folds, {result['rows']:,} SAMPLE ROWS, not real"
    table = Table("where", "seconds", "× one worker", title=title)
    for name, value in result["median_seconds"].items():
        table.add_row(name, f"{value:.2f}", f"{result['median_seconds'][ONE] / value:.2f}")
    console.print(table, f"load before: {result['load_before']} on {result['cores']} cores")
    for goal, met in result["goals"].items():
        console.print(f"{goal}: {'met' if met else '[red]missed[/red]'}")


if __name__ == "__main__":
    done = report(RESULT, __doc__, measure, show, rounds=3, seconds=0.0)
    sys.exit(0 if all(done["goals"].values()) else 1)
