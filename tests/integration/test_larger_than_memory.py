"""Files with more rows than a product holds in memory: cleaned and turned into features in pieces, to the same end."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.training import feature_set
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.data import ingest
from mlops_assets.training.spec import Product
from tests.integration.conftest import Materialize, write_loans
from tests.integration.test_second_product import checks, metadata

MEMORY = 2000


def limited(product: Product, rows: int | None) -> Product:
    return product.model_copy(update={"source": product.source.model_copy(update={"rows_in_memory": rows})})


@pytest.fixture(params=["house_prices", "traffic_anomalies"])
def product(request: pytest.FixtureRequest) -> Product:
    return next(p for p in declared_products() if p.name == request.param)


@pytest.fixture
def file(product: Product, tmp_path: Path) -> Path:
    path = tmp_path / f"{product.name}.csv"
    ingest.sample_generator(product)(9000, 3).to_csv(path, index=False)
    return path


def made(product: Product, file: Path, database: Database, storage: Storage, name: str) -> SimpleNamespace:
    """The data version with its findings, and the features of it."""
    got = ingest.ingest(product, database, storage, str(file))
    functions = importlib.import_module(product.functions)
    with ingest.rows_file(product, got.version, database, storage) as rows:
        record, head = feature_set.make(product, functions.features, got.version, rows, storage, name)
    return SimpleNamespace(got=got, record=record, head=head, table=feature_set.read(product, record, storage))


def model_columns(table: pd.DataFrame) -> pd.DataFrame:
    """In an order that doesn't depend on that of the rows."""
    found = table[[name for name in table.columns if str(name).startswith(("full.", "required_only."))]]
    return found.sort_values(list(found.columns), ignore_index=True)


def test_pieces_come_to_the_same_rows_findings_and_features(
    product: Product, file: Path, database: Database, tmp_path: Path
) -> None:
    storage = Storage(str(tmp_path / "root"))
    whole = made(product, file, database, storage, "whole")
    pieces = made(limited(product, MEMORY), file, database, storage, "pieces")
    assert (pieces.got.version, pieces.got.is_new) == (whole.got.version, False), "the content is the version"
    assert pieces.got.dropped == whole.got.dropped
    told: dict[str, Any] = {f.check + str(f.column): f for f in whole.got.findings}
    for finding in pieces.got.findings:
        assert finding.passed == told[finding.check + str(finding.column)].passed, finding
        assert finding.value == told[finding.check + str(finding.column)].value, finding
    pd.testing.assert_frame_equal(model_columns(pieces.table), model_columns(whole.table))
    assert pieces.record.rows == whole.record.rows == len(whole.table)
    if product.detector is not None:
        # Divided in time, and each month with the same facts, whatever the order of its rows.
        assert pieces.record.trained_until == whole.record.trained_until
        assert pieces.record.train_rows == whole.record.train_rows
        features = storage.at(product.name, "features")
        assert features.read_json(pieces.record.months) == features.read_json(whole.record.months)


def test_every_stage_learns_from_the_same_rows(
    product: Product, file: Path, database: Database, tmp_path: Path
) -> None:
    storage, small = Storage(str(tmp_path / "root")), limited(product, MEMORY)
    record = made(small, file, database, storage, "pieces").record
    chosen = feature_set.read_to_learn(small, record, storage)
    assert len(chosen) == MEMORY
    pd.testing.assert_frame_equal(chosen, feature_set.read_to_learn(small, record, storage))
    held = chosen[feature_set.HOLDOUT].mean()
    assert held == pytest.approx(record.holdout_rows / record.rows, abs=0.05)


def test_a_product_is_trained_and_released_from_a_sample_of_its_rows(
    materialize: Materialize, loans: Product, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "many.csv"
    write_loans(file, 5000, seed=2)
    done = materialize(limited(loans, 1000), file)
    assert done.success
    assert all(checks(done).values()), checks(done)
    assert metadata(done, "features")["train_rows"] + metadata(done, "features")["holdout_rows"] == 5000
    assert 700 < metadata(done, "model")["rows_fitted"] < 900
    state = Ledger(database).state("loans")
    manifest = Ledger(database).release("loans", state.production or 0).manifest or {}
    assert manifest["dataset"]["rows"] == 5000
    assert manifest["metrics"]["accuracy"] > 0.8
    # Without the limit the same content is the same version, and all rows are learnt from.
    whole = materialize(loans, file)
    assert metadata(whole, "dataset")["version"] == 1
    assert metadata(whole, "model")["rows_fitted"] > 3900
