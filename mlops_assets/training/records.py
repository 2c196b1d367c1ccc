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
    """Model columns of one data version, split: `file` under `<product>/features`."""

    dataset: DataVersion
    file: str
    sha256: str
    train_rows: int
    holdout_rows: int


class TrainedModel(Record):
    """The winner of one run's search: `folder` under `<product>/models` holds `model.joblib` and `model.onnx`."""

    features: FeatureSet
    folder: str
    joblib_sha256: str
    onnx_sha256: str
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
