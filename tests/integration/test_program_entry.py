"""What every program of an installation runs first, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from mlops_assets.installation.entry import environment_file
from mlops_assets.installation.leftovers import HOME_VARIABLE
from tests.servers import PROJECT, child_environment

ASKED = "import os, signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, os.environ['OWN'])"


def test_a_program_of_a_script_in_the_background_can_be_interrupted(tmp_path: Path) -> None:
    environment_file(tmp_path, "probe").write_text(json.dumps({"OWN": "of the program"}))
    environment = {HOME_VARIABLE: str(tmp_path), "MLOPS_RUN_DIR": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-m", "mlops_assets.installation.entry", "probe", "--", sys.executable, "-c", ASKED],
        env=child_environment(environment) | environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as a shell does with `command &`
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split(maxsplit=1) == ["False", "of the program\n"]
    assert int((tmp_path / "probe.group").read_text()) != os.getpgrp()
