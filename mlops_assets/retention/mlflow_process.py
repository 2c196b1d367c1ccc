"""`python -m mlops_assets.retention.mlflow_process`: old runs leave MLflow, by its own client and its own `gc`.

A process of its own, because MLflow's client keeps addresses for the whole process and its import takes seconds. An
`Order` comes on standard input, so that no password is in an argument, and a `Done` goes to standard output. Keep out
which runs are needed (`mlflow_runs`).

First runs are marked as deleted, with the models that they logged; only `grace_days` later are they and their files
gone for good, so that a mistake can be undone in MLflow until then.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = 500
# Set by dagster-mlflow.
DAGSTER_RUN_TAG = "dagster_run_id"
MOST_RUNS = 5000


class Order(BaseModel):
    """What to do: runs that began before `before_ms` (Unix time) go, except `needed` and those of Dagster's runs
    `of_dagster`; within `seconds`.

    `tables` is the address of MLflow's own tables, which its `gc` asks for.
    """

    before_ms: int
    needed: frozenset[str]
    of_dagster: frozenset[str]
    apply: bool
    grace_days: float
    seconds: float
    tables: str = Field(repr=False)


class Done(BaseModel):
    """Runs that were marked, or would be; those that are old and stay; whether there was time for all."""

    removed: int = 0
    kept: int = 0
    unfinished: bool = False


def main() -> None:
    """Carry out one order."""
    order = Order.model_validate_json(sys.stdin.read())
    # MLflow prints as it goes.
    with redirect_stdout(sys.stderr):
        done = mark(order)
        if order.apply:
            collect(order)
    sys.stdout.write(done.model_dump_json())


def mark(order: Order) -> Done:
    """Mark old runs and their models as deleted."""
    from mlflow import MlflowClient

    client, until = MlflowClient(), time.monotonic() + order.seconds
    done = Done()
    # Read as a whole before anything goes: its pages are counted from the start.
    for experiment, run, of_dagster in list(_old(client, order.before_ms)):
        if time.monotonic() >= until or done.removed >= MOST_RUNS:
            return done.model_copy(update={"unfinished": True})
        needed = run in order.needed or of_dagster in order.of_dagster
        if needed or client.search_model_versions(f"run_id='{run}'", max_results=1):
            done.kept += 1
            continue
        if order.apply:
            for model in _models(client, experiment, run):
                client.delete_logged_model(model)
            client.delete_run(run)
        done.removed += 1
    return done


def collect(order: Order) -> None:
    """Let MLflow remove for good what was marked so long ago, with its files."""
    from mlflow.cli import gc

    gc.main(args=["--older-than", f"{order.grace_days}d", "--backend-store-uri", order.tables], standalone_mode=False)


def _old(client: MlflowClient, before_ms: int) -> Iterator[tuple[str, str, str | None]]:
    """Each old run: its experiment, its id, and Dagster's run that it tells of."""
    experiments, token = [], None
    while True:
        page = client.search_experiments(max_results=PAGE, page_token=token)
        experiments += [one.experiment_id for one in page]
        token = page.token
        if not token:
            break
    for experiment in experiments:
        token = None
        while True:
            runs = client.search_runs(
                [experiment], f"attributes.start_time < {before_ms}", max_results=PAGE, page_token=token
            )
            yield from ((experiment, run.info.run_id, run.data.tags.get(DAGSTER_RUN_TAG)) for run in runs)
            token = runs.token
            if not token:
                break


def _models(client: MlflowClient, experiment: str, run: str) -> list[str]:
    found = client.search_logged_models([experiment], f"source_run_id = '{run}'")
    return [str(model.model_id) for model in found]


if __name__ == "__main__":
    main()
