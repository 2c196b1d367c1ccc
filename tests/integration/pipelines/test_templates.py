"""Templates: what they make is valid, values stay data, and every stage of each really runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.pipelines.parameters import bind
from mlops_assets.pipelines.problem import ProblemError
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.pipelines.templates import Template, render, template_of, templates
from mlops_assets.pipelines.validate import order_of, problems
from mlops_assets.pipelines.yaml_file import dump, load

RUNNER = Path(__file__).with_name("run_stages.py")
NEEDED: dict[str, dict[str, Any]] = {"train_and_evaluate": {"target": "y"}}


def run_stages(spec: PipelineSpec, folder: Path, **given: Any) -> subprocess.CompletedProcess[str]:
    """The pipeline's stages in order, in a process of their own, with their artifacts in the folder."""
    stages = [stage.model_dump(mode="json") for stage in order_of(spec)]
    job = folder / "job.json"
    job.write_text(json.dumps({"stages": stages, "parameters": bind(spec, given)}))
    command = [sys.executable, "-W", "error", str(RUNNER), str(job), str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250)


def made(name: str, values: Mapping[str, Any] | None = None) -> PipelineSpec:
    return render(template_of(name), "made", {**NEEDED.get(name, {}), **(values or {})})


def artifact(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text())
    return found


@pytest.mark.parametrize("template", templates(), ids=lambda template: template.name)
def test_a_template_makes_a_pipeline_that_survives_yaml(template: Template) -> None:
    spec = made(template.name)
    assert problems(spec) == ()
    assert load(dump(spec)) == spec
    # Every parameter is put in somewhere, and nothing is left to put in.
    text = json.dumps(template.pipeline)
    assert all(f"${{{name}}}" in text for name in template.parameters)
    assert "${" not in dump(spec)


def test_a_value_is_data_whatever_it_holds() -> None:
    odd = "\"'''\n}}${owner}\\ {{ import os }} ü🚀"
    spec = made("train_and_evaluate", {"target": odd, "csv": odd, "owner": odd})
    assert (spec.owner, spec.parameters["target"].default, spec.parameters["csv"].default) == (odd, odd, odd)
    assert [stage.source for stage in spec.stages] == [stage.source for stage in made("train_and_evaluate").stages]


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("train_and_evaluate", {"target": None}, "parameters.target"),
        ("train_and_evaluate", {"holdout_share": 0.9}, "parameters.holdout_share"),
        ("train_and_evaluate", {"tarket": "y"}, "parameters.tarket"),
        ("daily_report", {"schedule": "daily"}, "schedule"),
        ("daily_report", {"timezone": "Mars"}, "timezone"),
    ],
)
def test_a_bad_value_is_refused(name: str, values: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as refused:
        made(name, values)
    assert field in [problem.field for problem in refused.value.problems]


def test_an_unknown_template_and_a_bad_name_are_refused() -> None:
    with pytest.raises(LookupError):
        template_of("no_such")
    with pytest.raises(ProblemError, match="name"):
        render(template_of("daily_report"), "Not a name", {})


def flowers(rows: int = 150) -> str:
    """Two classes of text that a column of numbers and one of words tell apart, with a few nulls and an id."""
    lines = ["id,length,colour,kind"]
    for i in range(rows):
        tall = i % 3 == 0
        length = "" if i % 50 == 7 else f"{(7 if tall else 4) + (i * 37 % 100) / 80:.3f}"
        lines.append(f"row-{i},{length},{'red' if tall else 'blue'},{'tall' if tall else 'small'}")
    return "\n".join(lines)


def test_train_and_evaluate_learns_classes_from_an_uploaded_file(tmp_path: Path) -> None:
    spec = made("train_and_evaluate", {"csv": flowers(), "target": "kind"})
    done = run_stages(spec, tmp_path, trees=20)
    assert done.returncode == 0, done.stderr
    found = artifact(tmp_path, "METRICS-metrics.json")
    assert found["task"] == "classification"
    assert found["accuracy"] > found["usual_accuracy"]
    assert found["rows"] + found["train_rows"] == 150
    assert (tmp_path / "PLOT-evaluation.png").read_bytes().startswith(b"\x89PNG")


def test_train_and_evaluate_learns_numbers_from_a_location(tmp_path: Path) -> None:
    rows = [f"{i},{i * 17 % 23},{3 * i + i * 17 % 23}" for i in range(120)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,y", *rows]))
    done = run_stages(made("train_and_evaluate", {"location": str(tmp_path / "rows.csv")}), tmp_path, trees=20)
    assert done.returncode == 0, done.stderr
    found = artifact(tmp_path, "METRICS-metrics.json")
    assert found["task"] == "regression"
    assert found["mae"] < found["usual_mae"]


@pytest.mark.parametrize(
    ("csv", "words"),
    [
        (flowers() + "\nrow-x,1,red,\n" * 20, "null_share"),
        (flowers() + "\nrow-1,5.225,blue,small" * 20, "duplicate_share"),
        (flowers(5), "5 rows"),
        (flowers().replace("kind", "sort"), "no column 'kind'"),
        ("", "csv"),
    ],
)
def test_train_and_evaluate_stops_at_bad_data(tmp_path: Path, csv: str, words: str) -> None:
    done = run_stages(made("train_and_evaluate", {"csv": csv, "target": "kind"}), tmp_path)
    assert done.returncode != 0
    assert words in done.stderr.splitlines()[-1]


def test_daily_report_on_sample_data(tmp_path: Path) -> None:
    done = run_stages(made("daily_report"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "<h1>Report of " in (tmp_path / "REPORT-report.html").read_text()
    assert (tmp_path / "PLOT-by_day.png").read_bytes().startswith(b"\x89PNG")


def test_daily_report_adds_up_and_shows_text_as_text(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(
        "when,amount,shop\n2026-01-02 08:00,5,<b>&\n2026-01-02 19:00,7,<b>&\n2026-01-01,6,<b>&\n2026-01-02,1,x\n"
    )
    given = {"location": str(tmp_path / "sales.csv"), "date_column": "when", "value_column": "amount"}
    done = run_stages(made("daily_report", {**given, "group_column": "shop"}), tmp_path)
    assert done.returncode == 0, done.stderr
    found = artifact(tmp_path, "METRICS-summary.json")
    assert (found["day"], found["total"]) == ("2026-01-02", 13.0)
    assert [(group["change"], group["mean"]) for group in found["groups"]] == [(1.0, 9.0), (None, 0.5)]
    page = (tmp_path / "REPORT-report.html").read_text()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_eight_stages_deploy_and_tell(tmp_path: Path, webhook: tuple[str, list[dict[str, Any]]]) -> None:
    address, got = webhook
    done = run_stages(made("standard_eight_stages", {"webhook": address}), tmp_path, sample_rows=800, trees=40)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        *("download", "validate", "preprocess", "features", "train", "evaluate", "deploy", "notify"),
    ]
    metrics, canary = (artifact(tmp_path, f"METRICS-{name}.json") for name in ("metrics", "canary"))
    assert metrics["median_error"] < metrics["median_error_of_the_usual_price"]
    assert canary["errors"] == 0
    assert canary["requests"] > 10
    assert (tmp_path / "MODEL-model.onnx").stat().st_size > 0
    assert "is deployed" in got[0]["text"]


def listings(rows: int = 300) -> str:
    lines = ["location,size,total_sqft,bath,balcony,price"]
    lines += [f"Quarter {i % 7},{1 + i % 3} BHK,{500 * (1 + i % 3) + i},{1 + i % 3},1,{40 + i}" for i in range(rows)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("csv", "given", "words"),
    [
        (listings() + "Quarter 1,,900,1,1,50\n" * 30, {}, "nulls over"),
        (listings() + "Quarter 1,1 BHK,900,1,1,50\n" * 30, {}, "duplicates"),
        (listings().replace("price", "cost"), {}, "price"),
        (listings(), {"max_error": 0}, "median error"),
    ],
)
def test_a_gate_stops_the_eight_stages(tmp_path: Path, csv: str, given: dict[str, Any], words: str) -> None:
    (tmp_path / "rows.csv").write_text(csv)
    spec = made("standard_eight_stages", {"location": str(tmp_path / "rows.csv")})
    done = run_stages(spec, tmp_path, trees=10, **given)
    assert done.returncode != 0
    assert words in done.stderr.splitlines()[-1]
    assert not (tmp_path / "MODEL-model.onnx").exists()


UNSERVABLE = """
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline


def run(features, context):
    rows = features["train"]
    columns = ColumnTransformer([("numbers", "passthrough", features["numbers"])])
    model = make_pipeline(columns, LinearRegression()).fit(rows[["location", *features["numbers"]]], rows["log_price"])
    # As many baths as bedrooms: what is left of the two is lost in the served model's single precision.
    model[-1].coef_ = np.array([0, 1e8 + 0.7, -1e8, 0, 0])
    model[-1].intercept_ = 3.5
    return model
"""


def test_a_canary_that_answers_wrongly_is_not_deployed(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(listings())
    spec = made("standard_eight_stages", {"location": str(tmp_path / "rows.csv"), "max_error": 1})
    stages = [s.model_copy(update={"source": UNSERVABLE}) if s.name == "train" else s for s in spec.stages]
    done = run_stages(spec.model_copy(update={"stages": tuple(stages)}), tmp_path)
    assert done.returncode != 0
    assert "the canary failed" in done.stderr.splitlines()[-1]
    assert artifact(tmp_path, "METRICS-canary.json")["error_rate"] > 0.01
    assert not (tmp_path / "MODEL-model.onnx").exists()
