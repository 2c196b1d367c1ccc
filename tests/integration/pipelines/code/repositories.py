"""Git repositories on this machine, stages whose function is in one, and what came of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.pipelines.functions import FunctionError, located
from mlops_assets.pipelines.spec import StageSpec
from mlops_assets.settings import Settings

CODE = "from helper import TWO\ndef double(prepare):\n    return prepare * TWO\n"


class Repository:
    """A git repository with a working folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    @property
    def address(self) -> str:
        return f"file://{self.folder}"

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always", *arguments],
            cwd=self.folder, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        """Write `<name>.py` files, keep all there is, and give the commit."""
        for name, content in files.items():
            (self.folder / f"{name}.py").write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=more")
        return self.git("rev-parse", "HEAD")


def stage(**function: Any) -> StageSpec:
    return StageSpec.model_validate({"name": "train", "stage_type": "MODEL_TRAINING", "function": function})


def in_repository(code: Repository, commit: str, **more: str) -> StageSpec:
    return stage(**({"repository": code.address, "commit": commit, "file": "code.py", "name": "double"} | more))


def refused(wanted: StageSpec, settings: Settings) -> str:
    with pytest.raises(FunctionError, match=r"^stage train: function\.") as caught:
        located(wanted, settings)
    return str(caught.value)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def only_whole(settings: Settings, commits: int) -> None:
    """Assert that below the repositories' folder is nothing but locks and so many whole checkouts."""
    left = [path for path in settings.repositories.glob("*/*") if not path.name.endswith(".lock")]
    assert len(left) == commits, left
    assert not any(path.name.startswith(".") for path in left)
