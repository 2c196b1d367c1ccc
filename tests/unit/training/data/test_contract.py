"""Every check passes on what the contract allows and fails just beyond it."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops_assets.products.cleaned import Cleaned
from mlops_assets.training.data.contract import Finding, RawFacts, blocking, check, raw_facts
from mlops_assets.training.data.spec import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

PRICE = Column(name="price", type="number", minimum=1, maximum=100)
PLACE = Column(name="place", type="category")
CLUB = Column(name="club", type="category", required=False)
AT = Column(name="at", type="time")
TODAY = date(2025, 3, 9)


def contract(*columns: Column, **limits) -> Contract:
    raw = ("place", "price", "size")
    return Contract(raw_columns=raw, columns=columns or (PRICE, PLACE), **{"min_rows": 1, **limits})


def facts(rows: int = 100, **given) -> RawFacts:
    columns = ("place", "price", "size")
    known = {"columns": columns, "null_shares": dict.fromkeys(columns, 0.0), "duplicate_share": 0.0}
    return RawFacts(rows=rows, **(known | given))


def frame(rows: int = 100, **columns) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({
        "price": np.linspace(1, 100, rows), "place": [f"p{i % 7}" for i in range(rows)], **columns
    })  # fmt: skip


def found(
    name: str, column: str | None = None, *, rows: pd.DataFrame | None = None, given: RawFacts | None = None,
    by: Contract | None = None, previous: pd.DataFrame | None = None, dropped: dict[str, int] | None = None,
    today: date | None = None,
) -> Finding:  # fmt: skip
    rows = frame() if rows is None else rows
    dropped = dropped or {}
    given = given or facts(rows=len(rows) + sum(dropped.values()))
    findings = check(given, Cleaned(rows, dropped=dropped), by or contract(), previous, today=today)
    (one,) = [f for f in findings if f.check == name and f.column == column]
    return one


def test_good_data_has_no_failed_finding_and_every_check_reports() -> None:
    findings = check(facts(), Cleaned(frame()), contract(), frame())
    assert [f for f in findings if not f.passed] == []
    names = {f.check for f in findings}
    assert names == {
        "raw_columns", "raw_columns_extra", "raw_nulls", "account", "min_rows", "dropped_share",
        "raw_duplicates", "duplicates", "nulls", "type", "minimum", "maximum", "unseen",
    }  # fmt: skip


@pytest.mark.parametrize(("rows", "passed"), [(100, True), (99, False)])
def test_min_rows(rows: int, passed: bool) -> None:
    finding = found("min_rows", rows=frame(rows), by=contract(min_rows=100))
    assert (finding.passed, finding.value, finding.limit) == (passed, rows, 100)


def test_missing_raw_columns_block_and_more_only_warn() -> None:
    given = facts(columns=("place", "price", "broker"))
    missing, extra = found("raw_columns", given=given), found("raw_columns_extra", given=given)
    assert (missing.passed, missing.severity) == (False, "error")
    assert "size" in missing.message
    assert (extra.passed, extra.severity) == (False, "warning")
    assert "broker" in extra.message


@pytest.mark.parametrize(("share", "passed"), [(0.05, True), (0.0501, False)])
@pytest.mark.parametrize("name", ["price", "size"])
def test_raw_nulls_of_required_columns_block_over_the_limit(share: float, passed: bool, name: str) -> None:
    finding = found("raw_nulls", name, given=facts(null_shares={name: share}))
    assert (finding.passed, finding.severity) == (passed, "error")


def test_raw_nulls_of_optional_columns_only_tell() -> None:
    import pandas as pd

    by = Contract(raw_columns=("club",), columns=(CLUB,), min_rows=1)
    finding = found(
        "raw_nulls", "club", by=by, given=facts(columns=("club",), null_shares={"club": 0.41}),
        rows=pd.DataFrame({"club": ["a"] * 100}),
    )  # fmt: skip
    assert finding.passed
    assert finding.limit is None
    assert "41.0%" in finding.message


@pytest.mark.parametrize(("dropped", "passed"), [(25, True), (26, False)])
def test_the_dropped_share_names_the_reasons(dropped: int, passed: bool) -> None:
    finding = found("dropped_share", rows=frame(100 - dropped), dropped={"few": 1, "many": dropped - 1})
    assert finding.passed is passed
    assert finding.value == dropped / 100
    assert f"many {dropped - 1}, few 1" in finding.message


@pytest.mark.parametrize("raw_rows", [99, 101])
def test_rows_that_no_account_explains_block(raw_rows: int) -> None:
    finding = found("account", given=facts(raw_rows))
    assert (finding.passed, finding.severity) == (False, "error")


def test_duplicates_block_after_cleaning_and_only_warn_before() -> None:
    import pandas as pd

    rows = pd.concat([frame(), frame().head(2)], ignore_index=True)
    after = found("duplicates", rows=rows)
    before = found("raw_duplicates", given=facts(duplicate_share=0.04))
    assert (after.passed, after.severity) == (False, "error")
    assert after.value == pytest.approx(2 / 102)
    assert (before.passed, before.severity) == (False, "warning")
    assert found("duplicates", rows=rows.head(101)).passed


@pytest.mark.parametrize("values", [["1"] * 100, [True] * 100, [float("inf")] + [2.0] * 99, [None, "x"] * 50])
def test_what_is_no_finite_number_fails_the_type(values: list) -> None:
    finding = found("type", "price", rows=frame(price=values))
    assert (finding.passed, finding.severity) == (False, "error")


@pytest.mark.parametrize("dtype", ["int64", "float32", "Int64", "Float64", object])
def test_numbers_of_any_kind_pass_the_type(dtype: str) -> None:
    import pandas as pd

    rows = frame(price=pd.Series(range(1, 101)).astype(dtype))
    assert found("type", "price", rows=rows).passed
    assert found("maximum", "price", rows=rows).passed
    assert not found("maximum", "price", rows=rows, by=contract(PRICE.model_copy(update={"maximum": 99}))).passed


def test_a_number_among_categories_fails_the_type() -> None:
    import pandas as pd

    assert not found("type", "place", rows=frame(place=["a"] * 99 + [1])).passed
    assert found("type", "place", rows=frame(place=pd.Categorical(["a"] * 100))).passed


@pytest.mark.parametrize(("value", "check_name"), [(0.99, "minimum"), (100.01, "maximum")])
def test_a_value_out_of_range_blocks_and_is_shown(value: float, check_name: str) -> None:
    finding = found(check_name, "price", rows=frame(price=[value] + [50.0] * 99))
    assert (finding.passed, finding.value) == (False, 1)
    assert f"{value:g}" in finding.message
    assert found(check_name, "price", rows=frame(price=[1.0, 100.0] * 50)).passed


def test_a_null_in_a_required_column_blocks_and_in_an_optional_one_only_over_a_declared_limit() -> None:
    assert not found("nulls", "place", rows=frame(place=[None] + ["a"] * 99)).passed
    rows = frame(club=[None] * 40 + ["a"] * 60)
    assert found("nulls", "club", rows=rows, by=contract(CLUB)).passed
    for limit, passed in ((0.4, True), (0.39, False)):
        declared = Column(name="club", type="category", required=False, max_null_share=limit)
        finding = found("nulls", "club", rows=rows, by=contract(declared))
        assert (finding.passed, finding.severity) == (passed, "error")


def test_a_declared_set_of_values_works_for_a_classification_target() -> None:
    injured = Column(name="injured", type="category", values=("yes", "no"))
    assert found("values", "injured", rows=frame(injured=["yes", "no"] * 50), by=contract(injured)).passed
    finding = found("values", "injured", rows=frame(injured=["yes", "maybe"] * 50), by=contract(injured))
    assert (finding.passed, finding.value) == (False, 50)
    assert "maybe" in finding.message


@pytest.mark.parametrize(("new", "passed"), [(10, True), (11, False)])
def test_unseen_categories_against_the_version_before(new: int, passed: bool) -> None:
    rows = frame(place=["x"] * new + ["p1"] * (100 - new))
    finding = found("unseen", "place", rows=rows, previous=frame())
    assert (finding.passed, finding.severity, finding.value) == (passed, "error", new / 100)
    assert finding.message.endswith(": x"), "what is new is named, within the limit too"


def test_unseen_values_of_an_optional_category_only_warn() -> None:
    rows = frame(club=["new"] * 50 + [None] * 50)
    finding = found("unseen", "club", rows=rows, previous=frame(club=["old"] * 100), by=contract(CLUB))
    assert (finding.passed, finding.severity, finding.value) == (False, "warning", 1.0)


def test_without_a_version_before_nothing_is_unseen() -> None:
    assert "unseen" not in {f.check for f in check(facts(), Cleaned(frame()), contract())}
    # A column that the version before didn't have can't be compared either.
    assert "unseen" not in {f.check for f in check(facts(), Cleaned(frame()), contract(PLACE), frame()[["price"]])}


def test_a_column_that_cleaning_does_not_return_blocks() -> None:
    finding = found("column", "club", by=contract(CLUB))
    assert (finding.passed, finding.severity) == (False, "error")


def test_no_rows_at_all_block_and_break_nothing() -> None:
    import pandas as pd

    empty = frame(0).astype({"price": float, "place": object})
    empty["at"] = pd.Series(dtype=object)
    by = contract(PRICE, PLACE, AT)
    findings = check(facts(50), Cleaned(empty, dropped={"price_missing": 50}), by, frame())
    assert {f.check for f in blocking(findings)} == {"min_rows", "dropped_share"}
    nothing = check(raw_facts(pd.DataFrame(columns=["place", "price", "size"])), Cleaned(empty), contract())
    assert {f.check for f in blocking(nothing)} == {"min_rows"}


@pytest.mark.parametrize("kind", ["datetime64[ns]", "datetime64[s]", object])
@pytest.mark.parametrize(
    ("latest", "passed"),
    [(datetime(2025, 3, 9, 23, 59, 59), True), (datetime(2025, 3, 10), False), (datetime(2026, 3, 9), False)],
)
def test_no_time_lies_after_the_day_of_the_check(latest: datetime, passed: bool, kind: str) -> None:
    import pandas as pd

    rows = pd.DataFrame({"at": pd.Series([datetime(2013, 3, 1), latest]).astype(kind)})
    finding = found("future", "at", rows=rows, by=contract(AT), today=TODAY)
    assert (finding.passed, finding.severity, finding.value) == (passed, "error", 0 if passed else 1)
    assert (f"{latest:%Y-%m-%d %H:%M}" in finding.message) is not passed
    assert found("type", "at", rows=rows, by=contract(AT)).passed


def test_the_day_of_the_check_is_today_unless_it_is_given() -> None:
    import pandas as pd

    now = datetime.now()
    for latest, passed in ((now - timedelta(days=2), True), (now + timedelta(days=2), False)):
        rows = pd.DataFrame({"at": [now - timedelta(days=400), latest]})
        assert found("future", "at", rows=rows, by=contract(AT)).passed is passed


@pytest.mark.parametrize(
    "wrong",
    [
        ["2025-03-08 12:00"] * 4,
        [1741392000.0] * 4,
        [date(2025, 3, 8)] * 4,
        [datetime(2025, 3, 8, tzinfo=UTC)] * 4,
        [True] * 4,
    ],
)
def test_what_is_no_local_time_fails_the_type(wrong: list) -> None:
    import pandas as pd

    # In a column of its own, where pandas may find a type for it, and mixed with what is one.
    for values in (pd.Series(wrong), pd.Series([*wrong, datetime(2025, 3, 8)], dtype=object)):
        rows = pd.DataFrame({"at": values})
        finding = found("type", "at", rows=rows, by=contract(AT))
        assert (finding.passed, finding.severity, finding.value) == (False, "error", 4)
        assert found("future", "at", rows=rows, by=contract(AT), today=TODAY).passed, "another check tells it"


def test_a_null_among_times_is_one_to_the_check_of_nulls_only() -> None:
    import pandas as pd

    rows = pd.DataFrame({"at": [pd.Timestamp("2025-03-08"), pd.NaT]})
    named = {f.check: f.passed for f in check(facts(2), Cleaned(rows), contract(AT), rows, today=TODAY)}
    assert (named["nulls"], named["type"], named["future"]) == (False, True, True)
    assert not {"minimum", "maximum", "values", "unseen"} & named.keys()


def test_one_row_is_checked_like_many() -> None:
    import pandas as pd

    one = pd.DataFrame({"price": [5.0], "place": ["p1"]})
    assert blocking(check(facts(1), Cleaned(one), contract(), one)) == ()


def test_raw_facts_count_nulls_and_repeats() -> None:
    import pandas as pd

    raw = pd.DataFrame({"place": ["a", "a", None, "b"], "price": ["1", "1", None, None]})
    seen = raw_facts(raw)
    assert (seen.rows, seen.columns) == (4, ("place", "price"))
    assert seen.null_shares == {"place": 0.25, "price": 0.5}
    assert seen.duplicate_share == 0.25


@pytest.mark.real_data
def test_the_real_file_keeps_its_contract_with_one_warning_about_repeats() -> None:
    from mlops_assets.products import house_prices
    from mlops_assets.training.data.csv_file import read_rows
    from mlops_assets.training.data.spec import Source

    path = Path(os.environ["MLOPS_REAL_DATA"]) / "bengaluru_house_prices.csv"
    by = Contract(
        raw_columns=house_prices.RAW_COLUMNS,
        columns=(
            Column(name="total_sqft", type="number", minimum=1, maximum=10_000),
            Column(name="location", type="category"),
            Column(name="bhk", type="number", minimum=1, maximum=50),
            Column(name="bath", type="number", minimum=1, maximum=50),
            Column(name="price", type="number", minimum=0.1),
            Column(name="area_type", type="category", required=False),
            Column(name="society", type="category", required=False),
            Column(name="availability", type="category", required=False),
            Column(name="balcony", type="number", required=False, minimum=0),
        ),
    )  # fmt: skip
    raw = read_rows(path, by, Source())
    findings = check(raw_facts(raw), house_prices.clean(raw), by)
    assert blocking(findings) == ()
    assert [f.check for f in findings if not f.passed] == ["raw_duplicates"]
