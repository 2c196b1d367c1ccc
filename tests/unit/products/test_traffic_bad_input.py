"""What a bad file of accidents comes to, from the CSV file to what its contract says: kept, told, or stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.products import traffic_anomalies as ta
from mlops_assets.products.cleaned import Cleaned
from mlops_assets.products.samples.traffic_anomalies import LAST_DAY, generate
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.data import contract
from mlops_assets.training.data.contract import Finding
from mlops_assets.training.data.csv_file import CsvError, read_rows
from mlops_assets.training.data.sources import fetch
from mlops_assets.training.data.spec import Contract
from mlops_assets.training.spec import Product

ROWS = 6_000
TODAY = date(LAST_DAY.year + 1, 1, 15)
# Columns that say UNKNOWN nowhere in the data set.
ALWAYS_TOLD = (
    "first_crash_type", "alignment", "crash_type", "intersection_related_i", "damage", "prim_contributory_cause",
    "most_severe_injury",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """A file's canonical rows and what the contract says of them."""

    cleaned: Cleaned
    findings: tuple[Finding, ...]

    @property
    def blocked(self) -> set[tuple[str, str | None]]:
        """Check and column of all that stops training."""
        return {(f.check, f.column) for f in contract.blocking(self.findings)}

    def one(self, check: str, column: str | None = None) -> Finding:
        (found,) = [f for f in self.findings if (f.check, f.column) == (check, column)]
        return found


Judge = Callable[..., Judged]


@pytest.fixture(scope="module")
def product() -> Product:
    return next(one for one in declared_products() if one.name == "traffic_anomalies")


@pytest.fixture(scope="module")
def made() -> pd.DataFrame:
    return generate(ROWS, 3)


@pytest.fixture
def accidents(made: pd.DataFrame) -> pd.DataFrame:
    """Raw accidents to spoil, of all months of seven years."""
    return made.copy()


@pytest.fixture
def judge(product: Product, tmp_path: Path) -> Judge:
    """Write a raw frame as a file, read it back and judge it; `before` are the raw rows of the version before."""

    def one(raw: pd.DataFrame, before: pd.DataFrame | None = None, today: date = TODAY) -> Judged:
        path = tmp_path / "accidents.csv"
        raw.to_csv(path, index=False)
        read = read_rows(path, product.contract, product.source)
        previous = None if before is None else ta.clean(before).rows
        return judged(read, product.contract, previous, today)

    return one


def judged(raw: pd.DataFrame, by: Contract, previous: pd.DataFrame | None = None, today: date = TODAY) -> Judged:
    cleaned = ta.clean(raw)
    return Judged(cleaned, contract.check(contract.raw_facts(raw), cleaned, by, previous, today=today))


def month_of(raw: pd.DataFrame, month: str = "03/2022") -> np.ndarray:
    """Which raw rows are of a month."""
    dates: np.ndarray = (raw["crash_date"].str[:3] + raw["crash_date"].str[6:10] == month).to_numpy()
    return dates


# -- what is kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [3, 20_18])
def test_a_good_file_leaves_nothing_to_say(judge: Judge, seed: int) -> None:
    found = judge(generate(20_000, seed))
    assert [f for f in found.findings if not f.passed] == []
    assert len(found.cleaned.rows) == 20_000


def test_columns_in_another_order_and_one_more_make_the_same_rows(judge: Judge, accidents: pd.DataFrame) -> None:
    turned = accidents[accidents.columns[::-1]].assign(report_number="JH123")
    found, straight = judge(turned), judge(accidents)
    pd.testing.assert_frame_equal(found.cleaned.rows, straight.cleaned.rows)
    assert found.blocked == set()
    assert "report_number" in found.one("raw_columns_extra").message


def test_mixed_date_formats_make_the_same_rows(judge: Judge, accidents: pd.DataFrame) -> None:
    straight = judge(accidents)
    told = pd.to_datetime(accidents["crash_date"], format="%m/%d/%Y %I:%M:%S %p")
    for start, written in enumerate(("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%Y %I:%M%p")):
        accidents.loc[start::4, "crash_date"] = told[start::4].dt.strftime(written)
    mixed = judge(accidents)
    pd.testing.assert_frame_equal(mixed.cleaned.rows, straight.cleaned.rows)
    assert mixed.blocked == set()
    assert mixed.cleaned.handled["crash_date_iso"] == ROWS // 2


@pytest.mark.parametrize("left", [0, 1])
def test_a_month_with_hardly_a_row_stops_nothing(judge: Judge, accidents: pd.DataFrame, left: int) -> None:
    of_month = np.flatnonzero(month_of(accidents))
    found = judge(accidents.drop(index=of_month[left:]), before=accidents)
    assert len(of_month) > 20
    assert found.blocked == set()
    assert (found.cleaned.rows["crash_date"].dt.to_period("M") == "2022-03").sum() == left


def test_two_rows_long_before_all_others_are_kept(judge: Judge, accidents: pd.DataFrame) -> None:
    """As 2013 has in the real file."""
    accidents.loc[[0, 1], "crash_date"] = ["03/29/2013 04:05:00 PM", "06/09/2013 03:25:00 AM"]
    found = judge(accidents)
    assert found.blocked == set()
    assert (found.cleaned.rows["crash_date"].dt.year == 2013).sum() == 2


# -- words -------------------------------------------------------------------------------------------------------


def test_a_few_rows_with_a_new_word_are_kept_and_the_word_is_named(judge: Judge, accidents: pd.DataFrame) -> None:
    before = accidents.copy()
    accidents.loc[:59, "weather_condition"] = "Volcanic  ash"
    found = judge(accidents, before)
    assert found.blocked == set()
    unseen = found.one("unseen", "weather_condition")
    assert (unseen.value, unseen.message.endswith("VOLCANIC ASH")) == (0.01, True)
    assert (found.cleaned.rows["weather_condition"] == "VOLCANIC ASH").sum() == 60


@pytest.mark.parametrize("name", sorted(set(ta.CATEGORICAL) - {"crash_type", "intersection_related_i"}))
def test_a_column_of_new_words_stops_training(judge: Judge, accidents: pd.DataFrame, name: str) -> None:
    """Another coding, or a column that holds another one's values."""
    before = accidents.copy()
    accidents[name] = "CODE " + (accidents.index % 7).astype(str)
    assert judge(accidents).blocked == set(), "there is nothing to compare a first version with"
    assert judge(accidents, before).blocked == {("unseen", name)}


@pytest.mark.parametrize(("name", "word"), [("crash_type", "INJURY"), ("intersection_related_i", "1")])
def test_a_third_answer_to_a_question_with_two_stops_training(
    judge: Judge, accidents: pd.DataFrame, name: str, word: str
) -> None:
    accidents.loc[5, name] = word
    found = judge(accidents)
    assert found.blocked == {("values", name)}
    assert word in found.one("values", name).message


def test_unknown_in_every_word_stops_training(judge: Judge, accidents: pd.DataFrame) -> None:
    before = accidents.copy()
    accidents[list(ta.CATEGORICAL)] = "UNKNOWN"
    assert judge(accidents).blocked == {("values", "crash_type")}
    compared = judge(accidents, before)
    assert compared.blocked == {("values", "crash_type"), *(("unseen", name) for name in ALWAYS_TOLD)}
    # Where the data set says it too, it is a word like any other.
    assert compared.one("unseen", "weather_condition").value == 0


def test_empty_cells_of_words_are_unknown_and_few_may_be(judge: Judge, accidents: pd.DataFrame) -> None:
    accidents.loc[:299, "damage"] = ""
    few = judge(accidents)
    assert few.blocked == set()
    assert (few.cleaned.rows["damage"] == "UNKNOWN").sum() == few.cleaned.handled["damage_missing"] == 300
    accidents.loc[:300, "damage"] = ""
    assert judge(accidents).blocked == {("raw_nulls", "damage")}


@pytest.mark.parametrize("name", ["num_units", "injuries_no_indication"])
def test_counts_that_are_not_told_stay_so_and_few_may_be(judge: Judge, accidents: pd.DataFrame, name: str) -> None:
    accidents.loc[:299, name] = "UNKNOWN"
    few = judge(accidents)
    assert few.blocked == set()
    assert few.cleaned.rows[name].isna().sum() == 300
    accidents[name] = "UNKNOWN"
    assert judge(accidents).blocked == {("nulls", name)}


def test_unknown_in_every_cell_leaves_no_row(judge: Judge, accidents: pd.DataFrame) -> None:
    accidents[:] = "UNKNOWN"
    found = judge(accidents)
    assert {("min_rows", None), ("dropped_share", None)} <= found.blocked
    assert found.cleaned.dropped == {"crash_date_missing": ROWS}


# -- dates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [("02/30/2022 01:00:00 PM", "impossible"), ("30.03.2022 13:00", "unreadable"), ("UNKNOWN", "missing")],
)
def test_rows_with_dates_that_cannot_be_are_dropped_and_few_may_be(
    judge: Judge, accidents: pd.DataFrame, text: str, reason: str
) -> None:
    accidents.loc[:299, "crash_date"] = text
    few = judge(accidents)
    assert few.blocked == set()
    assert few.cleaned.dropped == {f"crash_date_{reason}": 300}
    accidents.loc[:300, "crash_date"] = text
    many = judge(accidents)
    assert many.blocked == {("dropped_share", None)}
    assert f"crash_date_{reason} 301" in many.one("dropped_share").message


@pytest.mark.parametrize(
    ("latest", "passed"),
    [(datetime(2026, 1, 15, 23, 59), True), (datetime(2026, 1, 16, 0, 0), False), (datetime(2027, 3, 1, 9), False)],
)
def test_one_accident_of_tomorrow_or_next_year_stops_training(
    judge: Judge, accidents: pd.DataFrame, latest: datetime, passed: bool
) -> None:
    accidents.loc[5, "crash_date"] = f"{latest:%m/%d/%Y %I:%M:%S %p}"
    found = judge(accidents)
    assert found.blocked == (set() if passed else {("future", "crash_date")})
    assert found.cleaned.dropped == {}
    assert (f"{latest:%Y-%m-%d %H:%M}" in found.one("future", "crash_date").message) is not passed


# -- too much and too little -------------------------------------------------------------------------------------


def test_a_month_that_is_there_twice_stops_training(judge: Judge, accidents: pd.DataFrame) -> None:
    month = accidents[month_of(accidents)]
    found = judge(pd.concat([accidents, month], ignore_index=True))
    assert found.blocked == {("duplicates", None)}
    assert not found.one("raw_duplicates").passed
    assert found.cleaned.handled["duplicate_kept"] == len(month)


def test_a_month_that_is_there_again_in_other_spelling_stops_training(judge: Judge, accidents: pd.DataFrame) -> None:
    month = accidents[month_of(accidents)]
    told = pd.to_datetime(month["crash_date"], format="%m/%d/%Y %I:%M:%S %p").dt.strftime("%Y-%m-%dT%H:%M:%S")
    words = month[list(ta.CATEGORICAL)].apply(lambda column: column.str.lower())
    again = month.assign(crash_date=told, **{str(name): words[name] for name in words})
    found = judge(pd.concat([accidents, again], ignore_index=True))
    assert found.one("raw_duplicates").passed, "no raw row repeats another"
    assert found.blocked == {("duplicates", None)}


def test_a_file_that_holds_its_content_twice_stops_training(judge: Judge, accidents: pd.DataFrame) -> None:
    found = judge(pd.concat([accidents, accidents], ignore_index=True))
    assert found.blocked == {("duplicates", None)}
    assert found.one("duplicates").value == 0.5


def test_the_same_content_under_another_name_or_packed_is_the_same_file(
    product: Product, accidents: pd.DataFrame, tmp_path: Path
) -> None:
    paths = [tmp_path / "january.csv", tmp_path / "again.csv", tmp_path / "packed.csv.gz"]
    for path in paths:
        accidents.to_csv(path, index=False)
    hashes = {fetch(product.source, tmp_path / f"into{n}", str(path)).sha256 for n, path in enumerate(paths)}
    assert len(hashes) == 1


@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_a_file_of_a_few_rows_stops_training(judge: Judge, accidents: pd.DataFrame, rows: int) -> None:
    assert judge(accidents.head(rows)).blocked == {("min_rows", None)}


def test_a_file_without_rows_is_refused(judge: Judge, accidents: pd.DataFrame) -> None:
    with pytest.raises(CsvError, match="no row after it"):
        judge(accidents.head(0))


@pytest.mark.real_data
def test_the_real_file_keeps_its_contract(product: Product, real_data: Path, tmp_path: Path) -> None:
    fetched = fetch(product.source, tmp_path, str(real_data / "traffic_accidents.csv.gz"))
    raw = read_rows(fetched.path, product.contract, product.source)
    found = judged(raw, product.contract, today=date(2025, 1, 18))
    assert [f for f in found.findings if not f.passed] == []
    assert (found.cleaned.rows["crash_date"].dt.year == 2013).sum() == 2
    # Its last accident is of that very day, and its last month is half a month.
    facts = contract.raw_facts(raw)
    earlier = contract.check(facts, found.cleaned, product.contract, today=date(2025, 1, 17))
    assert Judged(found.cleaned, earlier).blocked == {("future", "crash_date")}
    again = pd.concat([raw, raw[month_of(raw, "01/2025")]], ignore_index=True)
    assert judged(again, product.contract).blocked == {("duplicates", None)}
