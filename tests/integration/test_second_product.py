"""A product of another shape, from YAML and its own pure functions only: another target, other columns, classes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from mlflow import MlflowClient

from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import PROJECT
from mlops_assets.storage.database import Database
from mlops_assets.training.automation import NEW_DATA, TRIGGER_TAG
from mlops_assets.training.spec import Candidate, Gate, Product
from tests.integration.conftest import SHOP, Materialize, write_loans


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {e.check_name: e.passed for e in result.get_asset_check_evaluations()}


def metadata(result: dg.ExecuteInProcessResult, stage: str) -> dict[str, Any]:
    found = next(e for e in result.get_asset_materialization_events() if e.asset_key and e.asset_key.path[-1] == stage)
    return {k: v.value for k, v in found.materialization.metadata.items()}


def test_it_trains_gates_releases_and_is_tracked(
    materialize: Materialize, loans: Product, loans_file: Path, database: Database, mlflow_url: str
) -> None:
    result = materialize(loans, loans_file)
    assert result.success
    assert all(checks(result).values()), checks(result)
    ledger = Ledger(database)
    state = ledger.state("loans")
    release = ledger.release("loans", state.production or 0)
    manifest = release.manifest or {}
    assert manifest["task"] == "classification"
    assert sorted(manifest["classes"]) == ["defaulted", "paid"]
    assert manifest["vocabulary"] == {"purpose": ["Holiday", "car", "house", "school"]}
    assert manifest["metrics"]["accuracy"] > 0.8

    client = MlflowClient(mlflow_url)
    version = client.get_model_version_by_alias("loans", "champion")
    assert version.version == manifest["mlflow_version"]
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["data_version"] == "V1"
    assert run.data.tags["gates"] == "passed"
    assert run.data.tags["code_version"] == manifest["code_version"]
    assert run.data.metrics["accuracy"] == pytest.approx(manifest["metrics"]["accuracy"])
    assert {a.path for a in client.list_artifacts(run.info.run_id)} >= {"charts", "trials.json"}


def test_the_registered_model_answers_through_mlflow(
    materialize: Materialize, loans: Product, loans_file: Path, mlflow_url: str
) -> None:
    import mlflow
    import numpy as np

    materialize(loans, loans_file)
    mlflow.set_tracking_uri(mlflow_url)
    model = mlflow.pyfunc.load_model("models:/loans@champion")
    numbers = {"burden": 0.1, "income": 5e4, "employed_years": 3.0}
    row = {name: np.array([[value]], dtype=np.float32) for name, value in numbers.items()}
    answer = model.predict({**row, "purpose": np.array([["car"]], dtype=object)})
    assert list(answer["label"]) == ["paid"]


def test_the_same_content_is_the_same_version_and_the_next_release_a_candidate(
    materialize: Materialize, loans: Product, loans_file: Path, tmp_path: Path, database: Database
) -> None:
    assert metadata(materialize(loans, loans_file), "dataset")["version"] == 1
    again = materialize(loans, loans_file)
    assert metadata(again, "dataset")["version"] == 1
    assert metadata(again, "release")["role"] == "candidate"
    write_loans(tmp_path / "more.csv", 1000, seed=2)
    assert metadata(materialize(loans, tmp_path / "more.csv"), "dataset")["version"] == 2
    state = Ledger(database).state("loans")
    assert (state.production, state.candidate) == (1, 3)


def test_a_run_for_new_data_that_another_has_released_meanwhile_releases_nothing(
    materialize: Materialize, loans: Product, loans_file: Path, tmp_path: Path, database: Database
) -> None:
    asked = {TRIGGER_TAG: NEW_DATA}
    materialize(loans, loans_file)
    late = materialize(loans, loans_file, tags=asked)
    assert (metadata(late, "release")["release"], metadata(late, "release")["role"]) == (1, "production")
    state = Ledger(database).state("loans")
    assert (state.production, state.candidate, state.seq) == (1, None, 1)
    write_loans(tmp_path / "more.csv", 1000, seed=2)
    new = materialize(loans, tmp_path / "more.csv", tags=asked)
    assert (metadata(new, "release")["release"], metadata(new, "release")["role"]) == (2, "candidate")


def test_a_model_worse_than_production_is_measured_beside_it_and_not_released(
    materialize: Materialize, loans: Product, loans_file: Path, database: Database
) -> None:
    materialize(loans, loans_file)
    # One split of a tree can't follow the law of this data; only the gate against production is left to see it.
    stump = Candidate.model_validate({"family": "tree", "grid": {"max_leaf_nodes": [2]}})
    worse = loans.model_copy(
        update={
            "search": loans.search.model_copy(update={"candidates": (stump,)}),
            "gates": (Gate(metric="accuracy", worse_than_production=0.01),),
        }
    )
    result = materialize(worse, loans_file, raise_on_error=False)
    assert not result.success
    gate = next(e for e in result.get_asset_check_evaluations() if e.check_name == "accuracy_vs_production_gate")
    assert not gate.passed
    assert gate.metadata["value"].value < gate.metadata["production"].value
    state = Ledger(database).state("loans")
    assert (state.production, state.candidate) == (1, None)


def test_a_failed_gate_stops_the_release_in_the_same_run(
    materialize: Materialize, loans: Product, loans_file: Path, database: Database, mlflow_url: str
) -> None:
    impossible = loans.model_copy(
        update={"gates": (loans.gates[0].model_copy(update={"minimum": 0.999}), loans.gates[1])}
    )
    result = materialize(impossible, loans_file, raise_on_error=False)
    assert not result.success
    failed = next(e for e in result.get_asset_check_evaluations() if e.check_name == "accuracy_gate")
    assert not failed.passed
    assert failed.metadata["limit"].value == "≥ 0.999"
    assert 0.5 < failed.metadata["value"].value < 0.999
    assert Ledger(database).state("loans").production is None
    runs = MlflowClient(mlflow_url).search_runs(
        [MlflowClient(mlflow_url).get_experiment_by_name("loans").experiment_id], max_results=1
    )
    assert runs[0].data.tags["gates"] == "failed: accuracy_gate"
    assert runs[0].info.status != "RUNNING"


BAD_FILES = {
    "missing.csv": None,
    "empty.csv": b"",
    "binary.csv": b"\x89PNG\r\n\x1a\n\x00\x00",
    "no_column.csv": b"income,amount,purpose,outcome\n1,2,car,paid\n",
    "renamed.csv": b"income,amounts,purpose,employed_years,outcome\n1,2,car,1,paid\n",
    "one_row.csv": b"income,amount,purpose,employed_years,outcome\n1000,2000,car,1,paid\n",
    "no_valid_row.csv": b"income,amount,purpose,employed_years,outcome\nx,y,car,1,paid\n",
    "cut.csv": b'income,amount,purpose,employed_years,outcome\n1000,2000,"car,1,paid\n',
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_and_production_stays(
    materialize: Materialize, loans: Product, loans_file: Path, tmp_path: Path, database: Database, name: str
) -> None:
    materialize(loans, loans_file)
    before = Ledger(database).state("loans")
    bad = tmp_path / name
    content = BAD_FILES[name]
    if content is not None:
        bad.write_bytes(content)
    result = materialize(loans, bad, raise_on_error=False)
    assert not result.success
    words = [e.description or "" for e in result.get_asset_check_evaluations() if not e.passed]
    words += [
        str(e.event_specific_data.error_display_string)  # type: ignore[union-attr]
        for e in result.get_step_failure_events()
    ]
    assert any(name in text for text in words), words
    assert Ledger(database).state("loans") == before


def _load(defs: Path) -> subprocess.CompletedProcess[str]:
    """Load a project's definitions in a fresh interpreter."""
    code = (
        "import json, pathlib\n"
        "from mlops_assets.definitions import load\n"
        f"graph = load(pathlib.Path({str(defs)!r})).get_repository_def().asset_graph\n"
        "print(json.dumps(sorted(k.to_user_string() for k in graph.get_all_asset_keys())))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{defs.parent.parent}:{PROJECT}"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=defs.parent.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with the loans product; its `defs` folder."""
    defs = tmp_path / "second_team" / "defs"
    (defs / "loans").mkdir(parents=True)
    for folder in (defs, defs.parent):
        (folder / "__init__.py").write_text("")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "second_team"\n'
    )
    (defs / "loans" / "defs.yaml").write_text((SHOP / "loans" / "defs.yaml").read_text())
    return defs


def test_another_project_needs_only_yaml_and_its_functions(project: Path) -> None:
    done = _load(project)
    assert done.returncode == 0, done.stderr[-2000:]
    stages = (
        *("dataset", "drift_overview", "drift_report", "features", "log_retention", "metrics", "model"),
        *("prediction_log", "release", "release_retention"),
        *("rollout_chart", "rollout_evidence", "rollout_verdict"),
    )
    assert json.loads(done.stdout) == [f"loans/{stage}" for stage in stages]


@pytest.mark.parametrize(
    ("right", "wrong", "field"),
    [
        ("  schedule:", "  shedule:", "shedule"),
        ("worse_than_production", "worse_then_production", "worse_then_production"),
        ("family: tree", "family: trees", "family"),
        ("minimum: 0.7", "minimum: often", "minimum"),
    ],
)
def test_a_typo_is_refused_with_file_and_line(project: Path, right: str, wrong: str, field: str) -> None:
    path = project / "loans" / "defs.yaml"
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    line = next(n for n, content in enumerate(path.read_text().splitlines(), 1) if wrong in content)
    done = _load(project)
    assert done.returncode != 0
    assert f"defs.yaml:{line}" in done.stderr, done.stderr[-3000:]
    assert field in done.stderr
