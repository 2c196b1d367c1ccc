"""Run a pipeline's stages in order in this process: `run_stages.py SPEC.json FOLDER`.

A stand-in for the platform's execution: results are passed along, artifacts are files in the folder. Prints what each
stage returned as its type, one line a stage.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def main(spec: Path, folder: Path) -> None:
    job = json.loads(spec.read_text())

    def artifact(name: str, data: Any, *, type: str) -> None:
        content = data if isinstance(data, (bytes, str)) else json.dumps(data, allow_nan=False)
        (folder / f"{type}-{name}").write_bytes(content.encode() if isinstance(content, str) else content)

    context = SimpleNamespace(
        parameters=job["parameters"],
        logger=logging.getLogger("stage"),
        artifact=artifact,
        run=SimpleNamespace(id="run"),
    )
    results: dict[str, Any] = {}
    for stage in job["stages"]:
        scope: dict[str, Any] = {"__name__": "stage"}
        exec(compile(stage["source"], stage["name"], "exec"), scope)
        run = scope["run"]
        given = {name: results[name] for name in stage["dependencies"]}
        takes = run.__code__.co_varnames[: run.__code__.co_argcount]
        results[stage["name"]] = run(**given, **({"context": context} if "context" in takes else {}))
        print(stage["name"], type(results[stage["name"]]).__name__)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
