"""From a source to a judged data version: bad prices, what the rows are compared with, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_assets.products.samples.house_prices import generate
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.data import contract, ingest
from mlops_assets.training.data.raw_file import SourceError
from mlops_assets.training.data.versions import DatasetRecord
from mlops_assets.training.spec import Product

ROWS = 1500


@pytest.fixture(scope="module")
def product() -> Product:
    return declared_products()[0]


class Versions:
    """The table of data versions, in memory."""

    def __init__(self) -> None:
        self.records: list[DatasetRecord] = []
        self.loaded: list[int] = []
        self.rows = pd.DataFrame()

    def add(self, sha256: str, sample: bool = False) -> DatasetRecord:
        number = len(self.records) + 1
        record = DatasetRecord("house_prices", number, sha256, 1, "", "", sample, datetime.now(UTC))
        self.records.append(record)
        return record

    def list(self, _: str) -> list[DatasetRecord]:
        return self.records

    def categories(self, _: str, version: int, names: list[str]) -> dict[str, set[str]]:
        self.loaded.append(version)
        assert "location" in names
        return {"location": {"elsewhere"}}

    def register(self, _: str, fetched: Any, cleaned: Any, *, cleaning: str) -> tuple[DatasetRecord, bool]:
        self.rows = pd.read_parquet(cleaned.path)
        return self.add(fetched.sha256, fetched.sample), True


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Versions:
    made = Versions()
    monkeypatch.setattr(ingest.versions, "DatasetVersions", lambda *_: made)
    return made


def listings(path: Path, prices: Callable[[int], str | None]) -> Path:
    """Sample listings whose price in row n is `prices(n)`, if that is a text."""
    rows = generate(ROWS, 3)
    changed = [prices(n) for n in range(ROWS)]
    rows["price"] = [old if new is None else new for old, new in zip(rows["price"], changed, strict=True)]
    rows.to_csv(path, index=False)
    return path


def ingested(product: Product, path: Path) -> ingest.Ingested:
    return ingest.ingest(product, None, None, str(path))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("price", "reason"),
    [("-60", "price_not_positive"), ("on request", "price_not_a_number"), ("0", "price_not_positive")],
)
def test_bad_prices_are_dropped_and_counted_by_reason(
    product: Product, versions: Versions, tmp_path: Path, price: str, reason: str
) -> None:
    whole = ingested(product, listings(tmp_path / "whole.csv", lambda _: None))
    some = ingested(product, listings(tmp_path / "some.csv", lambda n: price if n % 50 == 0 else None))
    # A row that is dropped anyway may go for another reason first; and a repeated one may no longer repeat.
    lost = whole.version.rows - some.version.rows
    assert 0 < lost <= ROWS / 50
    assert lost <= some.dropped[reason] - whole.dropped.get(reason, 0) <= ROWS / 50
    assert (versions.rows["price"] > 0).all()
    assert next(f for f in some.findings if f.check == "account").passed


@pytest.mark.parametrize("price", ["-60", "on request"])
def test_a_file_of_bad_prices_only_is_blocked(product: Product, versions: Versions, tmp_path: Path, price: str) -> None:
    got = ingested(product, listings(tmp_path / "bad.csv", lambda _: price))
    assert versions.rows.empty
    blocked = {f.check for f in contract.blocking(got.findings)}
    assert {"min_rows", "dropped_share"} <= blocked
    assert got.version.source.endswith("bad.csv")


def test_rows_are_compared_with_the_newest_other_version_of_the_same_kind(
    product: Product, versions: Versions, tmp_path: Path
) -> None:
    path = listings(tmp_path / "listings.csv", lambda _: None)
    first = ingested(product, path)
    assert not versions.loaded, "a first version has nothing to be compared with"
    assert not [f for f in first.findings if f.check == "unseen"]
    versions.add("real")
    versions.add("generated", sample=True)
    second = ingested(product, path)
    assert versions.loaded == [2], "neither its own content nor sample data"
    unseen = next(f for f in second.findings if f.check == "unseen" and f.column == "location")
    assert not unseen.passed
    assert unseen.value == 1


def test_without_a_source_the_sample_is_labelled_as_such(product: Product, versions: Versions) -> None:
    small = product.model_copy(update={"source": product.source.model_copy(update={"sample_rows": ROWS})})
    got = ingest.ingest(small, None, None, None)  # type: ignore[arg-type]
    assert got.version.sample
    assert got.version.source.startswith("sample:")


def test_a_product_with_neither_source_nor_sample_says_what_to_set(product: Product) -> None:
    lone = product.model_copy(update={"name": "lone", "functions": "mlops_assets.products.cleaned"})
    with pytest.raises(SourceError, match=r"source\.location.*MLOPS_LONE_SOURCE"):
        ingest.sample_generator(lone)


def test_a_sample_module_that_fails_to_load_is_not_taken_for_a_missing_one(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = tmp_path / "shop_of_this_test" / "samples"
    samples.mkdir(parents=True)
    (samples / "broken.py").write_text("import a_library_that_is_not_installed\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    broken = product.model_copy(update={"functions": "shop_of_this_test.broken"})
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_installed"):
        ingest.sample_generator(broken)


def test_a_missing_file_is_named_and_no_version_is_taken(product: Product, versions: Versions, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.csv"):
        ingested(product, tmp_path / "absent.csv")
    assert not versions.records
