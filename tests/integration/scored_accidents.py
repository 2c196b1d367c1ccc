"""An anomaly product with made accidents, features and releases, scored by Dagster on real servers."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mlops_assets.batch.component import BatchComponent
from mlops_assets.batch.policy import BatchPolicy
from mlops_assets.explanations.explainer import REASONS_FILE
from mlops_assets.products import traffic_anomalies
from mlops_assets.products.samples import traffic_anomalies as sample
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, DatasetVersion
from mlops_assets.storage.files import Storage
from mlops_assets.storage.folders import publish_folder
from mlops_assets.storage.io_managers import ReferenceIOManager
from mlops_assets.training import detecting, export, feature_set
from mlops_assets.training.assets import product_assets
from mlops_assets.training.isolation import IsolationModel
from mlops_assets.training.isolation_graph import to_onnx
from mlops_assets.training.records import DataVersion, FeatureSet
from mlops_assets.training.released import FORMAT, RELEASE_FILE
from mlops_assets.training.spec import Product
from mlops_assets.training.tracking import Tracking

NAME = "accidents"
NUMERIC = (*traffic_anomalies.NUMERIC, *traffic_anomalies.CALENDAR)
GROUPS = {"weather_condition": "weather", "prim_contributory_cause": "cause"}
POLICY = BatchPolicy.model_validate(
    {
        "product": NAME,
        "first_month": "2013-01",
        "top": 5,
        "min_rows": 30,
        "compatibility": {
            "numeric": traffic_anomalies.NUMERIC,
            "categorical": traffic_anomalies.CATEGORICAL,
            "trees": 20,
        },
    }
)


def product() -> Product:
    """The accidents' own functions and columns, declared as little as may be."""
    return Product.model_validate(
        {
            "name": NAME,
            "title": "Accidents",
            "owner": "team:traffic",
            "functions": "mlops_assets.products.traffic_anomalies",
            "task": "anomaly",
            "experiment": "accident_scores",
            "contract": {
                "raw_columns": traffic_anomalies.RAW_COLUMNS,
                "columns": [
                    {"name": "crash_date", "type": "time"},
                    *({"name": name, "type": "category"} for name in GROUPS),
                ],
            },
            "features": {"numeric": NUMERIC, "categorical": traffic_anomalies.CATEGORICAL},
            "detector": {"time": "crash_date", "trees": 20, "groups": GROUPS},
            "gates": [],
        }
    )


def raw(rows: int = 1500, seed: int = 1) -> pd.DataFrame:
    """Raw rows of 2023 and 2024, as a file has them: text."""
    made = sample.generate(5 * rows, seed)
    return made[made["crash_date"].str[6:10].isin(["2023", "2024"])].reset_index(drop=True)


def moved(rows: pd.DataFrame, date: str) -> pd.DataFrame:
    """The same rows, all at this time."""
    return rows.assign(crash_date=date)


@dataclass
class Accidents:
    """The product in a folder, a database and a Dagster instance of its own."""

    database: Database
    storage: Storage
    resources: dict[str, Any]
    folder: Path
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)
    product: Product = field(default_factory=product)
    policy: BatchPolicy = POLICY
    versions: int = 0

    def ingest(self, rows: pd.DataFrame, only: tuple[str, ...] | None = None) -> FeatureSet:
        """Make these raw rows the newest features; `only` keeps some model columns."""
        self.versions += 1
        cleaned = traffic_anomalies.clean(rows).rows
        declared = self.product
        if only is not None:
            columns = declared.features
            kept = {kind: tuple(c for c in getattr(columns, kind) if c in only) for kind in ("numeric", "categorical")}
            declared = declared.model_copy(update={"features": columns.model_copy(update=kept)})
        dataset = DataVersion(
            product=NAME,
            version=self.versions,
            sha256=f"{self.versions:064x}",
            rows=len(cleaned),
            source="made",
            sample=True,
        )
        with self.database.session() as session, session.begin():
            session.add(
                DatasetVersion(
                    product=NAME,
                    version=dataset.version,
                    sha256=dataset.sha256,
                    rows=dataset.rows,
                    uri="",
                    source="made",
                    sample=True,
                )
            )

        @dg.asset(key=[NAME, "features"], dagster_type=dg.Any)
        def features(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
                rows = Path(folder) / "rows.parquet"
                cleaned.to_parquet(rows, index=False)
                record, _ = feature_set.make(
                    declared, traffic_anomalies.features, dataset, rows, self.storage, context.run.run_id
                )
            return dg.MaterializeResult(value=record)

        done = dg.materialize([features], resources=self.resources, instance=self.instance)
        found: FeatureSet = done.output_for_node(f"{NAME}__features")
        return found

    def release(self, features: FeatureSet, until: str = "2024-06", trees: int = 20) -> int:
        """Train on the months to `until`, publish, and make it production."""
        ledger = Ledger(self.database)
        table = feature_set.read(self.product, features, self.storage)
        before = table["crash_date"].to_numpy("datetime64[M]") <= np.datetime64(until, "M")
        columns = feature_set.model_columns(table)[before]
        model = IsolationModel.fit(columns, NUMERIC, traffic_anomalies.CATEGORICAL, trees=trees)
        version = ledger.reserve(NAME, f"run{trees}{until}", features.dataset.version)
        reasons = detecting.explainer(self.product, traffic_anomalies, columns).model_dump_json().encode()
        record = {"format": FORMAT, "product": NAME, "version": version, "trained_until": until}
        local = self.folder / f"release{version}"
        export.write_release(local, record, to_onnx(model), {REASONS_FILE: reasons})
        folder = self.storage.at(NAME, "releases", str(version))
        publish_folder(local, folder, manifest=RELEASE_FILE)
        state = ledger.publish(NAME, version, folder.url, record, "test")
        if state.production != version:
            ledger.promote(NAME, "test", "for the test")
        return version

    def definitions(self) -> dg.Definitions:
        """What the batch component declares, beside the product's own stages."""
        made = BatchComponent(self.product, self.policy).build_defs(dg.ComponentTree.for_test().load_context)
        return dg.Definitions.merge(made, dg.Definitions(assets=product_assets(self.product), resources=self.resources))

    def score(self, first: str, last: str | None = None, **how: Any) -> dg.ExecuteInProcessResult:
        """Run `accidents_score` for one month or a range."""
        tags = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last or first}
        job = self.definitions().resolve_job_def(f"{NAME}_score")
        return job.execute_in_process(instance=self.instance, tags=tags, **how)

    def make(self, stage: str, **how: Any) -> dict[str, Any]:
        """Materialize `scores_overview` or `compatibility_scores`; what is shown of it."""
        job = self.definitions().resolve_implicit_job_def_def_for_assets([dg.AssetKey([NAME, stage])])
        assert job is not None
        done = job.execute_in_process(instance=self.instance, asset_selection=[dg.AssetKey([NAME, stage])], **how)
        (event,) = done.get_asset_materialization_events()
        return {name: value.value for name, value in event.materialization.metadata.items()}


def accidents_in(home: Settings, database: Database, folder: Path, mlflow_url: str = "http://127.0.0.1:9") -> Accidents:
    """The product on an installation's storage; without MLflow's address whatever tracks fails."""
    storage = Storage(home.storage)
    resources = {
        "settings": home,
        "database": database,
        "storage": storage,
        "tracking": Tracking(mlflow_url),
        "io_manager": ReferenceIOManager(storage),
    }
    return Accidents(database, storage, resources, folder)
