"""The encoder without a target: medians, 0/1 columns, unknown and missing values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops_assets.training.isolation_encoder import IsolationEncoder

FRAME = pd.DataFrame(
    {
        "speed": [10.0, np.nan, 30.0, 50.0],
        "weather": ["RAIN", "CLEAR", "", "RAIN"],
        "empty": [np.nan] * 4,
        "ignored": [1, 2, 3, 4],
        "light": ["DARK", None, "DAY", "DAY"],
    }
)


@pytest.fixture
def encoder() -> IsolationEncoder:
    return IsolationEncoder.fit(FRAME, ["speed", "empty"], ["weather", "light"])


def test_numbers_come_first_with_the_median_for_gaps_then_one_column_for_each_sorted_level(
    encoder: IsolationEncoder,
) -> None:
    matrix = encoder.transform(FRAME)
    assert matrix.dtype == np.float32
    assert encoder.sources == [
        ("speed", None), ("empty", None),
        ("weather", "CLEAR"), ("weather", "RAIN"), ("light", "DARK"), ("light", "DAY"),
    ]  # fmt: skip
    assert encoder.width == 6
    np.testing.assert_array_equal(
        matrix,
        [
            [10, 0, 0, 1, 1, 0],
            [30, 0, 1, 0, 0, 0],
            [30, 0, 0, 0, 0, 1],
            [50, 0, 0, 1, 0, 1],
        ],
    )


def test_a_value_that_was_never_seen_and_a_missing_one_have_no_column(encoder: IsolationEncoder) -> None:
    later = pd.DataFrame({"light": ["DUSK", np.nan], "weather": ["SNOW", None], "empty": [7, 8], "speed": [1, np.nan]})
    np.testing.assert_array_equal(encoder.transform(later), [[1, 7, 0, 0, 0, 0], [30, 8, 0, 0, 0, 0]])


def test_levels_have_no_limit_and_are_kept_however_rare() -> None:
    names = [f"cause {number:03}" for number in range(300)]
    frame = pd.DataFrame({"cause": [*names[::-1], names[0]]})
    encoder = IsolationEncoder.fit(frame, [], ["cause"])
    assert encoder.levels == (tuple(names),)
    rows = encoder.code(frame)
    assert rows.codes[0].tolist() == [*range(299, -1, -1), 0]
    assert encoder.transform(frame).sum(axis=1).tolist() == [1.0] * 301


def test_the_column_types_of_pandas_give_the_same_codes(encoder: IsolationEncoder) -> None:
    later = pd.DataFrame({"speed": [1, 2, 3], "empty": 0.0, "weather": ["RAIN", "SNOW", "CLEAR"], "light": "DAY"})
    plain = encoder.transform(later)
    for kind in ("category", "string[pyarrow]"):
        np.testing.assert_array_equal(encoder.transform(later.astype({"weather": kind, "light": kind})), plain)
    gaps = later.assign(weather=pd.Categorical(["RAIN", None, "CLEAR"]))
    np.testing.assert_array_equal(encoder.transform(gaps), plain)


def test_coding_leaves_the_frame_as_it_was(encoder: IsolationEncoder) -> None:
    before = FRAME.copy(deep=True)
    only = IsolationEncoder.fit(FRAME[["speed"]].astype(np.float32), ["speed"], [])
    single = FRAME[["speed"]].astype(np.float32)
    encoder.transform(FRAME)
    only.transform(single)
    pd.testing.assert_frame_equal(FRAME, before)
    assert single["speed"].isna().tolist() == [False, True, False, False]


def test_a_slice_of_coded_rows_is_the_code_of_the_slice(encoder: IsolationEncoder) -> None:
    part = encoder.code(FRAME)[1:3]
    assert len(part) == 2
    np.testing.assert_array_equal(encoder.matrix(part), encoder.transform(FRAME[1:3]))


def test_missing_columns_are_named_and_none_at_all_is_refused(encoder: IsolationEncoder) -> None:
    with pytest.raises(ValueError, match="lacks the model columns empty, light"):
        encoder.code(FRAME[["speed", "weather"]])
    with pytest.raises(ValueError, match="lacks the model columns fog"):
        IsolationEncoder.fit(FRAME, ["speed"], ["fog"])
    with pytest.raises(ValueError, match="at least one"):
        IsolationEncoder.fit(FRAME, [], [])
