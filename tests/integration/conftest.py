"""A product materialised in this process, a journal with its shipper, a gateway, an object store, a browser."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from inference.journal import Journal
from inference.shipping import Shipper
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.storage.io_managers import ReferenceIOManager
from mlops_assets.training.assets import product_assets
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.spec import Product
from mlops_assets.training.tracking import Tracking
from tests.integration.gateway_rig import Rig, running_rig
from tests.integration.object_store import running_object_store
from tests.integration.platform_tables import PlatformTables, made_tables
from tests.integration.shipped_log import shipper_on

SHOP = Path(__file__).parents[1] / "shop" / "defs"
Materialize = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def loans() -> Product:
    """The second product, from its YAML."""
    return declared_products(SHOP)[0]


@pytest.fixture
def loans_file(tmp_path: Path) -> Path:
    """A file of loans whose outcome follows from burden and purpose, with some noise."""
    path = tmp_path / "loans.csv"
    write_loans(path, 900, seed=1)
    return path


def write_loans(path: Path, count: int, seed: int) -> None:
    """Loans of a known law."""
    draw = random.Random(seed)
    lines = ["income,amount,purpose,employed_years,outcome"]
    for _ in range(count):
        income, amount = draw.uniform(1e4, 9e4), draw.uniform(1e3, 6e4)
        purpose = draw.choice(["car", "house", "Holiday", "school"])
        years = "" if draw.random() < 0.2 else f"{draw.uniform(0, 30):.0f}"
        risky = amount / income + (0.4 if purpose == "Holiday" else 0.0) + draw.gauss(0, 0.1) > 0.8
        lines.append(f"{income:.0f},{amount:.0f},{purpose},{years},{'defaulted' if risky else 'paid'}")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def resources(home: Settings, database: Database, mlflow_url: str) -> dict[str, Any]:
    """The shared resources, pointing at the test's own servers and folders."""
    storage = Storage(home.storage)
    return {
        "settings": home,
        "database": database,
        "storage": storage,
        "tracking": Tracking(mlflow_url),
        "io_manager": ReferenceIOManager(storage),
    }


@pytest.fixture
def materialize(resources: dict[str, Any]) -> Materialize:
    """Run every stage of a product; `raise_on_error` False gives the failed result back, `tags` are the run's."""
    instance = dg.DagsterInstance.ephemeral()

    def run(
        product: Product, source: Path | None, raise_on_error: bool = True, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        located = product
        if source is not None:
            located = product.model_copy(update={"source": product.source.model_copy(update={"location": str(source)})})
        return dg.materialize(
            product_assets(located), resources=resources, instance=instance, raise_on_error=raise_on_error, tags=tags
        )

    return run


@pytest.fixture(scope="session")
def platform_tables(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformTables]:
    """Dagster's tables and our own in a database that is theirs alone."""
    with made_tables(postgres_url, tmp_path_factory.mktemp("dagster")) as tables:
        yield tables


@pytest.fixture
def empty_tables(platform_tables: PlatformTables) -> PlatformTables:
    """The same without a row."""
    platform_tables.empty()
    return platform_tables


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(root: Path) -> Iterator[Journal]:
    opened = Journal(root / "homes_production", "homes_production")
    yield opened
    opened.close()


@pytest.fixture
def shipper(database: Database, postgres_url: str, root: Path) -> Iterator[Shipper]:
    with shipper_on(postgres_url, root) as made:
        yield made


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Storage options of a running S3 server, which lets in nobody else and has the bucket `store`."""
    with running_object_store(tmp_path_factory.mktemp("s3")) as options:
        yield options


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for the tests of a file."""
    from tests.integration.browser import running_browser

    with running_browser() as found:
        yield found


@pytest.fixture(scope="module")
def running() -> Iterator[Rig]:
    """One gateway with its services for the tests of a file."""
    with running_rig() as rig:
        yield rig


@pytest.fixture
def rig(running: Rig) -> Rig:
    """That gateway, everything well again and nobody compared."""
    running.reset()
    return running
