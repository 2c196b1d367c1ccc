"""The content split: the same row always lands on the same side, equal rows together."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mlops_assets.training.split import folds, in_holdout, row_keys
from tests.unit.training.made_data import sample


def keys(frame: pd.DataFrame, seed: int = 42) -> np.ndarray:
    return row_keys(frame, target="value", seed=seed)


def test_a_row_keeps_its_side_when_the_data_grows_and_is_reordered() -> None:
    old = sample(count=400)
    grown = pd.concat([sample(count=300, seed=5), old], ignore_index=True).sample(frac=1, random_state=3)
    side = dict(zip(keys(grown).tolist(), in_holdout(keys(grown), 0.2), strict=True))
    assert [side[key] for key in keys(old).tolist()] == in_holdout(keys(old), 0.2).tolist()


def test_rows_that_differ_only_in_the_target_share_a_key() -> None:
    frame = sample(count=50)
    assert np.array_equal(keys(frame), keys(frame.assign(value=frame["value"] * 2)))


def test_types_of_null_and_number_and_column_order_do_not_matter() -> None:
    one = pd.DataFrame({"a": [1, 2], "b": ["x", None], "value": [1.0, 2.0]})
    other = pd.DataFrame({"value": [1.0, 2.0], "b": ["x", float("nan")], "a": [1.0, 2.0]})
    nullable = other.assign(a=other["a"].astype("Int64"), b=other["b"].astype("string"))
    assert np.array_equal(keys(one), keys(other))
    assert np.array_equal(keys(one), keys(nullable))


def test_neighbouring_cells_do_not_run_together() -> None:
    frame = pd.DataFrame({"a": ["x", "xy"], "b": ["yz", "z"], "value": [1, 2]})
    assert len(set(keys(frame).tolist())) == 2


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_share_is_kept(share: float) -> None:
    held = in_holdout(keys(sample(count=6000)), share)
    assert held.mean() == pytest.approx(share, abs=0.025)


def test_another_seed_is_another_split() -> None:
    frame = sample(count=2000)
    both = in_holdout(keys(frame, 1), 0.5) == in_holdout(keys(frame, 2), 0.5)
    assert 0.45 < both.mean() < 0.55


def test_folds_are_even_and_independent_of_the_hold_out_and_of_each_other() -> None:
    key = keys(sample(count=6000))
    train = key[~in_holdout(key, 0.2)]
    first, second = folds(train, 5), folds(train, 5, salt=1)
    assert np.bincount(first, minlength=5).min() > 0.16 * len(train)
    assert (first == second).mean() == pytest.approx(0.2, abs=0.03)


def test_a_key_is_the_same_in_another_process() -> None:
    code = (
        "import pandas as pd; from mlops_assets.training.split import row_keys;"
        "print(row_keys(pd.DataFrame({'a': ['x'], 'value': [1]}), target='value', seed=7)[0])"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    here = row_keys(pd.DataFrame({"a": ["x"], "value": [1]}), target="value", seed=7)[0]
    assert int(there.stdout) == int(here)


def test_rows_without_features_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to split by"):
        keys(pd.DataFrame({"value": [1.0]}))
