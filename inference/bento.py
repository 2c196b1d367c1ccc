"""Builds a release into a Bento: code, pinned model and settings that `bentoml serve <tag>` runs anywhere.

Add here what a Bento must carry. Keep out serving itself: what is packed is this package as it is, with a
`serving.json` that pins the release. Packing runs in a process of its own and asks nothing of the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from inference.release import MANIFEST, Manifest, read_files, read_manifest
from inference.settings import PRODUCTS, SERVING_FILE

BUILD_SECONDS = 120
RELEASE_FOLDER = "release"
FRONTEND = "frontend"
PAGE_FILES = {".html", ".css", ".js", ".svg", ".png", ".ico", ".woff2"}
REQUIREMENTS = (
    "bentoml", "fastapi", "httptools", "numpy", "onnxruntime", "opentelemetry-proto", "prometheus-client", "psutil",
    "pydantic",
    "pydantic-settings", "python-multipart", "uvloop",
)  # fmt: skip


class BentoError(RuntimeError):
    """The Bento could not be built; the message ends with what BentoML said."""


class Vocabulary(Protocol):
    """A declared vocabulary route: `route`, `column` and `key`."""

    def model_dump(self) -> dict[str, Any]: ...


class Serving(Protocol):
    """What a product declares about its HTTP inference."""

    @property
    def route(self) -> str: ...

    @property
    def answer(self) -> str: ...

    @property
    def batch_key(self) -> str: ...

    @property
    def vocabularies(self) -> Sequence[Vocabulary]: ...

    @property
    def batch_limit(self) -> int: ...


def build(release: Path, serving: Serving, home: Path) -> str:
    """Build the release folder into the BENTOML_HOME `home` and return its tag.

    The tag is `<product>:v<version>-<hash of all that is inside>`: the same build again finds the first one.
    Raises ReleaseError for a folder that isn't a whole release, BentoError when BentoML refuses.
    """
    manifest = read_manifest(release)
    files = read_files(release, manifest) | {MANIFEST: (release / MANIFEST).read_bytes()}
    settings: dict[str, Any] = {
        "product": manifest.product,
        "module": manifest.module,
        "route": serving.route,
        "answer": serving.answer,
        "batch_key": serving.batch_key,
        "vocabularies": [v.model_dump() for v in serving.vocabularies],
        "batch_limit": serving.batch_limit,
        "pinned": RELEASE_FOLDER,
    }
    with tempfile.TemporaryDirectory(prefix="bento-") as temporary:
        context = Path(temporary)
        _write_sources(context, manifest)
        (context / RELEASE_FOLDER).mkdir()
        for name, data in files.items():
            (context / RELEASE_FOLDER / name).write_bytes(data)
        (context / SERVING_FILE).write_text(json.dumps(settings, indent=1, sort_keys=True))
        (context / "bentofile.yaml").write_text(json.dumps(_bentofile(manifest), indent=1))
        tag = f"{manifest.product}:v{manifest.version}-{_digest(context)[:12]}"
        if not _exists(tag, home):
            _run_build(context, tag, home)
    return tag


def packed(tag: str, home: Path, folder: Path) -> Path:
    """The Bento as one file in `folder`, which `bentoml import` takes. Raises BentoError."""
    file = folder / "release.bento"
    said = _bentoml(tag, home, folder, "export", tag, str(file))
    if not file.is_file():
        raise BentoError(f"{tag}: {said}")
    return file


def _write_sources(context: Path, manifest: Manifest) -> None:
    root = Path(__file__).resolve().parent.parent
    wanted = [*(root / "inference").rglob("*.py"), root / "mlops_assets" / "__init__.py"]
    wanted += (path for path in (root / "inference" / FRONTEND).rglob("*") if path.suffix in PAGE_FILES)
    for part in ("products", "explanations"):
        wanted += (root / "mlops_assets" / part).rglob("*.py")
    for source in wanted:
        _copy(source, context / source.relative_to(root))
    if not manifest.module.startswith(PRODUCTS):
        for source, name in _module_files(manifest.module):
            _copy(source, context / name)


def _module_files(module: str) -> Iterator[tuple[Path, str]]:
    """A module's file and those of its packages, each with its path relative to the import root."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        spec = find_spec(".".join(parts[:depth]))
        if spec is None or spec.origin is None:
            raise BentoError(f"module {module} can't be packed: {'.'.join(parts[:depth])} has no file")
        source = Path(spec.origin)
        folder = "/".join(parts[:depth] if source.name == "__init__.py" else parts[: depth - 1])
        yield source, f"{folder}/{source.name}"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _bentofile(manifest: Manifest) -> dict[str, Any]:
    return {
        "service": "inference.service:service",
        "name": manifest.product,
        "labels": {"product": manifest.product, "release": str(manifest.version)},
        "include": ["**/*.py", f"inference/{FRONTEND}/**", SERVING_FILE, f"{RELEASE_FOLDER}/*"],
        "python": {
            "packages": [f"{name}=={installed_version(name)}" for name in REQUIREMENTS],
            "lock_packages": False,
        },
    }


def _digest(context: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in context.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(context).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _exists(tag: str, home: Path) -> bool:
    return (home / "bentos" / tag.replace(":", "/") / "bento.yaml").is_file()


def _run_build(context: Path, tag: str, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    said = _bentoml(tag, home, context, "build", str(context), "--version", tag.partition(":")[2])
    if not _exists(tag, home):
        raise BentoError(f"{tag}: {said}")


def _bentoml(tag: str, home: Path, folder: Path, *arguments: str) -> str:
    """The end of what BentoML's command said. Raises BentoError when it takes too long."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLOPS_SERVING_")}
    environment |= {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(home.absolute()), "PIP_NO_INDEX": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bentoml", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BentoError(f"{tag}: BentoML did not finish within {BUILD_SECONDS} s") from error
    return (done.stderr or done.stdout).strip()[-2000:]
