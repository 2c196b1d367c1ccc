"""The clouds, and a place in each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from adlfs import AzureBlobFileSystem
from gcsfs.core import GCSFileSystem

from mlops_assets.storage.files import Storage
from tests.integration.clouds.emulators import CLOUDS, Cloud


@pytest.fixture(scope="module", params=list(CLOUDS))
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Each cloud in turn, running."""
    with CLOUDS[request.param](tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture
def url(cloud: Cloud) -> str:
    """A place in it that nobody else uses."""
    return f"{cloud.url}/{secrets.token_hex(4)}"


@pytest.fixture
def storage(cloud: Cloud, url: str) -> Storage:
    return Storage(url, cloud.options)


@pytest.fixture
def by_variables(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cloud is known by its own variables, as to an installation."""
    # Another test's file system without options would be handed out again, with that test's variables.
    GCSFileSystem.clear_instance_cache()
    AzureBlobFileSystem.clear_instance_cache()
    for name, value in cloud.variables.items():
        monkeypatch.setenv(name, value)
