"""Stored reports: only from below the storage root, only for operators, and with a policy that confines them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_assets.api.app import create_app, declared_watched
from mlops_assets.api.drift.reports import OutsideStorageError, read_below
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import MissingFileError, Storage
from tests.unit.inference.asgi_client import AsgiClient

TOKEN = "operators-token-of-a-test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


# Nothing of it changes by being asked, and making one takes as long as all the questions.
@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> AsgiClient:
    nowhere = Database.connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    subjects = [Subject("house_prices", "House prices")]
    settings = Settings(home=tmp_path_factory.getbasetemp())
    return AsgiClient(create_app(settings, nowhere, token=TOKEN, subjects=subjects))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


def test_a_report_below_the_root_is_read(storage: Storage) -> None:
    folder = storage.at("house_prices", "drift", "date=2026-03-30")
    folder.write_bytes("report.html", b"<p>figures")
    assert read_below(storage, folder.locate("report.html")) == b"<p>figures"
    with pytest.raises(MissingFileError):
        read_below(storage, folder.locate("gone.html"))


@pytest.mark.parametrize(
    "uri",
    [
        "/etc/passwd", "", "report.html", "{root}", "{root}/", "{root}/../secrets/key", "{root}/a/../../secrets/key",
        "{root}/.hidden", "{root}//etc/passwd", "{root}-other/report.html", "s3://bucket/report.html",
        "file://{root}/report.html", "{root}/a%2f..%2fb/../x", "{root}/a\0b",
    ],
)  # fmt: skip
def test_nothing_outside_the_root_is_read(storage: Storage, tmp_path: Path, uri: str) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("secret")
    (tmp_path / "storage-other").mkdir()
    (tmp_path / "storage-other" / "report.html").write_text("secret")
    with pytest.raises(OutsideStorageError):
        read_below(storage, uri.format(root=storage.folder))


def test_a_link_out_of_the_root_is_not_followed(storage: Storage, tmp_path: Path) -> None:
    storage.write_bytes("x.html", b"x")
    (tmp_path / "secret").write_text("secret")
    assert storage.folder is not None
    (storage.folder / "report.html").symlink_to(tmp_path / "secret")
    with pytest.raises(OutsideStorageError, match="a link that leads out"):
        read_below(storage, storage.locate("report.html"))


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v1/drift", "/api/v1/drift/house_prices", "/api/v1/drift/house_prices/2026-03-30"),
        "/drift/house_prices/2026-03-30/report",
    ],
)
def test_figures_and_reports_need_the_token(client: AsgiClient, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong-token-of-somebody"}):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    down = client.get(path, headers=BEARER)
    assert (down.status_code, down.json()["detail"]) == (503, "the database doesn't answer; try again")


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/drift/house_prices", "../drift#house_prices"),
        ("/drift/house_prices/2026-03-30", "../../drift#house_prices/2026-03-30"),
        ("/drift/a%20b%23c/2026-03-30", "../../drift#a%20b%23c/2026-03-30"),
    ],
)
def test_a_day_has_an_address_of_its_own(client: AsgiClient, path: str, there: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (307, there)


@pytest.mark.parametrize("path", ["/drift/house_prices/today", "/drift/house_prices/2026-02-30/report"])
def test_what_is_no_day_is_422(client: AsgiClient, path: str) -> None:
    answer = client.get(path, headers=BEARER)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "day"


@pytest.mark.parametrize(
    "path",
    ["/drift", "/static/drift.js", "/static/sign_in.js", "/drift/house_prices", "/drift/house_prices/x/report/more"],
)
def test_pages_keep_the_strict_policy(client: AsgiClient, path: str) -> None:
    (policy,) = client.get(path).headers.get_list("content-security-policy")
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "sandbox" not in policy


@pytest.mark.parametrize("headers", [{}, BEARER])
def test_whatever_a_report_address_answers_is_confined(client: AsgiClient, headers: dict[str, Any]) -> None:
    answer = client.get("/drift/house_prices/2026-03-30/report", headers=headers)
    (policy,) = answer.headers.get_list("content-security-policy")
    assert policy.startswith("sandbox allow-scripts; default-src 'none';")
    assert "allow-same-origin" not in policy
    assert "connect-src 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_the_declared_products_are_watched_by_their_policies() -> None:
    found = {product.name: product for product in declared_watched()}
    assert found["house_prices"].title == "House prices"
    assert found["house_prices"].policy.min_rows >= 20
