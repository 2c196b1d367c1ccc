"""Predictions a second with one worker: BentoML as it serves here, plain FastAPI, and Flask with a pickle.

`python -m tests.benchmarks.serving [--rounds 3] [--seconds 5]` starts the three servers on free loopback
ports and asks them in turn, with wrk over 16 connections, one prediction a request, so that they share
whatever else the machine does. BentoML serves a pinned release: no ledger is polled. It answers from the same
ONNX file as plain FastAPI; Flask gets a linear pipeline on the same columns. Floors: 0.7 of plain FastAPI's
requests/s at no more than twice its p99, and 4 times Flask's requests/s.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.benchmarks.reported import report

PROJECT = Path(__file__).resolve().parents[2]
RESULT = Path(__file__).parent / "results" / "serving.json"
BIN = Path(sys.executable).parent
ROUTE = "/api/predict_home_price"
OURS, PLAIN, FLASK = "BentoML, this project", "uvicorn + FastAPI", "gunicorn + Flask + pickle"
FLOORS = {"of_plain": 0.7, "p99_of_plain": 2.0, "of_flask": 4.0}
START_SECONDS = 60.0
CONNECTIONS = 16

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[%s]]
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, "errors": %%d}\\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Prepared:
    """A release of the real product trained on sample rows, a pickled pipeline, and one request."""

    release: Path
    pipeline: Path
    request: dict[str, Any]


def prepare(folder: Path, rows: int = 4000) -> Prepared:
    """Train both models on the same generated rows."""
    from mlops_assets.products import house_prices
    from mlops_assets.products.samples.house_prices import generate
    from mlops_assets.training import export, fit
    from mlops_assets.training.catalogue import declared_products
    from mlops_assets.training.spec import Candidate

    product = next(p for p in declared_products() if p.name == "house_prices")
    search = product.search.model_copy(update={"candidates": (Candidate(family="boosting"),), "folds": 2, "workers": 1})
    product = product.model_copy(update={"search": search})
    canonical = house_prices.clean(generate(rows, 1)).rows
    trained = fit.train(product, house_prices.features, canonical)
    graph = export.to_onnx(trained.model)
    smoke = export.smoke_records(product, house_prices.features, graph, trained.holdout_rows)
    record = export.describe(
        product, trained.model, graph, version=1,
        dataset={"version": 1, "sha256": "", "rows": rows, "sample": True},
        code_version="benchmark", runs={}, metrics={}, smoke=smoke,
        vocabulary=export.vocabulary(product, trained.train_rows),
    )  # fmt: skip
    release = export.write_release(folder / "release", record, graph)
    pipeline = folder / "pipeline.pickle"
    pipeline.write_bytes(pickle.dumps(_linear_pipeline(product, house_prices.features, trained.train_rows)))
    return Prepared(release, pipeline, smoke[1]["request"])


def _linear_pipeline(product: Any, features: Any, rows: Any) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    from mlops_assets.training.columns import model_columns

    columns = make_column_transformer(
        (SimpleImputer(), list(product.features.numeric)),
        (OneHotEncoder(handle_unknown="ignore"), list(product.features.categorical)),
    )
    table = model_columns(features, rows, product.features)
    return make_pipeline(columns, LinearRegression()).fit(table, rows[product.target.column])


def _commands(ports: dict[str, int]) -> dict[str, list[str]]:
    bind = {name: ["--host", "127.0.0.1", "--port", str(port)] for name, port in ports.items()}
    quiet = ["--log-level", "warning"]
    bento = ["serve", "inference.service:service", "--working-dir", str(PROJECT), *bind[OURS]]
    plain = ["tests.benchmarks.serving_fastapi:app", "--no-access-log", *bind[PLAIN], *quiet]
    flask = ["tests.benchmarks.serving_flask:app", "--workers", "1", *quiet]
    return {
        OURS: [str(BIN / "bentoml"), *bento],
        PLAIN: [str(BIN / "uvicorn"), *plain],
        FLASK: [str(BIN / "gunicorn"), *flask, "--bind", f"127.0.0.1:{ports[FLASK]}"],
    }


def _environment(prepared: Prepared, folder: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {
        "PYTHONPATH": str(PROJECT),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENCHMARK_RELEASE": str(prepared.release),
        "BENCHMARK_PICKLE": str(prepared.pipeline),
        "MLOPS_SERVING_PRODUCT": "house_prices",
        "MLOPS_SERVING_ROUTE": ROUTE.rpartition("/")[2],
        "MLOPS_SERVING_ANSWER": "estimated_price",
        "MLOPS_SERVING_PINNED": str(prepared.release),
    }


@contextmanager
def server(command: list[str], environment: dict[str, str], port: int, request: dict[str, Any]) -> Iterator[int]:
    """A started server that answers the request; its process id. It is stopped with all its children."""
    process = subprocess.Popen(command, env=environment, cwd=PROJECT, stdout=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + START_SECONDS
        while not _answers(port, request):
            if time.monotonic() > give_up or process.poll() is not None:
                raise RuntimeError(f"{command[0]} does not answer on port {port}")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()


def _answers(port: int, request: dict[str, Any]) -> bool:
    try:
        answer = httpx.post(f"http://127.0.0.1:{port}{ROUTE}", json=request, timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and answer.json()["estimated_price"] > 0


def ask(port: int, script: Path, seconds: float) -> dict[str, float]:
    """One wrk run: requests/s, p50 and p99 in ms. RuntimeError when any request failed."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{ROUTE}"],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=True,
    )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["errors"]:
        raise RuntimeError(f"{found['errors']:.0f} of {found['requests']:.0f} requests failed")
    return {
        "requests_per_second": found["requests"] / found["seconds"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
    }


def _megabytes(pid: int) -> float:
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(process.memory_info().rss for process in family) / 1e6


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """Every round of every server, and the ratios of their medians."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary, ExitStack() as running:
        folder = Path(temporary)
        prepared = prepare(folder)
        script = folder / "request.lua"
        script.write_text(SCRIPT % json.dumps(prepared.request))
        ports = _free_ports()
        pids = {
            name: running.enter_context(server(command, _environment(prepared, folder), ports[name], prepared.request))
            for name, command in _commands(ports).items()
        }
        for port in ports.values():
            ask(port, script, 1)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
        for _ in range(rounds):
            for name, port in ports.items():
                found[name].append(ask(port, script, seconds))
        memory = {name: round(_megabytes(pid), 1) for name, pid in pids.items()}
    return _summary(found, memory) | {"rounds": rounds, "seconds": seconds, "connections": CONNECTIONS}


def _free_ports() -> dict[str, int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        return dict(zip((OURS, PLAIN, FLASK), (s.getsockname()[1] for s in sockets), strict=True))


def _summary(found: dict[str, list[dict[str, float]]], memory: dict[str, float]) -> dict[str, Any]:
    medians = {
        name: {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
        for name, runs in found.items()
    }
    ours, plain, flask = medians[OURS], medians[PLAIN], medians[FLASK]
    ratios = {
        "of_plain": ours["requests_per_second"] / plain["requests_per_second"],
        "p99_of_plain": ours["p99_ms"] / plain["p99_ms"],
        "of_flask": ours["requests_per_second"] / flask["requests_per_second"],
    }
    met = (
        ratios["of_plain"] >= FLOORS["of_plain"]
        and ratios["p99_of_plain"] <= FLOORS["p99_of_plain"]
        and ratios["of_flask"] >= FLOORS["of_flask"]
    )
    return {
        "medians": medians,
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "floors": FLOORS,
        "floors_met": met,
        "memory_mb": memory,
        "each_round": found,
    }


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("server", "requests/s", "p50 ms", "p99 ms", "of plain FastAPI", "memory MB", title="One worker")
    plain = result["medians"][PLAIN]["requests_per_second"]
    for name, row in result["medians"].items():
        share = row["requests_per_second"] / plain
        table.add_row(
            name, f"{row['requests_per_second']:,.0f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}",
            f"{share:.2f}", f"{result['memory_mb'][name]:.0f}",
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print({"ratios": result["ratios"], "floors": result["floors"], "floors_met": result["floors_met"]})


def main() -> dict[str, Any]:
    """Measure, print the table, write the result; exit status 1 when a floor is missed."""
    return report(RESULT, __doc__, measure, show, rounds=3, seconds=5.0)


if __name__ == "__main__":
    sys.exit(0 if main()["floors_met"] else 1)
