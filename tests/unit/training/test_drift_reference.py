"""What a release keeps to be compared with: its own training rows, and its answers on the hold-out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from pydantic import BaseModel

from mlops_assets.drift.facts import Monitored
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.training import export, feature_set, fit
from mlops_assets.training.columns import model_columns
from mlops_assets.training.drift_reference import monitored, reference_of
from mlops_assets.training.released import OnnxModel
from mlops_assets.training.spec import Product
from tests.unit.training import made_data

CONTRACT = {
    "raw_columns": ["size"],
    "columns": [
        {"name": "size", "type": "number"},
        {"name": "place", "type": "category"},
        {"name": "kind", "type": "category", "required": False},
        {"name": "extra", "type": "number", "required": False},
        {"name": "agent", "type": "category"},
        {"name": "value", "type": "number"},
    ],
}


class Request(BaseModel):
    """`note` is in no contract, `agent` in no request."""

    extra: float | None = None
    kind: str | None = None
    note: str | None = None
    place: str
    size: float


def declared(target: str = "value", **changes: Any) -> Product:
    return made_data.product(target, **{"contract": CONTRACT, **changes})


def made(target: str = "value", **changes: Any) -> tuple[Product, pd.DataFrame, bytes]:
    """A product, its feature table and a model of it."""
    product = declared(target, **changes)
    rows = made_data.sample(target)
    table = feature_set.build(product, made_data.features, rows)
    return product, table, export.to_onnx(fit.train(product, made_data.features, rows).model)


def test_monitored_are_the_request_fields_of_the_contract_and_the_answers() -> None:
    features = (
        Monitored("size", "number"),
        Monitored("place", "category"),
        Monitored("kind", "category", optional=True),
        Monitored("extra", "number", optional=True),
    )
    answers = (Monitored("estimate", "number", "prediction"), Monitored("error", "number", "error"))
    assert monitored(declared(), Request) == features + answers
    assert monitored(declared("grade"), Request) == features


def test_a_request_field_with_the_name_of_an_answer_is_refused() -> None:
    class Odd(Request):
        error: float

    columns = [*CONTRACT["columns"], {"name": "error", "type": "number"}]
    product = declared(contract={**CONTRACT, "columns": columns})
    with pytest.raises(ValueError, match="request field error"):
        monitored(product, Odd)


def test_rows_are_the_training_side_and_scores_the_holdout() -> None:
    product, table, graph = made()
    sample = reference_of(product, Request, made_data.features, table, graph, DriftPolicy())
    train, holdout = feature_set.side(table, holdout=False), feature_set.side(table, holdout=True)
    assert sample.logged_rows == len(sample.rows) == len(train)
    assert list(sample.rows.columns) == ["size", "place", "kind", "extra"]
    for name in sample.rows.columns:
        assert sample.rows[name].tolist() == pytest.approx(train[name].tolist(), nan_ok=True)
    frame = model_columns(made_data.features, holdout, product.features)
    estimate = OnnxModel(graph).predict(frame)["estimate"].astype(float).round(2)
    assert sample.scored["estimate"].tolist() == pytest.approx(estimate.tolist())
    actual = holdout["value"].to_numpy()
    assert sample.scored["error"].tolist() == pytest.approx((np.abs(estimate - actual) / actual).tolist())


def test_an_error_needs_an_actual_value_above_zero() -> None:
    product, table, graph = made()
    holdout = table.index[table["split.holdout"]]
    table.loc[holdout[:3], "value"] = [0.0, -5.0, np.nan]
    sample = reference_of(product, Request, made_data.features, table, graph, DriftPolicy())
    assert sample.scored["error"].isna().tolist() == [True] * 3 + [False] * (len(holdout) - 3)
    assert sample.scored["estimate"].notna().all()


def test_large_data_is_sampled_the_same_way_each_time() -> None:
    product, table, graph = made()
    several = pd.concat([table] * 3, ignore_index=True).assign(size=lambda rows: np.arange(len(rows)) + 1.0)
    small = DriftPolicy(sample_rows=200)
    one, again, other = (
        reference_of(product, Request, made_data.features, several, graph, policy)
        for policy in (small, small, DriftPolicy(sample_rows=200, seed=8))
    )
    assert (len(one.rows), len(one.scored), one.logged_rows) == (200, 200, int((~several["split.holdout"]).sum()))
    assert one.rows["size"].is_monotonic_increasing
    assert one.rows["size"].is_unique
    assert_frame_equal(one.rows, again.rows)
    assert_frame_equal(one.scored, again.scored)
    assert one.rows["size"].tolist() != other.rows["size"].tolist()


def test_a_classification_has_no_scores() -> None:
    product, table, graph = made("grade")
    sample = reference_of(product, Request, made_data.features, table, graph, DriftPolicy())
    assert sample.scored.columns.empty
    assert len(sample.rows) == sample.logged_rows > 0
