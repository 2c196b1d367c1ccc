"""Compute logs without helper processes: the same files, complete, also for child processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import os, subprocess, sys
from mlops_assets.runs.compute_logs import DirectComputeLogManager
manager = DirectComputeLogManager(base_dir=sys.argv[1])
key = ["run", "compute_logs", "step"]
print("before", flush=True)
with manager.capture_logs(key):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    subprocess.run(["echo", "from a child"], check=True)
    assert not manager.is_capture_complete(key)
print("after", flush=True)
assert manager.is_capture_complete(key)
data = manager.get_log_data(key)
assert b"from a child" in data.stdout, data.stdout
assert b"to stdout" in data.stdout
assert data.stderr == b"to stderr\\n", data.stderr
try:
    with manager.capture_logs(["run", "compute_logs", "broken"]):
        print("last words")
        raise RuntimeError("boom")
except RuntimeError:
    print("restored", flush=True)
assert manager.get_log_data(["run", "compute_logs", "broken"]).stdout == b"last words\\n"
"""


def test_capture_writes_the_files_and_gives_the_streams_back(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["before", "after", "restored"]
