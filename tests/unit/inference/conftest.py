"""A loaded tiny release and the application in front of it, without BentoML and without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.app import create_app
from inference.functions import ProductFunctions, load_functions
from inference.metrics import Metrics
from inference.model import Model
from inference.record import Recorder
from inference.served import Served, Serving
from inference.settings import ServingSettings, VocabularyRoute
from tests.unit.inference.asgi_client import AsgiClient
from tests.unit.inference.fake_journal import KEY, FakeJournal
from tests.unit.inference.tiny_release import MODULE, PRODUCT, write_release


@pytest.fixture(scope="session")
def functions() -> ProductFunctions:
    return load_functions(MODULE, allowed=MODULE)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("releases") / "one", version=3, factor=0.1)


@pytest.fixture(scope="session")
def model(release: Path, functions: ProductFunctions) -> Model:
    return Model.load(release, functions)


@pytest.fixture
def settings(release: Path) -> ServingSettings:
    return ServingSettings(
        product=PRODUCT,
        module=MODULE,
        route="predict_price",
        answer="price",
        vocabularies=(VocabularyRoute(route="get_towns", column="town", key="towns"),),
        variant="candidate",
        pinned=release,
        batch_limit=5,
        body_limit=2048,
        batch_body_limit=16_384,
        max_concurrency=4,
    )


@pytest.fixture
def served(model: Model) -> Served:
    return Served("candidate", Serving(model, "candidate"))


@pytest.fixture
def journal() -> FakeJournal:
    return FakeJournal()


@pytest.fixture
def recorder(journal: FakeJournal) -> Recorder:
    return Recorder(journal, KEY, PRODUCT)


@pytest.fixture
def metrics(settings: ServingSettings, served: Served, tmp_path: Path, journal: FakeJournal) -> Metrics:
    return Metrics(settings.product, served, tmp_path, journal)


@pytest.fixture
def client(
    settings: ServingSettings, functions: ProductFunctions, served: Served, metrics: Metrics, recorder: Recorder
) -> AsgiClient:
    return AsgiClient(create_app(settings, functions, served, metrics, recorder))
