"""The sample accidents: the same everywhere, in the words and shares of the real file, with a few odd ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.products import traffic_anomalies
from mlops_assets.products.samples.traffic_anomalies import COLUMNS, generate

ROWS = 13_320


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return generate(ROWS, 2018)


@pytest.fixture(scope="module")
def cleaned(sample: pd.DataFrame) -> pd.DataFrame:
    return traffic_anomalies.clean(sample).rows


def test_equal_arguments_give_these_very_rows_on_every_machine() -> None:
    text = generate(1000, 7).to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "db839ca61d0701dd"


def test_another_seed_gives_other_accidents(sample: pd.DataFrame) -> None:
    other = generate(ROWS, 2019)
    assert not other.equals(sample)
    assert len(pd.concat([sample, other]).drop_duplicates()) > 1.99 * ROWS


@pytest.mark.parametrize("rows", [1, 2, 20, 1000])
def test_any_number_of_rows_as_text(rows: int) -> None:
    frame = generate(rows, 0)
    assert frame.shape == (rows, 24)
    assert tuple(frame.columns) == COLUMNS == traffic_anomalies.RAW_COLUMNS
    assert frame.map(lambda value: type(value) is str and value != "").all().all()


@pytest.mark.parametrize(("rows", "seed"), [(0, 1), (-5, 1), (10, -1)])
def test_impossible_arguments_are_refused(rows: int, seed: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        generate(rows, seed)


def test_cleaning_keeps_every_row_and_changes_nothing(sample: pd.DataFrame) -> None:
    result = traffic_anomalies.clean(sample)
    assert len(result.rows) == ROWS
    assert result.dropped == {}
    assert result.handled == {"duplicate_kept": ROWS * 148 // 1_000_000}


def test_severity_and_total_say_what_the_counts_say(cleaned: pd.DataFrame) -> None:
    parts = {
        "FATAL": cleaned["injuries_fatal"],
        "INCAPACITATING INJURY": cleaned["injuries_incapacitating"],
        "NONINCAPACITATING INJURY": cleaned["injuries_non_incapacitating"],
        "REPORTED, NOT EVIDENT": cleaned["injuries_reported_not_evident"],
    }
    worst = np.select([part > 0 for part in parts.values()], [*parts], "NO INDICATION OF INJURY")
    assert (worst == cleaned["most_severe_injury"]).all()
    assert (pd.DataFrame(parts).sum(axis=1) == cleaned["injuries_total"]).all()


def test_every_month_of_seven_years_has_accidents(cleaned: pd.DataFrame) -> None:
    months = cleaned["crash_date"].dt.to_period("M").value_counts()
    assert len(months) == 84
    assert months.min() > 60


def test_days_and_seasons_have_their_rhythm(cleaned: pd.DataFrame) -> None:
    weekday = ~cleaned["crash_day_of_week"].isin([1, 7])
    night = cleaned["crash_hour"].between(1, 4)
    assert night[~weekday].mean() > 2 * night[weekday].mean()
    assert cleaned["crash_hour"][weekday].value_counts().head(3).index.isin([15, 16, 17]).all()
    snow = cleaned["weather_condition"] == "SNOW"
    winter, summer = cleaned["crash_month"].isin([12, 1, 2]), cleaned["crash_month"].isin([6, 7, 8])
    assert snow[winter].mean() > 0.05
    assert snow[summer].mean() < 0.01
    dark = cleaned["lighting_condition"].str.startswith("DARKNESS")
    evening = cleaned["crash_hour"].between(16, 18)
    assert dark[evening & winter].mean() > 2 * dark[evening & summer].mean()
    wet = cleaned["roadway_surface_cond"] == "WET"
    assert wet[cleaned["weather_condition"] == "RAIN"].mean() > 0.9


def test_unknown_is_a_word_of_six_columns(cleaned: pd.DataFrame) -> None:
    share = {name: (cleaned[name] == "UNKNOWN").mean() for name in traffic_anomalies.CATEGORICAL}
    assert {name for name, part in share.items() if part} == {
        "traffic_control_device",
        "weather_condition",
        "lighting_condition",
        "roadway_surface_cond",
        "road_defect",
        "trafficway_type",
    }
    assert share["road_defect"] == pytest.approx(0.1645, abs=0.02)


def test_a_few_odd_accidents_stand_out() -> None:
    from sklearn.ensemble import IsolationForest

    rows = traffic_anomalies.clean(generate(20_000, 3)).rows
    odd = ((rows["alignment"] == "CURVE ON HILLCREST") & (rows["injuries_total"] >= 4)).to_numpy()
    assert 0.0005 < odd.mean() < 0.002
    numbers = rows[list(traffic_anomalies.NUMERIC)].to_numpy(dtype=np.float32)
    score = IsolationForest(n_estimators=50, random_state=1).fit(numbers).score_samples(numbers)
    assert np.median(score[odd]) < np.quantile(score, 0.05)


@pytest.mark.real_data
def test_shares_and_words_are_those_of_the_real_file(sample: pd.DataFrame, real_data: Path) -> None:
    real = pd.read_csv(real_data / "traffic_accidents.csv.gz", dtype=str, keep_default_na=False)
    assert real.columns.tolist() == sample.columns.tolist()
    far: dict[str, tuple[float, float]] = {}
    for name in COLUMNS[1:]:
        expected, got = (frame[name].value_counts(normalize=True) for frame in (real, sample))
        if name in traffic_anomalies.CATEGORICAL:
            assert not set(got.index) - set(expected.index)
        for value in expected.index[expected >= 0.01]:
            told = float(got.get(value, 0.0))
            if not 0.65 < told / expected[value] < 1.5:
                far[f"{name} {value}"] = (round(told, 4), round(float(expected[value]), 4))
    assert far == {}
    assert real["crash_date"].str.len().eq(22).all()
    assert sample["crash_date"].str.len().eq(22).all()
