"""What the documents show, typed into a shell beside a running installation.

Add here what stands for something of the reader's own. Keep out what is expected.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx

from tests.documents import DOCUMENTS, PROJECT, Command, typed
from tests.e2e.installation import MLOPS, Installation
from tests.servers import wait_until

COMMAND_SECONDS = 120
# A sensor asks for the months once there is a release, and their run waits for its turn.
SCORE_SECONDS = 300
# What other tests run: they take a minute or more, or start and stop everything.
ELSEWHERE = ("bash deploy/", ".venv/bin/mlops traffic")
# What the documents show because it is refused; curl ends with 22 for that.
REFUSED = {"curl http://127.0.0.1:5000/": 22}
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ESTIMATE = {"total_sqft": 1200, "location": "Whitefield", "bhk": 2, "bath": 2}


class Desk:
    """A folder like a fresh clone's, with the installation's own files in it."""

    def __init__(self, made: Installation, folder: Path) -> None:
        self._made, self._folder = made, folder
        (folder / ".venv").mkdir()
        (folder / ".venv/bin").symlink_to(MLOPS.parent)
        (folder / "dagster_home").symlink_to(made.home)
        (folder / "deploy").mkdir()
        (declared,) = re.findall(r"```yaml\n([^`]*name: two_stage\n[^`]*)```", (PROJECT / "README.md").read_text())
        (folder / "two_stage.yaml").write_text(declared)
        self._run = ""
        self._prediction = ""

    def prepare(self) -> None:
        """Have an answer in the log and a scored month, for the commands that tell of them."""
        url = f"{self._made.settings.gateway_url}/api/predict_home_price"
        self._prediction = httpx.post(url, json=ESTIMATE, timeout=20).json()["prediction_id"]
        for told, seconds in (
            (("trace", self._prediction), 60),
            (("scores", "status", "traffic_anomalies"), SCORE_SECONDS),
        ):
            wait_until(lambda told=told: self._made.run(*told).returncode == 0, seconds, lambda: self._made.logs())

    def type(self, command: Command) -> subprocess.CompletedProcess[str]:
        """Run a command as it stands, with this installation's ports and ids."""
        done = subprocess.run(
            ["/bin/bash", "-c", self._own(command.text)],
            cwd=self._folder,
            env=self._made.environment()
            | {
                "PATH": f"{MLOPS.parent}:/usr/bin:/bin",
                "MLOPS_TOKEN": (self._made.settings.secrets / "operator_token").read_text().strip(),
            },
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        begun = re.match(rf"run ({UUID}) of ", done.stdout)
        self._run = begun[1] if begun else self._run
        return done

    def _own(self, text: str) -> str:
        text = re.sub(r"127\.0\.0\.1:(\d+)", lambda port: f"127.0.0.1:{int(port[1]) + self._made.offset}", text)
        text = re.sub(rf"(--run) {UUID}", rf"\1 {self._run}", text)
        text = re.sub(rf"(trace) ({UUID}|PREDICTION_ID)", rf"\1 {self._prediction}", text)
        text = text.replace("prediction_id=…", f"prediction_id={self._prediction}")
        return re.sub(r"^curl ", "curl --fail-with-body --max-time 60 ", text)


def shown() -> list[Command]:
    """Every command of console blocks that isn't tested elsewhere."""
    return [one for name in DOCUMENTS for one in typed(name) if not one.text.startswith(ELSEWHERE)]
