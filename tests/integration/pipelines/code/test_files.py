"""Functions that come with the spec, are installed, or are in the functions' folder."""

from __future__ import annotations

import os
from pathlib import Path

from mlops_assets.pipelines.functions import Located, located
from mlops_assets.pipelines.spec import StageSpec
from mlops_assets.settings import Settings
from tests.integration.pipelines.code.repositories import (
    CODE,
    refused,
    stage,
)
from tests.integration.sandboxed import Stages


def test_source_and_installed_functions_are_as_the_spec_says(settings: Settings) -> None:
    source = StageSpec.model_validate({"name": "a", "stage_type": "CLEANUP", "source": "def run(): ..."})
    assert located(source, settings) == Located("def run(): ...", None, None)
    assert located(stage(path="math:sqrt"), settings) == Located(None, "math:sqrt", None)


def test_a_function_in_a_file_is_run_with_its_neighbours(settings: Settings, tmp_path: Path) -> None:
    settings.functions.mkdir(parents=True)
    (settings.functions / "helper.py").write_text("TWO = 2\n")
    (settings.functions / "own").mkdir()
    (settings.functions / "own" / "code.py").write_text(CODE.replace("prepare", "x=21").replace("x=21 *", "x *"))
    found = located(stage(file="own/code.py", name="double"), settings)
    assert found == Located(None, "own/code.py:double", settings.functions)
    stages = Stages(tmp_path)
    outcome = stages.run(found.source, function=found.function, code_folder=found.code_folder)
    assert outcome.status == "completed", outcome.error
    assert outcome.result is not None
    assert outcome.result.path is not None
    assert outcome.result.path.read_text() == "42"


def test_a_file_that_is_missing_closed_or_elsewhere_is_named(settings: Settings, tmp_path: Path) -> None:
    assert "has no file code.py" in refused(stage(file="code.py", name="f"), settings)
    settings.functions.mkdir(parents=True)
    (settings.functions / "code.py").write_text("def f(): ...\n")
    (settings.functions / "folder.py").mkdir()
    (tmp_path / "secret.py").write_text("def f(): ...\n")
    (settings.functions / "link.py").symlink_to(tmp_path / "secret.py")
    (settings.functions / "round.py").symlink_to("round.py")
    assert "is no file" in refused(stage(file="folder.py", name="f"), settings)
    assert "leads out" in refused(stage(file="link.py", name="f"), settings)
    assert "round.py" in refused(stage(file="round.py", name="f"), settings)
    assert "has no file" in refused(stage(file="code.py/x.py", name="f"), settings)
    if os.geteuid() == 0:
        (settings.functions / "code.py").chmod(0o600)
        assert "can't be read by every user" in refused(stage(file="code.py", name="f"), settings)
        (settings.functions / "code.py").chmod(0o644)
        settings.functions.chmod(0o700)
        assert "can't be read by every user" in refused(stage(file="code.py", name="f"), settings)
