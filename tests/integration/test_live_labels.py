"""From users' actual values to a data version: which of them, how often each user, and what the file's sensor says."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import text

from mlops_assets.products.samples.house_prices import generate
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.data import ingest, live_labels, watch
from mlops_assets.training.data.raw_file import SourceError
from mlops_assets.training.data.spec import LiveLabels
from mlops_assets.training.data.versions import DatasetVersions
from mlops_assets.training.spec import Product
from tests.made_log import MadeLog

PRODUCT = "house_prices"
ROWS = 1500
HOME = {"location": "Whitefield", "bhk": 2, "bath": 2, "area_type": None, "availability": None, "balcony": None}


def product(**labels: Any) -> Product:
    declared = declared_products()[0]
    wanted = LiveLabels(**{"min_rows": 10, **labels})
    return declared.model_copy(update={"source": declared.source.model_copy(update={"live_labels": wanted})})


class Users:
    """People who ask for homes and tell what they paid. Each home is a square foot larger than the one before."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.log = MadeLog(database, PRODUCT, 1, {"production": 1}, datetime.now(UTC) - timedelta(days=3))
        self.homes: dict[Any, dict[str, Any]] = {}

    def buy(self, user: str | None, price: float, *, again: float | None = None, **how: Any) -> None:
        sqft = 1000.0 + len(self.homes)
        answer = self.log.predict("production", user, product=how.pop("product", PRODUCT))
        self.homes[answer] = HOME | {"total_sqft": sqft, "society": None} | how.pop("home", {})
        at = how.pop("at", None)
        self.log.feedback(answer, how.pop("type", "actual_price"), price, at=at)
        if again is not None:
            self.log.feedback(answer, "actual_price", again, at=self.log.at + timedelta(minutes=1))

    def ship(self) -> None:
        self.log.ship()
        with self.database.engine.begin() as connection:
            for answer, home in self.homes.items():
                statement = text("UPDATE mlops.prediction SET features = cast(:home AS jsonb) WHERE id = :id")
                connection.execute(statement, {"home": _json(home), "id": answer})


def _json(value: dict[str, Any]) -> str:
    import json

    return json.dumps(value)


@pytest.fixture
def users(database: Database) -> Users:
    return Users(database)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "listings.csv"
    write(path, 3)
    return path


def write(path: Path, seed: int) -> None:
    generate(ROWS, seed).to_csv(path, index=False)
    os.utime(path, (1_700_000_000 + seed, 1_700_000_000 + seed))


Ingest = Callable[[Product], ingest.Ingested]


@pytest.fixture
def ingested(database: Database, tmp_path: Path, file: Path) -> Ingest:
    def run(declared: Product) -> ingest.Ingested:
        return ingest.ingest(declared, database, Storage(str(tmp_path / "root")), str(file))

    return run


@pytest.fixture
def rows_of(database: Database, tmp_path: Path) -> Callable[[ingest.Ingested], pd.DataFrame]:
    """The cleaned rows of what was ingested."""

    def read(got: ingest.Ingested) -> pd.DataFrame:
        with ingest.rows_file(product(), got.version, database, Storage(str(tmp_path / "root"))) as path:
            return pd.read_parquet(path)

    return read


def prices(users: Users, declared: Product) -> list[float]:
    return [label.actual for label in live_labels.read(declared, users.database)]


def test_labels_become_rows_of_a_new_version(
    users: Users,
    ingested: Ingest,
    rows_of: Callable[[ingest.Ingested], pd.DataFrame],
    file: Path,
    tmp_path: Path,
    database: Database,
) -> None:
    declared = product()
    plain = ingested(declared)
    assert (plain.live_rows, plain.version.version) == (0, 1)
    assert plain.version.source == str(file)
    for n in range(12):
        users.buy(f"user {n}", 7000.0 + n)
    users.ship()
    got = ingested(declared)
    assert (got.live_rows, got.version.version, got.is_new) == (12, 2, True)
    assert got.version.source == f"{file} + 12 live labels"
    assert got.version.rows == plain.version.rows + 12
    assert sorted(rows_of(got)["price"].nlargest(12)) == [7000.0 + n for n in range(12)]
    assert not [f for f in got.findings if not f.passed and f.severity == "error"]
    again = ingested(declared)
    assert (again.version, again.is_new, again.live_rows) == (got.version, False, 12)
    versions = DatasetVersions(database, Storage(str(tmp_path / "root")))
    with versions.raw_file(PRODUCT, 2) as path:
        assert path.read_bytes().startswith(file.read_bytes())
    assert ingested(product(min_rows=13)).version.version == 1, "too few: the file as it is"


def test_only_the_newest_value_of_the_right_kind_and_time_counts(users: Users) -> None:
    now = datetime.now(UTC)
    users.buy("a", 1.0)
    users.buy("b", 2.0, again=20.0)
    users.buy("c", 3.0, type="rating")
    users.buy("d", 4.0, at=now - timedelta(days=40))
    users.buy("e", 5.0, at=now - timedelta(days=20))
    users.buy("f", -6.0)
    users.buy("g", float("inf"))
    users.buy("h", 8.0, product="loans")
    users.ship()
    assert prices(users, product(days=30)) == [20.0, 1.0, 5.0], "newest first"
    assert prices(users, product(days=90)) == [20.0, 1.0, 5.0, 4.0]


def test_one_user_has_so_many_labels_and_all_without_a_name_are_one(users: Users) -> None:
    for n in range(5):
        users.buy("busy", 10.0 + n)
        users.buy(None, 20.0 + n)
    users.buy("quiet", 30.0)
    users.ship()
    assert prices(users, product(per_user=2)) == [30.0, 24.0, 14.0, 23.0, 13.0]


def test_labels_of_answers_that_are_gone_from_the_log_are_left_out(users: Users, database: Database) -> None:
    for n in range(3):
        users.buy(f"user {n}", 10.0 + n)
    users.ship()
    with database.engine.begin() as connection:
        connection.execute(text("DELETE FROM mlops.prediction WHERE user_hash = 'user 1'"))
    assert prices(users, product()) == [12.0, 10.0]


def test_a_flood_of_nonsense_neither_blocks_training_nor_enters_it(users: Users, ingested: Ingest) -> None:
    declared = product(per_user=1000)
    before = ingested(declared)
    for n in range(400):
        users.buy(f"liar {n % 40}", 5.0, home={"total_sqft": 19_999.0, "location": f"spam {n}"})
    for n in range(10):
        users.buy(f"user {n}", 7000.0 + n)
    users.ship()
    got = ingested(declared)
    assert got.live_rows == 10
    assert got.version.rows == before.version.rows + 10
    assert got.dropped == before.dropped


def test_a_source_that_was_ingested_with_labels_is_known_to_its_sensor(
    users: Users, ingested: Ingest, file: Path, database: Database
) -> None:
    declared = product()
    for n in range(12):
        users.buy(f"user {n}", 7000.0 + n)
    users.ship()
    first = watch.look(declared, str(file), None, database)
    assert first.run_key is not None
    assert ingested(declared).version.version == 1
    os.utime(file, (1_600_000_000, 1_600_000_000))
    touched = watch.look(declared, str(file), first.cursor, database)
    assert touched.run_key is None
    assert "is in data version V1 with live labels, which is known" in touched.said
    assert "unchanged" in watch.look(declared, str(file), touched.cursor, database).said
    write(file, 4)
    assert watch.look(declared, str(file), touched.cursor, database).run_key not in (None, first.run_key)
    without = declared.model_copy(update={"source": declared.source.model_copy(update={"live_labels": None})})
    write(file, 3)
    assert watch.look(without, str(file), None, database).run_key is not None, "never trained on by itself"


def test_a_kill_before_the_source_was_noted_is_repaired_by_the_next_run(
    users: Users, ingested: Ingest, file: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = product()
    for n in range(12):
        users.buy(f"user {n}", 7000.0 + n)
    users.ship()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(live_labels, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            ingested(declared)
    assert watch.look(declared, str(file), None, database).run_key is not None
    assert ingested(declared).version.version == 1
    assert watch.look(declared, str(file), None, database).run_key is None


def test_a_product_that_can_not_take_labels_is_refused_before_anything_is_fetched(
    database: Database, tmp_path: Path
) -> None:
    lone = product().model_copy(update={"functions": "tests.shop.loans"})
    with pytest.raises(SourceError, match=r"live_labels needs as_raw\(record, actual\) in tests.shop.loans"):
        ingest.ingest(lone, database, Storage(str(tmp_path)), str(tmp_path / "absent.csv"))
