"""Working folders of stages: private, gone at the end, and gone too when their process was killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlops_assets.pipelines.stage_folders import StageFolders

HOLDER = """
import sys, time
from pathlib import Path
from mlops_assets.pipelines.stage_folders import StageFolders
with StageFolders(Path(sys.argv[1])).taken("held") as folder:
    (folder.work / "file").write_text("x")
    print("taken", flush=True)
    time.sleep(60)
"""


def left(parent: Path) -> set[str]:
    return {path.name for path in parent.iterdir()}


def test_a_folder_is_private_while_it_is_used_and_gone_afterwards(tmp_path: Path) -> None:
    folders = StageFolders(tmp_path / "stages")
    with folders.taken("one") as folder, folders.taken("two"):
        assert stat.S_IMODE(folder.work.stat().st_mode) == 0o700
        (folder.work / "deep").mkdir()
        (folder.given / "result").write_text("x")
    assert left(folders.parent) == set()
    with pytest.raises(ValueError, match="the stage"), folders.taken("one"):
        raise ValueError("the stage")
    assert left(folders.parent) == set()


def test_what_a_killed_process_has_left_is_removed_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    folders = StageFolders(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        with folders.taken("other"):
            assert {"held", "other"} <= left(tmp_path), "a folder that is used was removed"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(10)
    assert "held" in left(tmp_path)
    with folders.taken("next"):
        assert not {name for name in left(tmp_path) if name.startswith("held")}
    assert left(tmp_path) == set()


def test_the_same_attempt_taken_up_again_begins_with_empty_folders(tmp_path: Path) -> None:
    folders = StageFolders(tmp_path)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "file").write_text("x")
    with folders.taken("again") as folder:
        assert list(folder.work.iterdir()) == []


def test_many_at_once_leave_nothing_and_take_nothing_from_each_other(tmp_path: Path) -> None:
    folders = StageFolders(tmp_path)
    faults: list[BaseException] = []

    def use(number: int) -> None:
        try:
            for turn in range(10):
                with folders.taken(f"{number}.{turn}") as folder:
                    (folder.work / "file").write_text("x")
                    assert (folder.work / "file").read_text() == "x"
        except BaseException as error:  # noqa: BLE001 told by the test
            faults.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert left(tmp_path) == set()
