"""What played users ask about: rows of the data that production was trained on, as requests with their outcome."""

from __future__ import annotations

import random

from mlops_assets.rehearsal.people import Body
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.training.spec import Product

SHOWN_ROWS = 20_000


def listings(product: Product, version: int, database: Database, storage: Storage) -> list[tuple[Body, float | str]]:
    """Up to 20,000 (request body, actual value) of the data version that release `version` learnt from."""
    from mlops_assets.training.columns import records
    from mlops_assets.training.data.versions import DatasetVersions

    release = Ledger(database).release(product.name, version)
    rows = DatasetVersions(database, storage).load(product.name, release.dataset_version).rows
    chosen = rows.sample(min(SHOWN_ROWS, len(rows)), random_state=random.Random(version).randrange(2**31))  # noqa: S311
    target = product.target.column
    return [
        ({name: value for name, value in row.items() if value is not None and name != target}, row[target])
        for row in records(chosen)
    ]
