"""The sample listings: the same everywhere, as messy as the real file, and as hard to predict."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops_assets.products import house_prices
from mlops_assets.products.samples.draws import Draws
from mlops_assets.products.samples.house_prices import COLUMNS, UNITS, city, generate

if TYPE_CHECKING:
    import pandas as pd

ROWS = 13_320


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return generate(ROWS, 2018)


def test_equal_arguments_give_equal_rows_in_another_process_with_another_hash_seed(
    sample: pd.DataFrame,
) -> None:
    script = (
        "import hashlib; from mlops_assets.products.samples.house_prices import generate\n"
        "print(hashlib.sha256(generate(13_320, 2018).to_csv(index=False).encode()).hexdigest())"
    )
    env = {
        **os.environ,
        "PYTHONHASHSEED": "12345",
        "OMP_NUM_THREADS": "1",
        "NPY_DISABLE_CPU_FEATURES": "AVX2",
    }
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout.strip() == hashlib.sha256(sample.to_csv(index=False).encode()).hexdigest()


def test_the_draws_are_those_of_the_raw_stream() -> None:
    bits = np.random.PCG64(7).random_raw(3)
    assert Draws(7).uniform(3).tolist() == [(int(b) >> 11) / 2**53 for b in bits]
    parts = [(int(b) >> shift) & 0xFFFF for b in bits for shift in (0, 16, 32, 48)]
    assert Draws(7).normal(1).tolist() == [(sum(parts) - 12 * 32_767.5) / 65_536]


def test_normal_draws_and_weighted_picks_are_distributed_as_they_say() -> None:
    normal = Draws(1).normal(200_000)
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01
    picked = np.bincount(Draws(2).pick(np.array([1, 0, 3]), 100_000), minlength=3) / 100_000
    assert picked == pytest.approx([0.25, 0, 0.75], abs=0.01)


def test_another_seed_is_another_sample_of_the_same_city(sample: pd.DataFrame) -> None:
    other = generate(ROWS, 2019)
    assert not other.equals(sample)
    known = {*city().locations}
    for rows in (sample, other):
        plain = rows["location"].dropna()
        assert plain.isin(known).mean() > 0.99


@pytest.mark.parametrize("rows", [1, 2, 20, 1000])
def test_any_number_of_rows(rows: int) -> None:
    frame = generate(rows, 0)
    assert frame.shape == (rows, 9)
    assert frame.columns.tolist() == list(COLUMNS) == list(house_prices.RAW_COLUMNS)
    assert frame.map(lambda v: v is None or (isinstance(v, str) and v != "")).all().all()
    assert len(house_prices.clean(frame).rows) <= rows


@pytest.mark.parametrize(("rows", "seed"), [(0, 1), (-5, 1), (10, -1)])
def test_impossible_arguments_are_refused(rows: int, seed: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        generate(rows, seed)


def test_every_kind_of_mess_is_there(sample: pd.DataFrame) -> None:
    area, size, location = sample["total_sqft"], sample["size"].dropna(), sample["location"].dropna()
    for unit, *_ in UNITS:
        assert generate(4 * ROWS, 5)["total_sqft"].str.endswith(unit).any(), unit
    assert area.str.fullmatch(r"\d+ - \d+").any()
    assert area.str.fullmatch(r"\d+\.\d+").any()
    for word in ("BHK", "Bedroom", "RK"):
        assert size.str.endswith(f" {word}").any(), word
    assert (size.str.extract(r"(\d+)")[0].astype(int) > 10).any()
    assert sample["area_type"].str.contains("  ").all()
    assert location.str.contains("  ").any()
    assert (location != location.str.strip()).any()
    folded = location.str.strip().groupby(location.str.strip().str.casefold()).nunique()
    assert (folded > 1).any()


def shares(rows: pd.DataFrame) -> dict[str, float]:
    counts = rows["location"].value_counts()
    cleaned = house_prices.clean(rows)
    told = {f"{c}_null": rows[c].isna().mean() for c in ("society", "balcony", "bath", "size")}
    price = rows["price"].astype(float)
    return told | {
        "repeated": rows.duplicated().mean(),
        "range": rows["total_sqft"].str.contains(" - ").mean(),
        "double_blank": rows["location"].str.contains("  ").mean(),
        "locations": rows["location"].str.strip().nunique() / ROWS,
        "rare_locations": (counts <= 10).mean(),
        "largest_location": counts.iloc[0] / ROWS,
        "societies": rows["society"].nunique() / ROWS,
        "kept": len(cleaned.rows) / ROWS,
        "two_bedrooms": (rows["size"] == "2 BHK").mean(),
        "ready": (rows["availability"] == "Ready To Move").mean(),
        "plots": (rows["area_type"] == "Plot  Area").mean(),
        "price_median": price.median() / 72,
        "price_high": price.quantile(0.95) / price.median(),
    }


@pytest.mark.real_data
def test_the_shares_are_those_of_the_real_file_and_no_name_is(sample: pd.DataFrame) -> None:
    import pandas as pd

    path = Path(os.environ["MLOPS_REAL_DATA"]) / "bengaluru_house_prices.csv"
    real = pd.read_csv(path, dtype=str, keep_default_na=False)
    real = real.where(real != "", None)
    expected, got = shares(real), shares(sample)
    far = {n: (round(got[n], 4), round(v, 4)) for n, v in expected.items() if not 0.65 < got[n] / v < 1.5}
    assert far == {}
    names = {str(n).strip().casefold() for column in ("location", "society") for n in real[column].dropna()}
    invented = {n.strip().casefold() for column in ("location", "society") for n in sample[column].dropna()}
    assert names & invented == set()


@pytest.mark.parametrize(
    ("fields", "lowest", "highest"),
    [(("area_type", "balcony", "society"), 0.09, 0.145), ((), 0.12, 0.18)],
    ids=["all_fields", "required_fields"],
)
def test_a_plain_model_reaches_the_error_that_a_real_market_allows(
    sample: pd.DataFrame, fields: tuple[str, ...], lowest: float, highest: float
) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = house_prices.clean(sample).rows
    held = np.arange(len(rows)) % 5 == 0
    words = rows[["location", "bhk", "bath", *fields]].astype(str)
    level = np.log(rows["price"] / rows["total_sqft"])
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge(1.0)).fit(words[~held], level[~held])
    estimate = np.exp(model.predict(words[held])) * rows["total_sqft"][held]
    median_ape = float(np.median(np.abs(estimate / rows["price"][held] - 1)))
    assert lowest < median_ape < highest
