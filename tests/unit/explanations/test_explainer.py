"""What a release says about its scores is a file: read back, it explains the same in the product's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from mlops_assets.explanations.explainer import Explainer
from mlops_assets.explanations.reasons import Wording
from mlops_assets.explanations.reference import Reference
from mlops_assets.products import traffic_anomalies as ta
from mlops_assets.training.columns import model_columns
from mlops_assets.training.data.spec import Features
from mlops_assets.training.isolation import IsolationModel
from tests.unit.products.traffic_records import GOOD, raw

SPEC = Features(numeric=ta.NUMERIC + ta.CALENDAR, categorical=ta.CATEGORICAL)


def rows(count: int = 600) -> pd.DataFrame:
    """Ordinary accidents at any hour and weekday of two years, a few of them in the rain."""
    at = pd.Timestamp("2022-01-01") + pd.to_timedelta(np.arange(count) * 29, unit="h")
    made = raw(*[{"crash_date": f"{when:%Y-%m-%dT%H:%M:%S}"} for when in at])
    made.loc[::20, "weather_condition"] = "RAIN"
    made.loc[::50, ["most_severe_injury", "injuries_fatal"]] = ["FATAL", "1"]
    return ta.clean(made).rows


COLUMNS = model_columns(ta.features, rows(), SPEC)
MODEL = IsolationModel.fit(COLUMNS, SPEC.numeric, SPEC.categorical, trees=50)
EXPLAINER = Explainer(
    reference=Reference.of(COLUMNS, SPEC.numeric, SPEC.categorical, ta.TOLD_TOGETHER),
    wording=Wording.model_validate(ta.WORDING),
)


def score(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    return MODEL.score(pd.DataFrame(dict(columns)))


def asked(**record: Any) -> dict[str, list[Any]]:
    """Model columns of one request, as a service has them."""
    columns = ta.features(vars(ta.Request.model_validate(record)))
    return {name: [value] for name, value in columns.items()}


def test_a_file_explains_as_the_one_that_was_written() -> None:
    again = Explainer.model_validate_json(EXPLAINER.model_dump_json())
    assert again == EXPLAINER
    lowest = COLUMNS.iloc[np.argsort(MODEL.score(COLUMNS))[:30]]
    assert again.explain(lowest, score) == EXPLAINER.explain(lowest, score)
    assert [len(found.reasons) for found in again.explain(lowest, score, most=1)] == [1] * 30


def test_a_file_with_something_else_in_it_is_refused() -> None:
    for broken in ("{}", EXPLAINER.model_dump_json()[:-1] + ',"code":"x"}', EXPLAINER.model_dump_json()[:-9]):
        with pytest.raises(ValidationError):
            Explainer.model_validate_json(broken)


def test_a_request_is_explained_as_the_row_of_a_file_that_says_the_same() -> None:
    told = {**GOOD, "crash_date": "2022-03-05T04:30", "weather_condition": "SNOW", "most_severe_injury": "FATAL",
            "injuries_fatal": "2", "injuries_total": "2", "crash_hour": "4", "crash_month": "3"}  # fmt: skip
    row = model_columns(ta.features, ta.clean(raw(told)).rows, SPEC)
    of_row, of_request = EXPLAINER.explain(row, score, most=30)[0], EXPLAINER.explain(asked(**told), score, most=30)[0]
    assert of_row == of_request
    assert "weather SNOW (never seen in training)" in of_request.words
    assert "most severe injury FATAL (2 % of accidents; 2 killed)" in of_request.words


def test_a_request_that_tells_little_is_told_so() -> None:
    words = EXPLAINER.explain(asked(crash_date="2022-03-05T17:00", first_crash_type="TURNING"), score)[0].words
    assert words[0] == (
        "most severe injury, traffic control, weather, light, kind of road and 5 more not told (never seen in training)"
    )


def test_reasons_use_the_product_s_words_for_every_column() -> None:
    """Nothing of how columns are called is left in what people read."""
    counts = [name for name in ta.NUMERIC if not name.startswith(("crash", "injuries_total"))]
    record = {**dict.fromkeys(ta.CATEGORICAL, "X"), **dict.fromkeys(counts, 9), "crash_date": "2031-08-08T03:00"}

    def odd(columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Any value that isn't typical makes the record odd, so all of them together are the reason."""
        typical = [(columns[name] == value) for part in EXPLAINER.reference.parts
                   for name, value in zip(part.columns, part.typical, strict=True)]  # fmt: skip
        return np.logical_and.reduce(typical).astype(float)

    found = EXPLAINER.explain(asked(**record), odd, most=30)[0]
    assert len(found.reasons) == len(EXPLAINER.reference.parts)
    assert "_" not in found.text
    for words in ("9 vehicles and people on foot", "9 killed", "hour 3", "Friday", "August", "year 2031", "weather X"):
        assert words in found.text
