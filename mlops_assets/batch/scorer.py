"""What scores records: the production release, resolved and read when a run asks for it.

Add here what else of a release scoring needs. Keep out which records are scored and what is kept of them (`scoring`).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.explanations.explainer import REASONS_FILE, Explainer
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.storage.folders import fetch_folder
from mlops_assets.training import isolation_graph
from mlops_assets.training.isolation import IsolationModel
from mlops_assets.training.released import MODEL_FILE, RELEASE_FILE, ReleaseError, read_release
from mlops_assets.training.spec import Product


class ScoringError(RuntimeError):
    """Nothing can be scored as things are; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """A detector with what explains it; `release` is None for a forest that was never released.

    `trained_until` is the newest month that it was trained on, None if that is all of them.
    """

    name: str
    release: int | None
    trained_until: str | None
    model: IsolationModel
    explainer: Explainer

    def saw(self, month: str) -> bool:
        """Whether it was trained on this month."""
        return self.trained_until is None or month <= self.trained_until


def production(product: Product, database: Database, storage: Storage) -> Scorer:
    """What is production now. Raises ScoringError when nothing is, or its files aren't whole."""
    version = Ledger(database).state(product.name).production
    if version is None:
        raise ScoringError(f"{product.name} has no production release yet: train one first")
    folder = storage.at(product.name, "releases", str(version))
    with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
        local = Path(temporary) / "release"
        try:
            fetch_folder(folder, local, manifest=RELEASE_FILE)
            manifest = read_release(local, shown=folder.url)
            if "trained_until" not in manifest:
                raise ReleaseError(f"{folder.locate(RELEASE_FILE)} doesn't tell until which month it was trained")
            return Scorer(
                name=f"release-{version}",
                release=version,
                trained_until=str(manifest["trained_until"]),
                model=isolation_graph.from_onnx((local / MODEL_FILE).read_bytes()),
                explainer=Explainer.model_validate_json((local / REASONS_FILE).read_bytes()),
            )
        except (StorageError, OSError, ValueError) as error:
            raise ScoringError(
                f"production's release {version} of {product.name} can't score: {error}; "
                "restore its files, or promote another release"
            ) from error
