"""The code version changes with every module that decides what a model becomes, and with no other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.training.code_version import code_version

FILES = {
    "acme/__init__.py": "",
    "acme/products/__init__.py": "raise AssertionError('imported')",
    "acme/products/loans.py": "import json\nimport acme.words\nfrom acme.products.cleaning import clean, LIMITS",
    "acme/products/cleaning.py": "def clean(raw):\n    from . import units\n    from ..rates import RATES",
    "acme/products/units.py": "from acme.products import loans, absent\nimport acme.nowhere.deeper",
    "acme/rates.py": "import other_library",
    "acme/words/__init__.py": "from .english import WORDS",
    "acme/words/english.py": "WORDS = {}",
    "acme/words/french.py": "WORDS = {}",
    "acme/products/samples/loans.py": "SEED = 1",
    "other_library.py": "X = 1",
}
USED = [
    *("acme/products/loans.py", "acme/products/cleaning.py", "acme/products/units.py", "acme/rates.py"),
    *("acme/products/__init__.py", "acme/words/__init__.py", "acme/words/english.py"),
]
Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write one more file of a project whose folder is on the path; it begins with `FILES`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def one(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        importlib.invalidate_caches()

    for name, text in FILES.items():
        one(name, text)
    return one


@pytest.mark.parametrize("name", USED)
def test_it_changes_with_the_module_and_with_all_that_it_uses_of_its_package(write: Write, name: str) -> None:
    before = code_version("acme.products.loans")
    write(name, FILES[name] + "\n# changed")
    assert code_version("acme.products.loans") != before
    write(name, FILES[name])
    assert code_version("acme.products.loans") == before


@pytest.mark.parametrize("name", sorted(FILES.keys() - {*USED}))
def test_it_does_not_change_with_what_the_module_does_not_use(write: Write, name: str) -> None:
    before = code_version("acme.products.loans")
    write(name, "# changed")
    assert code_version("acme.products.loans") == before


def test_it_changes_when_what_is_used_moves_to_another_module(write: Write) -> None:
    before = code_version("acme.products.loans")
    write("acme/money.py", FILES["acme/rates.py"])
    write("acme/products/cleaning.py", FILES["acme/products/cleaning.py"].replace("rates", "money"))
    assert code_version("acme.products.loans") != before


def test_nothing_is_imported_to_find_it(write: Write) -> None:
    code_version("acme.products.loans")
    assert not [name for name in sys.modules if name.partition(".")[0] in ("acme", "other_library")]


def test_two_products_have_two_versions(write: Write) -> None:
    write("acme/products/cars.py", FILES["acme/products/loans.py"])
    assert code_version("acme.products.cars") != code_version("acme.products.loans")


def test_a_module_without_a_package_is_its_own(write: Write) -> None:
    write("lone.py", "import other_library\nfrom . import nothing")
    before = code_version("lone")
    write("other_library.py", "X = 2")
    assert code_version("lone") == before
    write("lone.py", "")
    assert code_version("lone") != before
