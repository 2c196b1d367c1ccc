"""The process manager's configuration: commands survive quoting, secrets stay in private files, changes are seen."""

from __future__ import annotations

import configparser
import json
import shlex
import stat
from pathlib import Path

import pytest

from mlops_assets.installation.programs import Program, platform_programs, product_programs
from mlops_assets.installation.supervisor import Supervisor, tail
from mlops_assets.settings import Settings
from mlops_assets.training.catalogue import declared_products


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    settings = Settings(home=tmp_path / "home")
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    settings.logs.mkdir(parents=True, exist_ok=True)
    return Supervisor(settings)


def section(supervisor: Supervisor, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    parser.read(supervisor.config)
    return dict(parser[f"program:{name}"])


@pytest.mark.parametrize("awkward", ["a b", 'say "hi"', "100%", "it's", "back\\slash", "a;b#c", "$(id)"])
def test_an_awkward_argument_arrives_as_it_is(supervisor: Supervisor, awkward: str) -> None:
    supervisor.write_config([Program(name="x", command=("/bin/echo", awkward), stage=1)])
    # supervisord expands %% to % and then splits like a shell.
    words = shlex.split(section(supervisor, "x")["command"].replace("%%", "%"))
    assert words[-2:] == ["/bin/echo", awkward]


def test_a_secret_is_in_a_private_file_and_in_no_argument(supervisor: Supervisor) -> None:
    program = Program(name="x", command=("/bin/true",), stage=1, environment={"URL": "postgres://u:hunter2@h"})
    supervisor.write_config([program])
    assert "hunter2" not in supervisor.config.read_text()
    private = supervisor.settings.run_dir / "x.env.json"
    assert json.loads(private.read_text()) == program.environment
    for path in (private, supervisor.config):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_secret_is_in_any_programs_arguments(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url="postgresql+psycopg2://me:hunter2@db.example/mlops")
    programs = platform_programs(settings)
    programs += [p for product in declared_products() for p in product_programs(settings, product)]
    assert "hunter2" not in " ".join(part for p in programs for part in p.command)
    assert "postgres" not in {p.name for p in programs}, "with a database of one's own none is started"


def test_a_changed_environment_changes_the_configuration(supervisor: Supervisor) -> None:
    texts = set()
    for value in ("one", "two"):
        supervisor.write_config([Program(name="x", command=("/bin/true",), stage=1, environment={"A": value})])
        texts.add(supervisor.config.read_text())
    assert len(texts) == 2


def test_without_supervisord_nothing_is_running(supervisor: Supervisor) -> None:
    assert not supervisor.running()
    assert supervisor.states() == {}


def test_every_program_has_its_own_name_and_port(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    programs = platform_programs(settings)
    programs += [p for product in declared_products() for p in product_programs(settings, product)]
    names, ports = [p.name for p in programs], [p.port for p in programs if p.port]
    assert len(set(names)) == len(names)
    assert len(set(ports)) == len(ports)


def test_tail_gives_the_last_lines_of_a_long_and_of_no_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert tail(log, 5) == []
    log.write_text("".join(f"line {n}\n" for n in range(10_000)))
    assert tail(log, 3) == ["line 9997", "line 9998", "line 9999"]
