"""How good and how quick the house-price model is on the real listings, with its default search.

`MLOPS_REAL_DATA=<folder> python -m tests.benchmarks.house_price_model` prints a table and writes
results/house_price_model.json. Accuracy: five random 20 % hold-outs, outliers left in, the whole search run
anew on each. Time: one search, fit, interval and export with the platform's own split, and one answer.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from mlops_assets.products import house_prices
from mlops_assets.training import evaluate, export, fit
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.columns import model_columns, views
from mlops_assets.training.released import OnnxModel
from mlops_assets.training.spec import Product

SEEDS = 5
RESULT = Path(__file__).parent / "results" / "house_price_model.json"

# (metric, floor or ceiling, limit): errors in shares and lakh.
GOALS = (
    ("median_ape", "<=", 0.13),
    ("mae", "<=", 27.0),
    ("median_ape_required_only", "<=", 0.17),
    ("mae_required_only", "<=", 31.0),
    ("coverage", ">=", 0.77),
    ("coverage", "<=", 0.83),
    ("coverage_required_only", ">=", 0.77),
    ("coverage_required_only", "<=", 0.83),
    ("parity", "<=", 1e-4),
)


def product() -> Product:
    """The declaration whose figures are measured here."""
    return next(p for p in declared_products() if p.name == "house_prices")


def real_rows() -> Any:
    """Canonical rows of the real file. Raises KeyError without MLOPS_REAL_DATA."""
    import pandas as pd

    folder = Path(os.environ["MLOPS_REAL_DATA"])
    return house_prices.clean(pd.read_csv(folder / "bengaluru_house_prices.csv", dtype=str)).rows


def accuracy(rows: Any, seeds: int) -> list[dict[str, float]]:
    """Hold-out metrics of the exported graph, and its parity, for each random hold-out."""
    spec = product()
    found = []
    for seed in range(seeds):
        held = np.zeros(len(rows), dtype=bool)
        held[np.random.RandomState(seed).permutation(len(rows))[: len(rows) // 5]] = True
        trained = fit.train(spec, house_prices.features, rows, holdout=held)
        graph = export.to_onnx(trained.model)
        frames = views(house_prices.features, trained.holdout_rows, spec.features)
        result = evaluate.evaluate(OnnxModel(graph), spec, house_prices.features, trained.holdout_rows)
        found.append({**result.metrics, "parity": export.parity(trained.model, graph, frames)})
        best, error = trained.search.best, result.metrics["median_ape"]
        print(f"hold-out {seed}: {best.family}, median APE {error:.4f}")
    return found


def speed(rows: Any) -> dict[str, float]:
    """Seconds of the default training and export; microseconds of one row: features, ONNX answer."""
    spec = product()
    started = time.perf_counter()
    trained = fit.train(spec, house_prices.features, rows)
    trained_at = time.perf_counter()
    graph = export.to_onnx(trained.model)
    exported_at = time.perf_counter()
    model = OnnxModel(graph)
    frame = model_columns(house_prices.features, trained.holdout_rows.head(1), spec.features)
    feed = {
        name: frame[name].to_numpy(dtype=object if "string" in kind else np.float32).reshape(-1, 1)
        for name, kind in model.inputs.items()
    }
    record = trained.holdout_rows.iloc[0].to_dict()
    return {
        "train_seconds": trained_at - started,
        "export_seconds": exported_at - trained_at,
        "graph_bytes": float(len(graph)),
        "onnx_microseconds": _microseconds(lambda: model.run(feed)),
        "features_microseconds": _microseconds(lambda: house_prices.features(record)),
    }


def _microseconds(call: Any, times: int = 2000) -> float:
    """Median over ten batches, after a warm-up."""
    for _ in range(times // 10):
        call()
    batches = []
    for _ in range(10):
        started = time.perf_counter()
        for _ in range(times // 10):
            call()
        batches.append((time.perf_counter() - started) / (times // 10) * 1e6)
    return float(np.median(batches))


def main(seeds: int = SEEDS) -> dict[str, Any]:
    """Measure, print, write the result file, and return what it holds."""
    rows = real_rows()
    quick = speed(rows)
    each = accuracy(rows, seeds)
    mean = {name: float(np.mean([metrics[name] for metrics in each])) for name in each[0]}
    mean["parity"] = max(metrics["parity"] for metrics in each)
    met = {
        f"{name} {sign} {limit:g}": bool(mean[name] <= limit if sign == "<=" else mean[name] >= limit)
        for name, sign, limit in GOALS
    }
    result = {"rows": len(rows), "seeds": seeds, "mean": mean, "each": each, "speed": quick, "goals": met}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _show(result)
    return result


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", title=f"House prices: mean of {result['seeds']} random 20 % hold-outs")
    for name, value in {**result["mean"], **result["speed"]}.items():
        table.add_row(name, f"{value:,.4g}")
    for goal, met in result["goals"].items():
        table.add_row(goal, "met" if met else "[red]missed[/red]")
    Console().print(table)


if __name__ == "__main__":
    main()
