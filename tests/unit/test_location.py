"""The code location as a contract: what it holds, compared with a reviewed list, and what loading it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mlops_assets.settings import PROJECT

REVIEWED = Path(__file__).with_name("location.txt")
HEAVY = ("mlflow", "evidently", "sklearn", "pandas", "matplotlib", "onnx", "onnxruntime")

LOAD = """
import json, sys
from mlops_assets.definitions import defs
repository = defs().get_repository_def()
graph = repository.asset_graph
lines = [f"asset {key.to_user_string()}" for key in graph.get_all_asset_keys()]
lines += [f"check {key.asset_key.to_user_string()}:{key.name}" for key in graph.asset_check_keys]
lines += [f"job {job.name}" for job in repository.get_all_jobs() if not job.name.startswith("__")]
lines += [f"schedule {s.name} {s.cron_schedule} {s.default_status.value}" for s in repository.schedule_defs]
lines += [f"sensor {s.name} {s.default_status.value}" for s in repository.sensor_defs]
print(json.dumps({"lines": sorted(lines), "modules": sorted(sys.modules)}))
"""


def loaded(tmp_path: Path) -> dict[str, list[str]]:
    """The location, loaded in a fresh interpreter with the defaults of a fresh installation."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLOPS_")}
    environment |= {"MLOPS_HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


def test_the_location_holds_what_was_reviewed_and_loads_nothing_heavy(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    text = "\n".join(found["lines"]) + "\n"
    if os.environ.get("UPDATE_LOCATION"):
        REVIEWED.write_text(text)
    assert text == REVIEWED.read_text(), "review the difference, then set UPDATE_LOCATION=1 once"
    heavy = [name for name in HEAVY if name in found["modules"]]
    assert not heavy, f"loading the code location imports {heavy}: import them where they are used"
