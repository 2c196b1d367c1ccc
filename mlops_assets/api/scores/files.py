"""Stored files of scores: the records of a month as CSV, and the page that shows all months.

The page is made by us with another library's scripts in it, and is sent with the policy of stored reports
(`drift.reports.ReportPolicy`). Add here another stored file. Keep out how they come about (`batch`, `anomaly_report`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from mlops_assets.api.auth import Viewer
from mlops_assets.api.drift.routes import Name
from mlops_assets.api.problems import answers
from mlops_assets.api.scores.routes import AskedMode, Month, require_scored, scored_month
from mlops_assets.batch import files, store
from mlops_assets.batch.overview import FOLDER, PAGE
from mlops_assets.batch.store import Mode
from mlops_assets.storage.database import Database, ScoredMonth
from mlops_assets.storage.files import MissingFileError, Storage, StorageError

if TYPE_CHECKING:
    import pandas as pd

# A month is thousands of records, of which so many are made into text at a time.
BLOCK_ROWS = 2000

log = logging.getLogger(__name__)


def score_file_routes(database: Database, storage: Storage) -> APIRouter:
    """The records of a month, and a product's page."""
    router = APIRouter(tags=["scores"], dependencies=[Viewer], responses=answers(429))

    @router.get(
        "/api/v1/scores/{product}/{month}/records.csv",
        response_class=Response,
        responses=answers(401, 404, 422, 503) | {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    def read_records(product: Name, month: Month, mode: AskedMode = store.PRODUCTION) -> Response:
        """All records of a month as CSV: the data set's columns, anomaly_score and anomaly_pred."""
        found = scored_month(database, product, month, mode)
        with _told(f"the records of {product} in {month}", f"the records of {month}"):
            rows = _records(database, storage, found)
        name = f"{product}_{month}_{mode}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(_csv(rows), media_type="text/csv", headers=headers)

    @router.get(
        "/scores/{product}/report",
        response_class=Response,
        responses=answers(401, 404, 422, 503) | {200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
    )
    def read_report(product: Name) -> Response:
        """The page of a product's scored months, as it was stored."""
        require_scored(database, product)
        with _told(f"the page of {product}", "the page"):
            page = storage.at(product, files.FOLDER, FOLDER).read_bytes(PAGE)
        return Response(page, media_type="text/html")

    return router


def _records(database: Database, storage: Storage, month: ScoredMonth) -> pd.DataFrame:
    """A month's records. A file may hold those of several months, in their order: the counts tell where each begins."""
    rows = files.read(storage, month.product, month.file, month.file_sha256)
    months = store.overview(database, month.product, cast(Mode, month.mode))
    shared = {one.month: one.records for one in months if one.file == month.file}
    if sum(shared.values()) != len(rows):
        raise files.ScoredFileError(f"{month.file} has {len(rows)} records, its months {sum(shared.values())}")
    start = sum(records for day, records in shared.items() if day < month.month)
    return rows.iloc[start : start + month.records]


def _csv(rows: pd.DataFrame) -> Iterator[str]:
    for start in range(0, max(len(rows), 1), BLOCK_ROWS):
        yield rows.iloc[start : start + BLOCK_ROWS].to_csv(index=False, header=start == 0, lineterminator="\n")


@contextmanager
def _told(whole: str, short: str) -> Iterator[None]:
    """Errors of the storage as answers; what they say of paths goes to the log."""
    try:
        yield
    except MissingFileError as error:
        log.warning("%s: %s", whole, error)
        raise HTTPException(404, f"{short}: the file isn't in the storage; the figures are kept") from error
    except files.ScoredFileError as error:
        log.warning("%s: %s", whole, error)
        raise HTTPException(404, f"{short}: the file isn't what was written; score it again") from error
    except StorageError as error:
        log.warning("%s: %s", whole, error)
        raise HTTPException(503, "the storage doesn't answer; try again", {"Retry-After": "5"}) from error
