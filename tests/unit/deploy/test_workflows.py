"""The workflows: of the schema, without a finding of the auditor's, pinned, and running what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_assets.settings import PROJECT
from tests.unit.deploy.stack import schema_errors, services

FOLDER = PROJECT / ".github" / "workflows"
NAMES = ("checks", "images", "release")
ZIZMOR = Path(sys.executable).parent / "zizmor"
# The last labels of names of hosts that images and packages come from.
REGISTRY = re.compile(
    r"\b(?:[a-z0-9-]+\.)+(?:io|com|net|org|dev|azurecr|amazonaws|pkg|local|internal)(?::\d+)?/", re.IGNORECASE
)
# Where a reader is sent to, and nothing is fetched from.
DOCUMENTS = ("README.md",)


def parsed(text: str) -> dict[str, Any]:
    found: dict[Any, Any] = yaml.safe_load(text)
    # YAML 1.1 reads the key `on` as true.
    return {"on" if key is True else key: value for key, value in found.items()}


def read(name: str) -> dict[str, Any]:
    return parsed((FOLDER / f"{name}.yml").read_text())


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in read(name)["jobs"].values() for step in job.get("steps", ())]


def scripts(name: str) -> str:
    return "\n".join(step.get("run", "") for step in steps(name))


def test_these_are_the_workflows() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_of_the_schema(name: str) -> None:
    assert not schema_errors("github-workflows", read(name))


def test_the_schema_finds_a_mistake() -> None:
    wrong = parsed((FOLDER / "checks.yml").read_text().replace("timeout-minutes", "timeout"))
    assert schema_errors("github-workflows", wrong)


def audited(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(ZIZMOR), "--offline", "--no-progress", "--no-config", "--min-severity", "medium", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def test_the_auditor_finds_nothing() -> None:
    done = audited(FOLDER)
    assert done.returncode == 0, done.stdout


def test_the_auditor_finds_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / ".github" / "workflows"
    wrong.mkdir(parents=True)
    (wrong / "wrong.yml").write_text(
        (FOLDER / "checks.yml").read_text().replace('"$TIER"', "${{ github.event.head_commit.message }}")
    )
    assert "template-injection" in audited(wrong).stdout


@pytest.mark.parametrize("name", NAMES)
def test_an_action_is_pinned_to_a_commit_with_its_version_beside_it(name: str) -> None:
    for line in (FOLDER / f"{name}.yml").read_text().splitlines():
        if "uses:" in line and "./" not in line:
            assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_one_action_has_one_version() -> None:
    used = {step["uses"] for name in NAMES for step in steps(name) if "uses" in step}
    assert len({use.partition("@")[0] for use in used}) == len(used)


@pytest.mark.parametrize("name", NAMES)
def test_a_job_may_read_and_ends(name: str) -> None:
    workflow = read(name)
    assert workflow["permissions"] == {"contents": "read"}
    for title, job in workflow["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] > 0
        assert job.get("permissions", {}) == ({"contents": "write"} if title == "publish" else {})


@pytest.mark.parametrize("name", NAMES)
def test_a_called_workflow_is_there_and_can_be_called(name: str) -> None:
    for job in read(name)["jobs"].values():
        if called := job.get("uses"):
            assert "workflow_call" in read(Path(called).stem)["on"]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_a_step_names_exists(name: str) -> None:
    named = set(re.findall(r"\bdeploy/[\w./-]+\w", scripts(name)))
    made = {"deploy/compose.env"}
    assert named - made
    for path in named - made:
        assert (PROJECT / path).exists(), path


def test_the_tiers_are_those_of_the_test_command() -> None:
    tiers = read("checks")["jobs"]["tests"]["strategy"]["matrix"]["tier"]
    cases = set(re.findall(r"(?m)^  ([a-z0-9| ]+)\)$", (PROJECT / "deploy/test.sh").read_text()))
    known = {word for case in cases for word in re.findall(r"\w+", case)}
    assert set(tiers) == known - {"all", "bench"}


def test_the_limits_of_the_images_are_those_of_the_benchmark() -> None:
    from tests.benchmarks.image_sizes import LIMITS_MB

    matrix = read("images")["jobs"]["image"]["strategy"]["matrix"]["include"]
    assert {one["image"]: one["limit"] for one in matrix} == LIMITS_MB


def test_the_stack_is_started_with_profiles_that_there_are() -> None:
    known = {profile for service in services().values() for profile in service.get("profiles", ())}
    assert set(re.findall(r"--profile ([\w-]+)", scripts("images"))) <= known
    for service in re.findall(r"exec -T ([\w-]+)", scripts("images")):
        assert service in services()


def test_tools_of_a_release_are_locked() -> None:
    locked = (PROJECT / "deploy/constraints.txt").read_text()
    for package in ("build", "cyclonedx-bom", "pip_audit"):
        assert re.search(rf"(?m)^{package}==", locked)


def test_a_secret_is_never_part_of_a_command() -> None:
    for name in NAMES:
        assert "secrets." not in scripts(name)
        assert "${{" not in scripts(name), "a value of somebody else's could be a command: hand it over by env"


def test_no_registry_is_named() -> None:
    files = [*FOLDER.iterdir(), *(PROJECT / "deploy/images").iterdir(), *(PROJECT / "deploy/compose").iterdir()]
    files += [PROJECT / "deploy/compose.yaml", PROJECT / "deploy/compose.env.example", PROJECT / ".dockerignore"]
    for file in files:
        if file.is_file() and file.name not in DOCUMENTS:
            assert not REGISTRY.findall(file.read_text()), file.name
    assert "${{ vars.REGISTRY }}" in (FOLDER / "images.yml").read_text()
