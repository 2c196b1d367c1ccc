"""What serving must never import, and what its supervising process must not pay for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import inference

NEVER = {"dagster", "mlflow", "sklearn", "pandas", "pickle5", "evidently", "sqlalchemy"}


def imported_after(statement: str) -> set[str]:
    """Top-level packages in a fresh interpreter after `statement`."""
    code = f"{statement}\nimport sys; print('\\n'.join(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_nothing_of_training_is_imported() -> None:
    modules = sorted(p.stem for p in Path(inference.__file__).parent.glob("*.py") if p.stem != "__init__")
    load = (
        "from inference.functions import load_functions\n"
        "load_functions('mlops_assets.products.house_prices')\n"
        "load_functions('mlops_assets.products.traffic_anomalies')\n"
        "import mlops_assets.storage.folders, psycopg2, onnxruntime\n"
    )
    found = imported_after(load + "\n".join(f"import inference.{module}" for module in modules))
    assert found & NEVER == set()
    assert "onnxruntime" in found


def test_supervising_process_imports_no_server_and_no_model_runtime() -> None:
    found = imported_after("import inference.service")
    assert "bentoml" in found
    assert found & {"fastapi", "onnxruntime", "psycopg2", "prometheus_client"} == set()
