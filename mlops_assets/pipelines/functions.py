"""Where the code of a stage is: in its spec, in an installed package, in the folder of functions, in a repository.

Add a kind of function here. Keep out fetching from repositories (`git_checkout`) and loading code, which only the
stage's own process does.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mlops_assets.pipelines.git_checkout import CheckoutError, checked_out
from mlops_assets.pipelines.spec import FunctionByPath, FunctionInFile, FunctionInRepository

if TYPE_CHECKING:
    from mlops_assets.pipelines.spec import StageSpec
    from mlops_assets.settings import Settings


class FunctionError(ValueError):
    """A stage's code can't be had; the message names the stage, the field and the cause."""


@dataclass(frozen=True)
class Located:
    """A stage's code as a `StageOrder` takes it: the source itself, or a function and where it is imported from."""

    source: str | None
    function: str | None
    code_folder: Path | None


def located(stage: StageSpec, settings: Settings) -> Located:
    """Where a stage's code is, fetched from its repository if that is needed. Raises FunctionError.

    Fetching takes as long as `git_checkout.FETCH_SECONDS` at most.
    """
    function = stage.function
    if function is None:
        return Located(stage.source, None, None)
    if isinstance(function, FunctionByPath):
        return Located(None, function.path, None)
    try:
        if isinstance(function, FunctionInFile):
            folder = settings.functions
            _check_file(folder, function.file, f"the folder of functions ({folder})")
        else:
            _check_source(function, settings.code_sources)
            folder = checked_out(settings.repositories, function.repository, function.branch, function.commit)
            _check_file(folder, function.file, f"{function.repository} at {function.commit}")
    except _RefusedError as error:
        raise FunctionError(f"stage {stage.name}: function.{error.field}: {error}") from error
    except CheckoutError as error:
        raise FunctionError(f"stage {stage.name}: function.{error.field}: {error}") from error
    return Located(None, f"{function.file}:{function.name}", folder)


class _RefusedError(ValueError):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def _check_source(function: FunctionInRepository, code_sources: str) -> None:
    """Return if the address begins with one of the sources, and stays there whoever reads it."""
    address, allowed = function.repository, code_sources.split()
    parts = re.split(r"[/:\\]", unquote(address))
    if "." in parts or ".." in parts:
        raise _RefusedError("repository", f"{address} goes up or round in folders; name it directly")
    if not any(_begins(address, source) for source in allowed):
        known = ", ".join(allowed) or "nowhere"
        raise _RefusedError("repository", f"{address}: this installation takes code from {known} (MLOPS_CODE_SOURCES)")


def _begins(address: str, source: str) -> bool:
    """Whether the address is the source or below it: `https://host` isn't the beginning of `https://host.of.others`."""
    if not address.startswith(source):
        return False
    rest = address.removeprefix(source)
    return not rest or source.endswith(("/", ":")) or rest.startswith(("/", ":") if "@" in source else "/")


def _check_file(folder: Path, file: str, where: str) -> None:
    """Return if the file is there, inside the folder, and every user may read it. It isn't opened."""
    path = folder / file
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(folder.resolve()):
            raise _RefusedError("file", f"{file} is a link that leads out of {where}")
        if not real.is_file():
            raise _RefusedError("file", f"{file} in {where} is no file")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _RefusedError("file", f"{where} has no file {file}") from error
    except (OSError, RuntimeError) as error:
        raise _RefusedError("file", f"{file} in {where} can't be looked at: {error}") from error
    closed = _closed_to_others(folder, real.relative_to(folder.resolve()))
    if os.geteuid() == 0 and closed is not None:
        raise _RefusedError("file", f"{closed} can't be read by every user, as stages are other users: chmod -R a+rX")


def _closed_to_others(folder: Path, below: Path) -> Path | None:
    """The first of a folder and what leads to a file in it that users other than its owner may not read."""
    real = folder.resolve()
    for path in (real, *reversed([real / parent for parent in below.parents if parent != Path()]), real / below):
        needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
        if path.stat().st_mode & needed != needed:
            return path
    return None
