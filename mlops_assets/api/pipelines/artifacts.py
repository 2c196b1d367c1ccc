"""The artifact routes: what runs have left, listed, shown in part and downloaded.

Add a route here. A route parses, reads and answers. Keep out queries (`pipelines.artifact_records`) and what can be
shown (`pipelines.previews`). Content is always a download, whatever it says that it is; only what is proven to be an
image is drawn. Routes are plain `def`: files and the database are read in a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.requested import FIRST_PAGE, Limit, Offset
from mlops_assets.api.pipelines.router import new_router
from mlops_assets.api.pipelines.run_schemas import ArtifactPage, ArtifactPreview, ArtifactView
from mlops_assets.api.problems import answers
from mlops_assets.pipelines import artifact_records, previews
from mlops_assets.pipelines.artifact_content import DamagedError, blocks, disposition, file_name, media_type
from mlops_assets.pipelines.artifact_records import Asked, Found, Sort
from mlops_assets.pipelines.stage_types import ArtifactType
from mlops_assets.storage.files import MissingFileError, StorageError
from mlops_assets.storage.pipeline_tables import Artifact

READ_ANSWERS = answers(404, 422)
_FILE: dict[int | str, Any] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
_IMAGES: dict[int | str, Any] = {
    200: {"content": {f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in ("png", "jpeg")}}
}
# PostgreSQL has no text with NUL in it.
Text = Annotated[str, Query(max_length=300, pattern=r"^[^\x00]*$")]
Id = Annotated[str, Path(max_length=300)]

log = logging.getLogger(__name__)


def artifact_routes(parts: Parts) -> APIRouter:
    """Every route below /api/v1/artifacts."""
    router = new_router("artifacts", "/artifacts")

    @router.get("", response_model=ArtifactPage, responses=answers(422))
    def list_artifacts(
        pipeline: Text | None = None,
        run: Text | None = None,
        stage: Text | None = None,
        type: ArtifactType | None = None,
        storage: Annotated[str | None, Query(pattern="^(LOCAL|S3|GCS|AZURE)$")] = None,
        result: bool | None = None,
        q: Text | None = None,
        sort: Sort = "-created_at",
        limit: Limit = FIRST_PAGE,
        offset: Offset = 0,
    ) -> ArtifactPage:
        """Artifacts, newest first. `pipeline` is an id or a name; `q` is part of the artifact's name."""
        asked = Asked(pipeline, run, stage, type, storage, result, q, sort, limit, offset)
        found, total = artifact_records.listed(parts.database, asked)
        return ArtifactPage(items=[_view(one) for one in found], total=total, limit=limit, offset=offset)

    @router.get("/{artifact_id}", response_model=ArtifactView, responses=READ_ANSWERS)
    def read_artifact(artifact_id: Id) -> ArtifactView:
        """One artifact."""
        return _view(_one(parts, artifact_id))

    @router.get("/{artifact_id}/content", response_class=Response, responses=READ_ANSWERS | _FILE)
    def read_content(artifact_id: Id) -> Response:
        """The file itself, always to be saved."""
        artifact = _one(parts, artifact_id).artifact
        headers = {"Content-Disposition": disposition(file_name(artifact))}
        return _streamed(parts, artifact, media_type(artifact), headers)

    @router.get("/{artifact_id}/preview", response_model=ArtifactPreview, responses=READ_ANSWERS)
    def read_preview(artifact_id: Id) -> ArtifactPreview:
        """What can be shown of it."""
        artifact = _one(parts, artifact_id).artifact
        with _told(artifact):
            found = previews.preview(parts.storage, artifact)
        image = f"{router.prefix}/{artifact.id}/image" if found.kind == "image" else None
        return ArtifactPreview(image=image, **vars(found))

    @router.get("/{artifact_id}/image", response_class=Response, responses=READ_ANSWERS | _IMAGES)
    def read_image(artifact_id: Id) -> Response:
        """The file if it is a PNG, JPEG, GIF or WebP; 404 if it isn't."""
        artifact = _one(parts, artifact_id).artifact
        with _told(artifact):
            kind = previews.image(parts.storage, artifact)
        if kind is None:
            raise HTTPException(404, f"artifact {artifact.id} is no image that can be shown")
        return _streamed(parts, artifact, kind, {})

    return router


def _one(parts: Parts, artifact_id: str) -> Found:
    found = artifact_records.one(parts.database, artifact_id)
    if found is None:
        raise HTTPException(404, f"there is no artifact {artifact_id[:60]!r}")
    return found


def _streamed(parts: Parts, artifact: Artifact, media: str, headers: dict[str, str]) -> Response:
    content = blocks(parts.storage, artifact)
    with _told(artifact):
        next(content)  # what is missing is found out before anything is sent
    return StreamingResponse(content, media_type=media, headers={**headers, "Content-Length": str(artifact.size)})


def _view(found: Found) -> ArtifactView:
    artifact = found.artifact
    row: dict[str, Any] = {name: getattr(artifact, name) for name in _SAME}
    return ArtifactView(
        id=str(artifact.id),
        pipeline_id=str(artifact.pipeline_id),
        pipeline=found.pipeline,
        location=artifact.uri,
        metadata=artifact.details,
        **row,
    )


_SAME = (
    *("pipeline_version", "run_id", "stage", "attempt", "is_result", "name", "type", "storage", "format", "size"),
    *("sha256", "type_name", "preview", "created_at", "removed_at"),
)


@contextmanager
def _told(artifact: Artifact) -> Iterator[None]:
    """Errors of the storage as answers; what they say of paths goes to the log."""
    try:
        yield
    except MissingFileError as error:
        log.warning("artifact %s: %s", artifact.id, error)
        raise HTTPException(404, _why_missing(artifact)) from error
    except DamagedError as error:
        log.warning("artifact %s: %s", artifact.id, error)
        raise HTTPException(404, "the file in the storage isn't what the stage left") from error
    except StorageError as error:
        log.warning("artifact %s: %s", artifact.id, error)
        raise HTTPException(503, "the storage doesn't answer; try again", {"Retry-After": "5"}) from error


def _why_missing(artifact: Artifact) -> str:
    if artifact.format == "none":
        return "the stage returned None: there is no file"
    if artifact.removed_at is not None:
        return f"the file was removed at {artifact.removed_at:%Y-%m-%d %H:%M} UTC, older than files are kept"
    return "the file isn't in the storage"
