"""The Dockerfile: linted, pinned, without root, made of files that exist, and running commands that there are."""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets.settings import PROJECT, Settings
from tests.unit.deploy.commands import default_command, why
from tests.unit.deploy.stack import DOCKERFILE, instructions, services
from tests.unit.deploy.test_compose import our_ports

HADOLINT = Path(sys.executable).parent / "hadolint"
FINAL = ("orchestrator", "serving")


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage by its name, its parent's first."""
    found: dict[str, list[tuple[str, str]]] = {}
    current = ""
    for name, words in instructions():
        if name == "FROM":
            parent, _, current = words.partition(" AS ")
            found[current] = list(found.get(parent, ()))
        elif current:
            found[current].append((name, words))
    return found


def of(stage: str, instruction: str) -> list[str]:
    return [words for name, words in stages()[stage] if name == instruction]


def environment(stage: str) -> dict[str, str]:
    """What a stage's ENV lines set."""
    return dict(word.split("=", 1) for line in of(stage, "ENV") for word in line.split())


def hadolint(file: Path) -> subprocess.CompletedProcess[str]:
    command = [str(HADOLINT), "--no-color", "--failure-threshold", "style", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_hadolint_finds_nothing() -> None:
    done = hadolint(DOCKERFILE)
    assert done.returncode == 0, done.stdout


def test_hadolint_finds_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(DOCKERFILE.read_text().replace("USER 10001:10001", "USER root"))
    assert "DL3002" in hadolint(wrong).stdout


def test_there_is_one_base_image_and_it_is_pinned() -> None:
    bases = {words.split(" AS ")[0] for name, words in instructions() if name == "FROM"}
    assert bases - stages().keys() == {"${PYTHON_IMAGE}"}
    (pinned,) = [words for name, words in instructions() if name == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", pinned)


@pytest.mark.parametrize("stage", FINAL)
def test_an_image_runs_without_root_and_stops_when_told(stage: str) -> None:
    assert stages()[stage][-1][0] != "RUN"
    assert of(stage, "USER") == ["10001:10001"]
    assert of(stage, "STOPSIGNAL") == ["SIGTERM"]
    # An init passes the signal on, and takes over what lost its parent.
    assert ast.literal_eval(of(stage, "ENTRYPOINT")[-1]) == ["tini", "--"]
    assert any("tini" in words for words in of(stage, "RUN"))
    assert any(f"--uid {of(stage, 'USER')[0].partition(':')[0]} " in words for words in of(stage, "RUN"))


@pytest.mark.parametrize("stage", FINAL)
def test_an_image_keeps_its_state_in_one_volume(stage: str) -> None:
    assert of(stage, "VOLUME") == [environment(stage)["MLOPS_HOME"]]
    assert environment(stage)["HOME"] == environment(stage)["MLOPS_HOME"]


@pytest.mark.parametrize("stage", FINAL)
def test_an_images_settings_are_settings(stage: str) -> None:
    known = {f"MLOPS_{field.upper()}" for field in Settings.model_fields}
    given = {name for name in environment(stage) if name.startswith("MLOPS_")}
    assert given <= known, f"no such setting: {sorted(given - known)}"
    assert environment(stage)["MLOPS_PARTS"] == stage


@pytest.mark.parametrize("stage", FINAL)
def test_an_image_tells_the_ports_of_its_parts(stage: str) -> None:
    told = {int(port) for words in of(stage, "EXPOSE") for port in words.split()}
    parts = ("orchestrator",) if stage == "orchestrator" else ("serving", "gateway")
    assert told == set.union(*(our_ports()[part] for part in parts))


def test_the_command_of_the_images_is_one_that_there_is() -> None:
    assert not why(default_command())


@pytest.mark.parametrize("stage", FINAL)
def test_the_health_check_of_an_image_is_a_command_that_there_is(stage: str) -> None:
    (check,) = of(stage, "HEALTHCHECK")
    options, _, command = check.partition(" CMD ")
    assert not why(ast.literal_eval(command))
    limits = dict(re.findall(r"--(\S+)=(\d+)", options))
    assert int(limits["timeout"]) < int(limits["interval"])


def copied() -> list[str]:
    """Everything that is copied from the project."""
    lines = [words.split() for name, words in instructions() if name == "COPY" and "--from=" not in words]
    return [source for words in lines for source in words[:-1]]


def test_everything_that_is_copied_exists_and_is_sent_to_the_builder() -> None:
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    sent = [line.removeprefix("!") for line in lines if line.startswith("!")]
    for source in copied():
        assert (PROJECT / source).exists(), source
        assert any(source == one or source.startswith(f"{one}/") for one in sent), f".dockerignore leaves out {source}"
    for one in sent:
        assert any(one == source or one.startswith(f"{source}/") or source.startswith(one) for source in copied())


@pytest.mark.parametrize("name", ["dagster_home/secrets/key", ".env", ".venv/bin/python", "deploy/compose.env", ".git"])
def test_what_is_private_is_never_sent_to_the_builder(name: str) -> None:
    sent = False
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").strip()
        if (
            pattern
            and not line.startswith("#")
            and any(fnmatch.fnmatch(part, pattern) for part in (name, *map(str, Path(name).parents)))
        ):
            sent = line.startswith("!")
    assert not sent


def test_what_programs_read_of_the_project_is_in_the_image() -> None:
    """Every file that the code names below the project's root is copied."""
    read = {
        path
        for file in (PROJECT / "mlops_assets").rglob("*.py")
        for path in re.findall(r"PROJECT((?: / \"[\w.-]+\")+)", file.read_text())
    }
    for path in read:
        name = "/".join(re.findall(r"\"([\w.-]+)\"", path))
        # One machine's own: its settings and its home. What isn't there is made, not read.
        if PROJECT / name in (PROJECT / ".env", Settings.model_fields["home"].default) or not (PROJECT / name).exists():
            continue
        assert any(name == source or name.startswith(f"{source}/") for source in copied()), f"{name} isn't copied"


def test_stages_that_are_copied_from_are_there() -> None:
    named = {found for _, words in instructions() for found in re.findall(r"--from=(\S+)", words)}
    assert named <= stages().keys()


def test_the_services_that_build_use_an_image_of_their_part() -> None:
    for name, service in services().items():
        part = service.get("environment", {}).get("MLOPS_PARTS")
        if "build" in service and part is not None:
            assert service["build"]["target"] == ("serving" if part == "gateway" else part), name
