"""Submits runs from a process of its own, as a second webserver, a daemon or a CLI would.

`python run_submitter.py FOLDER COUNT JOB`: prints READY, waits for FOLDER/go, then submits and prints the run ids.
Launches through the webserver contend as threads of one process, which a lock of that process would serialise too.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, cast

import two_stage_product as product
from dagster import DagsterInstance
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.run_coordinator.base import SubmitRunContext

CONFIG = {"waiting": {"ops": {"wait": {"config": {"seconds": 0.5}}}}}


def main(folder: Path, count: int, job: str) -> None:
    """Create the runs, wait for the signal, submit them."""
    location = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=1, location_name="location")
    remote = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job)
    repository = ReconstructableRepository.for_module("two_stage_product", "defs", str(folder / "code"))
    with DagsterInstance.get() as instance:
        runs = [
            instance.create_run_for_job(
                getattr(product, job),
                run_config=CONFIG.get(job, {}),
                tags=getattr(product, job).tags,
                remote_job_origin=remote,
                job_code_origin=repository.get_reconstructable_job(job).get_python_origin(),
            )
            for _ in range(count)
        ]
        print("READY", flush=True)
        while not (folder / "go").exists():
            time.sleep(0.001)
        for run in runs:
            instance.run_coordinator.submit_run(SubmitRunContext(run, workspace=cast("Any", None)))
            print(run.run_id, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
