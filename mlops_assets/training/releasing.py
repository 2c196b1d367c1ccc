"""The release stage: number, files, registered model, Bento, and last the ledger's row that makes it serve.

Each step may be repeated after a kill; nothing is live before the one transaction at the end. Keep out what a
release holds (`export`) and what the ledger decides (`rollout.ledger`).
"""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.drift import references
from mlops_assets.rollout.ledger import Ledger, State
from mlops_assets.rollout.registry import Registry
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.storage.folders import fetch_folder, publish_folder
from mlops_assets.training import drift_reference, export, feature_set, measuring
from mlops_assets.training.automation import NEW_DATA, TRIGGER_TAG
from mlops_assets.training.records import Measured, Released
from mlops_assets.training.released import RELEASE_FILE, read_release
from mlops_assets.training.spec import Product
from mlops_assets.training.tracking import Tracking

ACTOR = "training"


@dataclass(frozen=True)
class Done:
    """The published release and what it became."""

    record: Released
    role: str
    labels: list[str]
    model_page: str
    bento_home: Path


def release(
    product: Product,
    measured: Measured,
    settings: Settings,
    database: Database,
    storage: Storage,
    tracking: Tracking,
    context: dg.AssetExecutionContext,
) -> Done:
    """Publish a gated model under the next release number of its product.

    A run that new data asked for publishes nothing if another run has released a model of the same data meanwhile, as
    when the first training and the look at the source begin at the same moment.
    """
    ledger = Ledger(database)
    trained = measured.model
    dataset = trained.features.dataset
    if context.run.tags.get(TRIGGER_TAG) == NEW_DATA:
        known = ledger.trained_on(product.name, dataset.version)
        if known is not None and known.run_id != trained.folder:
            context.log.info(f"data version V{dataset.version} isn't new any more: release {known.version} has it")
            return _done(product, known.version, str(known.uri), known.manifest or {}, settings, ledger, tracking)
    # A model has one number, however often its release is tried, by whichever run; a new model has a new one.
    version = ledger.reserve(product.name, trained.folder, dataset.version)
    folder = storage.at(product.name, "releases", str(version))
    with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
        local = Path(temporary) / "release"
        if folder.exists(RELEASE_FILE):
            # An earlier try came this far. What is published never changes, and holds that try's time.
            fetch_folder(folder, local, manifest=RELEASE_FILE)
        else:
            write_files(product, measured, version, context.run.run_id, storage, local)
            publish_folder(local, folder, manifest=RELEASE_FILE)
        manifest = read_release(local, shown=folder.url)
        bento = build_bento(product, local, settings.home / "bentos")
        if bento and storage.folder is None:
            # Where the storage is elsewhere, nothing that lasts is on this host's disk alone.
            keep_bento(bento, settings.home / "bentos", storage.at(product.name, "bentos", str(version)))
    registered = tracking.register(
        product.name,
        trained.mlflow_model_uri,
        trained.mlflow_run_id,
        {"release": str(version), "dagster_run_id": context.run.run_id, "bento": bento},
    )
    manifest |= {"bento": bento, "mlflow_version": registered}
    ledger.publish(product.name, version, folder.url, manifest, ACTOR, measured.production_version)
    Registry(tracking.url, headers=tracking.headers).align(ledger, product.name)
    return _done(product, version, folder.url, manifest, settings, ledger, tracking)


def _done(
    product: Product,
    version: int,
    uri: str,
    manifest: dict[str, Any],
    settings: Settings,
    ledger: Ledger,
    tracking: Tracking,
) -> Done:
    bento, registered = manifest["bento"], manifest["mlflow_version"]
    return Done(
        record=Released(
            product=product.name,
            version=version,
            uri=uri,
            bento=bento,
            mlflow_version=registered,
        ),
        role=_role(ledger.state(product.name), version),
        labels=ledger.labels(product.name).get(version, []),
        model_page=tracking.model_page(product.name, registered),
        bento_home=settings.home / "bentos",
    )


def write_files(product: Product, measured: Measured, version: int, run_id: str, storage: Storage, local: Path) -> None:
    """Write the release directory (the graph and the manifest with everything serving needs), and keep the reference
    that drift compares live data with."""
    trained = measured.model
    dataset = trained.features.dataset
    functions = importlib.import_module(product.functions)
    table = feature_set.read_to_learn(product, trained.features, storage)
    model, graph = measuring.load_model(product, trained, storage)
    record = export.describe(
        product,
        model,
        graph,
        version=version,
        dataset={
            "version": dataset.version,
            "sha256": dataset.sha256,
            "rows": dataset.rows,
            "sample": dataset.sample,
        },
        code_version=trained.code_version,
        runs={"dagster": run_id, "mlflow": trained.mlflow_run_id},
        metrics=measured.metrics,
        smoke=export.smoke_records(product, functions.features, graph, feature_set.side(table, holdout=True)),
        vocabulary=export.vocabulary(product, feature_set.side(table, holdout=False)),
        trained_until=trained.features.trained_until,
    )
    if product.serving is not None:
        # Before the release: nothing may serve that live data can't be compared with.
        sample = drift_reference.reference_of(
            product, functions.Request, functions.features, table, graph, product.drift
        )
        references.store(storage, product.name, version, sample)
    export.write_release(local, record, graph, measuring.reasons_file(product, trained, storage))


def build_bento(product: Product, local: Path, home: Path) -> str:
    """Build the Bento that serves this release anywhere; its tag. A product without serving has none."""
    if product.serving is None:
        return ""
    from inference.bento import build

    return build(local, product.serving, home)


def keep_bento(tag: str, home: Path, folder: Storage) -> None:
    """Copy the Bento there as one file. Raises BentoError, StorageError."""
    from inference.bento import packed

    with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
        file = packed(tag, home, Path(temporary))
        folder.write_file(file.name, file)


def _role(state: State, version: int) -> str:
    if state.production == version:
        return "production"
    return "candidate" if state.candidate == version else "published earlier"
