"""What one training stage hands to the next: small frozen records that name files by place and hash.

Add a field here when a later stage needs a fact of an earlier one. Keep out the bytes: those are in storage.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer

# JSON has no word for NaN and infinity; written as text they are read back as what they are.
Number = Annotated[float, PlainSerializer(lambda v: v if math.isfinite(v) else str(v), when_used="json")]


class Record(BaseModel):
    """Base of the records: immutable, strict."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataVersion(Record):
    """One data version: its number, the hash of its raw content, and whether it is generated sample data."""

    product: str
    version: int
    sha256: str
    rows: int
    source: str
    sample: bool


class FeatureSet(Record):
    """Model columns of one data version, split: `file` under `<product>/features`.

    Where rows are divided in time, `trained_until` is the newest month to train on ("2022-12"), and `months` names the
    file of `months.Fingerprints` beside the table.
    """

    dataset: DataVersion
    file: str
    sha256: str
    train_rows: int
    holdout_rows: int
    trained_until: str | None = None
    months: str | None = None

    @property
    def rows(self) -> int:
        """Of both sides."""
        return self.train_rows + self.holdout_rows


class TrainedModel(Record):
    """A run's model: `folder` under `<product>/models` holds `model.joblib`, `model.onnx` and, for a detector,
    `reasons.json`. `validation` is the winner's cross-validated `score`; a detector's is its steadiness over seeds."""

    features: FeatureSet
    folder: str
    joblib_sha256: str
    onnx_sha256: str
    reasons_sha256: str | None = None
    family: str
    params: dict[str, object]
    score: str
    validation: Number
    mlflow_run_id: str
    mlflow_model_uri: str
    code_version: str


class Measured(Record):
    """The hold-out's metrics of a trained model, measured on the graph that will serve, and production's."""

    model: TrainedModel
    metrics: dict[str, Number]
    production_version: int | None
    production_metrics: dict[str, Number] | None
    parity: Number


class Released(Record):
    """A release as the ledger knows it."""

    product: str
    version: int
    uri: str
    bento: str
    mlflow_version: str
