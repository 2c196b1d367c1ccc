"""The command line: one clear line for a known failure, and no command that hides another's arguments."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mlops_assets.installation.commands import with_definitions
from mlops_assets.rollout.commands import choose
from mlops_assets.rollout.ledger import LedgerError
from mlops_assets.settings import PROJECT

MLOPS = Path(sys.executable).parent / "mlops"


def mlops(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLOPS_")}
    environment |= {"MLOPS_HOME": str(tmp_path / "home"), **variables}
    return subprocess.run(
        [str(MLOPS), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (("status",), {"MLOPS_PORT_OFFSET": "many"}, "MLOPS_PORT_OFFSET"),
        (("logs", "nothing"), {}, "nothing"),
        (("dagster", "asset", "list"), {}, "mlops up"),
        (("rollout", "status", "--product", "boats"), {}, "boats"),
    ],
)
def test_a_known_failure_is_one_line_and_no_traceback(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    done = mlops(tmp_path, *arguments, **variables)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_it_tells_its_version_with_nothing_set_up(tmp_path: Path) -> None:
    done = mlops(tmp_path, "--version", MLOPS_PORT_OFFSET="many")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert (done.returncode, done.stdout.strip()) == (0, project["version"])
    assert not (tmp_path / "home").exists()


def test_without_an_installation_status_and_down_say_so(tmp_path: Path) -> None:
    assert mlops(tmp_path, "status").returncode == 3
    assert mlops(tmp_path, "down").returncode == 0


@pytest.mark.parametrize(
    ("given", "added"),
    [
        (["asset", "materialize", "--select", "x"], ["-m", "mlops_assets.definitions"]),
        (["asset", "list", "-m", "other"], []),
        (["asset", "list", "--python-file=other.py"], []),
        (["asset", "materialize", "--help"], []),
        (["instance", "info"], []),
        (["--version"], []),
    ],
)
def test_dagster_commands_get_the_definitions_unless_they_name_some(given: list[str], added: list[str]) -> None:
    assert with_definitions(given) == given + added


def test_the_only_product_needs_no_name_and_several_do() -> None:
    assert choose(["a"], None) == "a"
    assert choose(["a", "b"], "b") == "b"
    with pytest.raises(LedgerError, match="--product"):
        choose(["a", "b"], None)
    with pytest.raises(LedgerError, match="c"):
        choose(["a", "b"], "c")
