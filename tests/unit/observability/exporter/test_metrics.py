"""The contract of all metrics: whole, bounded, documented, and each filled by exactly one collector."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlops_assets.cli import app
from mlops_assets.observability.exporter import collectors
from mlops_assets.observability.exporter.collectors import all_collectors
from mlops_assets.observability.exporter.families import SAFE
from mlops_assets.observability.exporter.metric_docs import document, most_lines
from mlops_assets.observability.exporter.metrics import EXPORTER, GROUPS, METRICS, Kind, Metric
from mlops_assets.observability.exporter.rising import Rising
from mlops_assets.settings import PROJECT, Settings


def test_no_name_is_given_twice() -> None:
    assert len(METRICS) == sum(map(len, GROUPS.values()))


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_wants_it(metric: Metric) -> None:
    assert re.fullmatch(r"mlops_[a-z][a-z0-9_]*[a-z0-9]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert "le" not in metric.labels
    assert len(set(metric.labels)) == len(metric.labels)
    assert all(SAFE.fullmatch(label) for label in metric.labels)


def test_all_bounds_together_are_what_prometheus_is_to_take() -> None:
    assert sum(most_lines(metric) for metric in METRICS.values()) <= 10_000


def test_each_metric_is_filled_by_exactly_one_collector(tmp_path: Path) -> None:
    made = all_collectors(Settings(home=tmp_path), Rising())
    filled = Counter(metric.name for collector in made for metric in collector.metrics)
    own = {metric.name for metric in EXPORTER}
    assert filled == Counter(name for name in METRICS if name not in own)
    names = [collector.name for collector in made]
    assert len(set(names)) == len(names)
    assert len(names) <= METRICS["mlops_collector_success"].most


def test_what_a_collector_puts_is_in_the_contract() -> None:
    folder = Path(str(collectors.__file__)).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("put", "spread")
            ):
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{path.name}:{node.lineno}"
                given = {keyword.arg for keyword in node.keywords}
                assert given == set(METRICS[name.value].labels) or None in given, f"{path.name}:{node.lineno}"


def test_the_written_list_is_the_list() -> None:
    written = (PROJECT / "deploy" / "METRICS.md").read_text()
    assert written == document(), "write it anew: mlops metrics --docs > deploy/METRICS.md"


def test_the_command_writes_the_list() -> None:
    said = CliRunner().invoke(app, ["metrics", "--docs"])
    assert (said.exit_code, said.output) == (0, document())


def test_the_exporter_loads_nothing_heavy() -> None:
    heavy = ("dagster", "pandas", "mlflow", "bentoml", "fastapi", "numpy", "mlops_assets.training")
    code = f"""
import sys
import mlops_assets.observability.exporter.__main__, httpx
print([name for name in {heavy} if name in sys.modules])
"""
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=50, check=True)
    assert said.stdout.strip() == "[]"
