"""A new folder that is filled with an installation's state, or not there at all.

Keep out what it is filled with.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mlops_assets.backup.record import BackupError
from mlops_assets.installation.supervisor import Supervisor
from mlops_assets.installation.up import exclusive, prepare_home
from mlops_assets.settings import Settings


@contextmanager
def new_folder(settings: Settings, folder: Path) -> Iterator[Path]:
    """The folder, which isn't there yet or is empty, by its whole path; only its owner may look inside.

    It is removed if the block raises. Meanwhile the installation neither starts nor stops. Raises BackupError.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder} is there and not empty: name a new folder")
    if not settings.home.exists():
        raise BackupError(f"there is no installation in {settings.home}")
    if folder.is_relative_to(settings.home):
        raise BackupError(f"{folder} is inside of what is saved ({settings.home})")
    prepare_home(settings)
    with ExitStack() as held:
        if not Supervisor(settings).running():
            held.enter_context(exclusive(settings))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        try:
            yield folder
        except BaseException:
            # Half of one is worth nothing and looks like one.
            shutil.rmtree(folder, ignore_errors=True)
            raise
