"""MLflow's server in one process: `python -m mlops_assets.installation.run_mlflow OPTIONS` of `mlflow server`.

MLflow's own command stays in memory beside the server that it starts, only to pass signals on: 0.2 GB for nothing.
Here the command becomes the server. Keep out the options: they are the program's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn


def become(command: Sequence[str], extra_env: Mapping[str, str] | None = None, **_: Any) -> NoReturn:
    """Replace this process by `command`."""
    os.execvpe(command[0], list(command), {**os.environ, **(extra_env or {})})  # noqa: S606 (no shell is wanted)


def main(arguments: Sequence[str]) -> None:
    import mlflow.server
    from mlflow.cli import cli

    # Where MLflow calls it by another name, its server runs as its child, as it comes.
    if hasattr(mlflow.server, "_exec_cmd"):
        mlflow.server._exec_cmd = become
    cli(["server", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
