"""The house-price graph as one plain script: the same functions, no Dagster, no database, no MLflow.

The peer of `main_job`. Run as `python -m tests.benchmarks.plain_script FILE FOLDER`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlops_assets.products import house_prices
from mlops_assets.training import evaluate, export, feature_set, measured_estimates, released
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.columns import views
from mlops_assets.training.data import contract, csv_file
from mlops_assets.training.fit import search_and_fit


def main(file: Path, folder: Path) -> None:
    """Read, clean, check, split, search, fit, convert, compare, measure, draw, write."""
    product = next(p for p in declared_products() if p.name == "house_prices")
    raw = csv_file.read_rows(file, product.contract, product.source)
    cleaned = house_prices.clean(raw)
    contract.check(contract.raw_facts(raw), cleaned, product.contract)
    table = feature_set.build(product, house_prices.features, cleaned.rows)
    table.to_parquet(folder / "features.parquet")
    result, model = search_and_fit(product, feature_set.training_set(product, table))
    graph = export.to_onnx(model)
    holdout, train_rows = feature_set.side(table, holdout=True), feature_set.side(table, holdout=False)
    served = released.OnnxModel(graph)
    found = evaluate.evaluate(
        served,
        product,
        house_prices.features,
        holdout,
        train_rows=train_rows,
        segments=measured_estimates.segments(product),
    )
    export.parity(model, graph, views(house_prices.features, holdout, product.features))
    for name, image in measured_estimates.draw(product, model, house_prices.features, holdout, found).items():
        (folder / f"{name}.png").write_bytes(image)
    record = export.describe(
        product,
        model,
        graph,
        version=0,
        dataset={"version": 0, "sha256": "", "rows": len(cleaned.rows), "sample": False},
        code_version="",
        runs={},
        metrics=found.metrics,
        smoke=export.smoke_records(product, house_prices.features, graph, holdout),
        vocabulary=export.vocabulary(product, train_rows),
    )
    export.write_release(folder / "release", record, graph)
    print(f"{result.best.family} {found.metrics['median_ape']:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
