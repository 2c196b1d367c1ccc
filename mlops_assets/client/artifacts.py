"""The client's calls about artifacts: the files that stages left.

Add a call here when the API has a new route about artifacts. A downloaded file is whole and what the platform kept, or
it isn't there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Literal
from urllib.parse import unquote

from mlops_assets.api.pipelines.run_schemas import ArtifactPage, ArtifactPreview, ArtifactView
from mlops_assets.client.connection import Connection, given, path
from mlops_assets.client.errors import DownloadError, UnavailableError
from mlops_assets.client.paging import every

DOWNLOAD_TRIES = 3
BLOCK = 1024 * 1024
# The name that the API would save it by, with an ending that fits (RFC 5987).
_NAME = re.compile(r"filename\*=UTF-8''([^;\s]+)", re.IGNORECASE)

ArtifactOrder = Literal["-created_at", "created_at", "-size", "size", "-name", "name"]
Stored = Literal["LOCAL", "S3", "GCS", "AZURE"]


class ArtifactCalls:
    """Artifacts by their id. Every call raises ApiError, or the subclass that says more."""

    _connection: Connection

    def artifacts(
        self,
        *,
        pipeline: str | None = None,
        run: str | None = None,
        stage: str | None = None,
        type: str | None = None,
        storage: Stored | None = None,
        result: bool | None = None,
        q: str | None = None,
        sort: ArtifactOrder = "-created_at",
    ) -> Iterator[ArtifactView]:
        """Every artifact that fits, read page by page. `result` tells what stages returned from files they wrote."""
        asked = given(
            pipeline=pipeline, run=run, stage=stage, type=type, storage=storage, result=result, q=q, sort=sort
        )
        return every(lambda part: self._connection.get(ArtifactPage, "artifacts", {**asked, **part}))

    def artifact(self, artifact_id: str) -> ArtifactView:
        """What is known of one artifact."""
        return self._connection.get(ArtifactView, path("artifacts", artifact_id))

    def preview(self, artifact_id: str) -> ArtifactPreview:
        """The first rows of a table, the beginning of a text, or where the image is."""
        return self._connection.get(ArtifactPreview, path("artifacts", artifact_id, "preview"))

    def download(self, artifact_id: str, to: str | Path) -> Path:
        """Fetch an artifact's file; where it is now.

        `to` is a file, which is replaced in one step once all of the new one is there and has the right SHA-256, or a
        folder, where the file gets the artifact's own name and replaces nothing.

        Raises:
            DownloadError: not writable, taken, or other bytes than the platform kept. NotFoundError: no such file.
        """
        found = self.artifact(artifact_id)
        for attempt in range(1, DOWNLOAD_TRIES + 1):
            try:
                return self._fetch(found, Path(to))
            except UnavailableError as error:
                if attempt == DOWNLOAD_TRIES:
                    raise
                self._connection.clock.sleep(min(error.retry_after or attempt, 30))
        raise AssertionError("a file is fetched at least once")

    def _fetch(self, found: ArtifactView, to: Path) -> Path:
        where, headers = path("artifacts", found.id, "content"), {"Accept-Encoding": "identity"}
        with self._connection.stream(where, headers) as answer:
            target = _target(found, answer.headers.get("content-disposition", ""), to)
            with _replaced(target) as file:
                digest, size = hashlib.sha256(), 0
                for block in answer.iter_bytes(BLOCK):
                    size += len(block)
                    if size > found.size:
                        break  # it can't be that file any more, and might never end
                    digest.update(block)
                    file.write(block)
                if size != found.size or digest.hexdigest() != found.sha256:
                    raise DownloadError(f"{target}: what came isn't what the platform kept as {found.id}")
        return target


def _target(found: ArtifactView, disposition: str, to: Path) -> Path:
    if not to.is_dir():
        return to
    told = _NAME.search(disposition)
    name = PurePosixPath(unquote(told[1], errors="replace") if told else found.name).name
    # A stage chose the name: it may be one name in this folder, never a way out of it or a hidden file.
    if not name.isprintable() or "\\" in name or name.startswith(".") or not 0 < len(name.encode()) <= 200:
        name = f"artifact_{re.sub('[^A-Za-z0-9-]', '_', found.id)[:100]}"
    target = to / name
    if os.path.lexists(target):
        raise DownloadError(f"{target} is there already; name the file to replace it")
    return target


@contextlib.contextmanager
def _replaced(target: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `target` when the block ends, and leaves no trace if it raises."""
    partial = target.parent / f".download-{secrets.token_hex(8)}.part"
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise DownloadError(f"{target}: {error.strerror or error}") from None
    finally:
        # Where the folder can't be used there is nothing to remove.
        with contextlib.suppress(OSError):
            partial.unlink()
