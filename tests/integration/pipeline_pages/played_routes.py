"""The routes of runs, artifacts and statistics, standing in with played runs.

Add here what a page asks the API for. Keep out what runs do (`played_runs`).
"""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from mlops_assets.api.auth import Editor, Viewer
from mlops_assets.api.pipelines.run_schemas import RunOrder
from tests.integration.pipeline_pages.played_runs import FINAL, PlayedRun, PlayedRuns

STEP_SECONDS = 0.02
RUN_FILTERS = ("status", "trigger", "pipeline")


def picture() -> bytes:
    """A small PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x0d\x6b\x5e" * 120 for _ in range(60))
    head = struct.pack(">IIBBBBB", 120, 60, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def run_routes(played: PlayedRuns) -> APIRouter:
    """The stand-in for the routes of runs."""
    router = APIRouter(prefix="/api/v1", dependencies=[Viewer])

    @router.post("/pipelines/{id}/runs", status_code=201, dependencies=[Editor])
    def start(id: str, order: RunOrder) -> dict[str, Any]:
        played.orders.append({"pipeline": id, **order.model_dump(exclude_unset=True)})
        if order.parameters.get("rows") == 13:
            raise HTTPException(409, "thirteen rows are unlucky")
        more = order.model_dump(include={"parameters", "trigger", "notes", "tags", "environment"})
        return played.add(played.pipelines[id], **more).view

    @router.get("/runs")
    def runs(request: Request, limit: int = 50, cursor: int = 0) -> dict[str, Any]:
        asked = request.query_params
        played.asked.append(str(asked))
        found = [
            run.view
            for run in played.runs
            if all(asked.get(key, run.view[key]) == run.view[key] for key in RUN_FILTERS)
        ]
        more = str(cursor + limit) if cursor + limit < len(found) else None
        return {"items": found[cursor : cursor + limit], "total": len(found), "next_cursor": more}

    @router.get("/pipelines/{id}/runs")
    def runs_of(id: str, limit: int = 50) -> dict[str, Any]:
        found = [run.view for run in played.runs if id in (run.view["pipeline_id"], run.view["pipeline"])]
        return {"items": found[:limit], "total": len(found), "next_cursor": None}

    @router.get("/runs/{id}")
    def run(id: str) -> dict[str, Any]:
        return played.of(id).detail()

    @router.post("/runs/{id}/cancel", dependencies=[Editor])
    def cancel(id: str) -> dict[str, Any]:
        found = played.of(id)
        if found.view["status"] in FINAL:
            raise HTTPException(409, "the run is over")
        found.end("CANCELLED")
        return found.view

    _add_following(router, played)
    return router


def _add_following(router: APIRouter, played: PlayedRuns) -> None:
    @router.get("/runs/{id}/events")
    def events(id: str, request: Request) -> Response:
        if played.events != 200:
            raise HTTPException(played.events, "no line of events now")
        since = int(request.headers.get("Last-Event-ID", "0"))
        return StreamingResponse(_told(played, played.of(id), since), media_type="text/event-stream")

    @router.get("/runs/{id}/stages/{name}/logs")
    def logs(id: str, name: str, request: Request, attempt: int = 1, after: int = 0, limit: int = 1000) -> Any:
        found = played.of(id)
        lines = found.lines.get((name, attempt), [])
        if request.headers["accept"] == "text/plain":
            return PlainTextResponse("".join(f"{line['text']}\n" for line in lines))
        ended = found.stages[name]["status"] in FINAL or attempt < found.stages[name]["attempt"]
        return {"stage": name, "attempt": attempt, "lines": lines[after : after + limit], "ended": ended}


def artifact_routes(played: PlayedRuns) -> APIRouter:
    """The stand-in for the routes of artifacts and statistics."""
    router = APIRouter(prefix="/api/v1", dependencies=[Viewer])

    @router.get("/artifacts")
    def artifacts(request: Request, limit: int = 50, offset: int = 0) -> dict[str, Any]:
        asked = request.query_params
        found = [
            one
            for one in played.artifacts
            if asked.get("run", one["run_id"]) == one["run_id"]
            and asked.get("type", one["type"]) == one["type"]
            and asked.get("q", "") in one["name"]
        ]
        return {"items": found[offset : offset + limit], "total": len(found), "limit": limit, "offset": offset}

    @router.get("/artifacts/{id}")
    def artifact(id: str) -> dict[str, Any]:
        return next(one for one in played.artifacts if one["id"] == id)

    @router.get("/artifacts/{id}/preview")
    def preview(id: str) -> dict[str, Any]:
        return played.previews[id]

    @router.get("/artifacts/{id}/image")
    def image(id: str) -> Response:
        return Response(picture(), media_type="image/png")

    @router.get("/statistics")
    def statistics() -> dict[str, Any]:
        states = [run.view["status"] for run in played.runs]
        counts = {"total": len(states), "by_status": {name: states.count(name) for name in set(states)}}
        counts["success_rate"] = 0.75 if states else None
        artifacts = {"total": len(played.artifacts), "bytes": 2048 * len(played.artifacts), "by_type": {}}
        pipelines = {"total": 3, "active": 2, "paused": 1, "deployed": 2, "scheduled": 1}
        return {"pipelines": pipelines, "runs": counts, "runs_last_24_hours": counts, "artifacts": artifacts}

    return router


async def _told(played: PlayedRuns, run: PlayedRun, since: int) -> AsyncIterator[str]:
    """The line of events; one more in `cuts` breaks it off, and the browser comes back with the number it had."""
    cuts, place = played.cuts, since
    yield "retry: 100\n\n"
    if since == 0:
        place = len(run.journal)
        yield _event("run", run.view, place)
        for stage in run.stages.values():
            yield _event("stage", stage, place)
    while played.cuts == cuts and played.events == 200:
        for name, data in run.journal[place:]:
            place += 1
            yield _event(name, data, place)
            if name == "end":
                return
        await asyncio.sleep(STEP_SECONDS)


def _event(name: str, data: dict[str, Any], number: int) -> str:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
