"""Settings from the environment, from a Bento's file, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

import inference.settings
from inference.settings import SERVING_FILE, ServingSettings
from mlops_assets.installation.programs import product_programs
from mlops_assets.settings import Settings
from mlops_assets.training.catalogue import declared_products

ENOUGH = {
    "PRODUCT": "homes",
    "MODULE": "mlops_assets.products.homes",
    "ROUTE": "predict",
    "DATABASE_URL": "postgresql+psycopg2://u:hidden@127.0.0.1/db",
    "CACHE_DIR": "/var/cache/homes",
}


def give(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"MLOPS_SERVING_{name}", value)


def test_environment_is_read_and_the_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = [{"route": "get_towns", "column": "town", "key": "towns"}]
    give(monkeypatch, **ENOUGH, VOCABULARIES=json.dumps(routes), VARIANT="candidate", BATCH_LIMIT="7")
    settings = ServingSettings()
    assert (settings.product, settings.variant, settings.batch_limit) == ("homes", "candidate", 7)
    assert settings.vocabularies[0].key == "towns"
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize("name", ["MODULE", "DATABASE_URL", "CACHE_DIR"])
def test_what_following_needs_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    give(monkeypatch, **{k: v for k, v in ENOUGH.items() if k != name})
    with pytest.raises(ValidationError, match=f"MLOPS_SERVING_{name}"):
        ServingSettings()


@pytest.mark.parametrize("name", ["KEY_FILE", "JOURNAL_DIR"])
def test_key_and_journal_come_together(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    give(monkeypatch, **ENOUGH)
    assert ServingSettings().journal_dir is None
    give(monkeypatch, **{name: "/x"})
    with pytest.raises(ValidationError, match="MLOPS_SERVING_KEY_FILE and MLOPS_SERVING_JOURNAL_DIR"):
        ServingSettings()
    give(monkeypatch, KEY_FILE="/x/key", JOURNAL_DIR="/x/journal")
    assert ServingSettings().key_file == Path("/x/key")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FEEDBACK_DAYS", "0"),
        ("ROUTE", "../x"),
        ("VARIANT", "shadow"),
        ("POLL_SECONDS", "0"),
        ("MODULE", "a b"),
        ("VOCABULARIES", "[{}]"),
    ],
)
def test_bad_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    give(monkeypatch, **{**ENOUGH, name: value})
    with pytest.raises(ValidationError, match=name.lower()):
        ServingSettings()


def test_file_of_a_bento_is_enough_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "inference").mkdir()
    monkeypatch.setattr(inference.settings, "__file__", str(tmp_path / "inference" / "settings.py"))
    (tmp_path / SERVING_FILE).write_text(json.dumps({"product": "homes", "route": "predict", "pinned": "release"}))
    assert ServingSettings().pinned == tmp_path / "release"
    give(monkeypatch, ROUTE="estimate")
    assert ServingSettings().route == "estimate"


def test_a_service_is_told_what_its_product_declares(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen, installation = set(), Settings(home=tmp_path)
    for product in declared_products():
        for program in product_programs(installation, product):
            for name, value in program.environment.items():
                monkeypatch.setenv(name, value)
            settings, declared = ServingSettings(), product.serving
            assert declared is not None
            told = (settings.route, settings.answer, settings.batch_key, settings.batch_limit)
            assert told == (declared.route, declared.answer, declared.batch_key, declared.batch_limit)
            assert settings.detects == (product.task == "anomaly")
            seen.add(product.name)
    assert "house_prices" in seen
