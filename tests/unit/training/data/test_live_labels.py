"""Labels as lines of a raw file: how many, written so that reading gives them back, and nothing that breaks it."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlops_assets.products import house_prices as hp
from mlops_assets.products.samples.house_prices import generate
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.data import csv_file, live_labels
from mlops_assets.training.data.live_labels import Label
from mlops_assets.training.data.raw_file import SourceError
from mlops_assets.training.data.sources import Fetched
from mlops_assets.training.data.spec import LiveLabels
from mlops_assets.training.spec import Product
from tests.shop import loans

HOME = {
    "total_sqft": 1056.5,
    "location": "Whitefield",
    "bhk": 2,
    "bath": 2,
    "area_type": "Plot Area",
    "availability": "18-Dec",
    "balcony": 1,
    "society": "GrrvaGr",
}
FEW = LiveLabels(min_rows=1)
ROWS = 40

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
optional_text = st.none() | text
homes = st.fixed_dictionaries(
    {
        "total_sqft": st.floats(300, 9_999.99),
        "location": text,
        "bhk": st.integers(1, 30),
        "bath": st.integers(1, 32),
        "area_type": st.sampled_from([None, *hp.AREA_TYPES]),
        "availability": st.sampled_from([None, "18-Dec", "Ready To Move", "immediate possession"]),
        "balcony": st.none() | st.integers(0, 20),
        "society": optional_text,
    }
)


def product(labels: LiveLabels | None = FEW, **source: Any) -> Product:
    declared = declared_products()[0]
    return declared.model_copy(update={"source": declared.source.model_copy(update={"live_labels": labels, **source})})


def fetched(folder: Path, data: bytes | None = None) -> Fetched:
    path = folder / "raw.csv"
    path.write_bytes(generate(ROWS, 3).to_csv(index=False).encode() if data is None else data)
    data = path.read_bytes()
    return Fetched(path, hashlib.sha256(data).hexdigest(), len(data), "/data/listings.csv", "listings")


def added(
    declared: Product, source: Fetched, labels: list[Label], module: Any = hp
) -> tuple[Fetched, int, pd.DataFrame]:
    """The file with labels, how many, and its rows as the next step reads them."""
    raw = csv_file.read_rows(source.path, declared.contract, declared.source)
    got, count = live_labels.append(declared, module, labels, source, raw)
    return got, count, csv_file.read_rows(got.path, declared.contract, declared.source)


def homes_sold(count: int) -> list[Label]:
    return [Label(HOME | {"total_sqft": 900.0 + n}, 50.0 + n) for n in range(count)]


@settings(deadline=None)
@given(homes, st.floats(1e-6, 1e9))
def test_cleaning_gives_back_the_request_and_the_price(home: dict[str, Any], price: float) -> None:
    home = home | {"bath": min(home["bath"], home["bhk"] + 2)}
    assume(home["total_sqft"] / home["bhk"] >= 300)
    assume(home["location"].strip() and home["location"].split())
    record = hp.Request.model_validate(home).model_dump()
    assume(record["location"].split())
    cleaned = hp.clean(pd.DataFrame([{k: v or None for k, v in hp.as_raw(record, price).items()}], dtype=object))
    assert cleaned.dropped == {}
    (row,) = cleaned.rows.to_dict("records")
    assert row["price"] == price
    for name in ("total_sqft", "bhk", "bath", "area_type", "availability"):
        assert row[name] == record[name], name
    assert row["location"] == " ".join(record["location"].split())
    assert (row["society"] or "") == " ".join((record["society"] or "").split())
    assert math.isnan(row["balcony"]) if record["balcony"] is None else row["balcony"] == record["balcony"]
    again = {name: None if value != value else value for name, value in row.items()}
    assert hp.features(again) == pytest.approx(hp.features(record), nan_ok=True), "the model sees the same home"


def test_a_row_is_spelled_as_the_raw_file_spells_it() -> None:
    assert hp.as_raw(HOME | {"total_sqft": 1056.0}, 39.07) == {
        "area_type": "Plot Area", "availability": "18-Dec", "location": "Whitefield", "size": "2 BHK",
        "society": "GrrvaGr", "total_sqft": "1056", "bath": "2", "balcony": "1", "price": "39.07",
    }  # fmt: skip
    assert hp.as_raw(HOME | {"total_sqft": 1e-7}, 1e16)["total_sqft"] == "0.0000001"


@settings(deadline=None)
@given(st.lists(st.tuples(text, text), min_size=1, max_size=5))
def test_whatever_users_typed_is_read_back_as_one_row_each(
    tmp_path_factory: pytest.TempPathFactory, typed: list[tuple[str, str]]
) -> None:
    source = fetched(tmp_path_factory.mktemp("raw"))
    labels = [Label(HOME | {"location": f"x{one}y", "society": f"x{two}y"}, 50.0) for one, two in typed]
    _, count, rows = added(product(), source, labels)
    wanted = list(dict.fromkeys((f"x{one}y", f"x{two}y") for one, two in typed))
    assert count == len(wanted)
    assert list(rows[["location", "society"]].tail(count).itertuples(index=False, name=None)) == wanted


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_file_keeps_its_own_bytes_and_gets_lines_of_its_kind(
    tmp_path: Path, newline: str, ended: bool, mark: str
) -> None:
    table = generate(ROWS, 3)[["price", "size", *[c for c in hp.RAW_COLUMNS if c not in ("price", "size")]]]
    table.insert(2, "agent", "Ann, Bo & Söhne")
    text = mark + table.to_csv(index=False, lineterminator=newline)
    data = (text if ended else text.removesuffix(newline)).encode()
    source = fetched(tmp_path, data)
    got, count, rows = added(product(), source, homes_sold(3))
    written = got.path.read_bytes()
    assert source.path.read_bytes() == data
    assert written.startswith(data)
    assert written.count(b"\r\n") == (ROWS + 4 if newline == "\r\n" else 0)
    assert (got.sha256, got.bytes) == (hashlib.sha256(written).hexdigest(), len(written))
    assert (got.location, got.description) == ("/data/listings.csv + 3 live labels", "listings + 3 live labels")
    assert (count, len(rows), list(rows.columns)) == (3, ROWS + 3, list(table.columns))
    assert rows["price"].tail(3).tolist() == ["50", "51", "52"]
    assert rows["size"].tail(3).tolist() == ["2 BHK"] * 3
    assert rows["agent"].tail(3).isna().all(), "a column that as_raw doesn't know is empty"


def test_equal_labels_give_equal_bytes(tmp_path: Path) -> None:
    source = fetched(tmp_path)
    assert added(product(), source, homes_sold(9))[0].sha256 == added(product(), source, homes_sold(9))[0].sha256


@pytest.mark.parametrize(("labels", "least", "expected"), [(9, 10, 0), (10, 10, 10), (0, 1, 0)])
def test_with_too_few_labels_the_file_is_untouched(tmp_path: Path, labels: int, least: int, expected: int) -> None:
    source = fetched(tmp_path)
    got, count, _ = added(product(LiveLabels(min_rows=least)), source, homes_sold(labels))
    assert count == expected
    assert (got is source) is (expected == 0)


def test_there_are_at_most_a_share_of_the_sources_rows_the_newest_first(tmp_path: Path) -> None:
    source = fetched(tmp_path)
    _, count, rows = added(product(LiveLabels(min_rows=1, max_share=0.1)), source, homes_sold(100))
    assert count == int(0.1 * ROWS)
    assert rows["price"].tail(count).tolist() == ["50", "51", "52", "53"]
    _, count, _ = added(product(FEW, max_rows=ROWS + 2), source, homes_sold(100))
    assert count == 2, "never more than the product reads"
    _, count, _ = added(product(FEW, max_rows=ROWS), source, homes_sold(100))
    assert count == 0


def test_a_label_that_cleaning_or_contract_refuses_stays_out_and_another_takes_its_place(tmp_path: Path) -> None:
    """Else a few users could have every training of the product refused."""
    wrong = [
        Label(HOME | {"total_sqft": 20_000.0}, 50.0),
        Label(HOME | {"bhk": 1, "bath": 9}, 50.0),
        Label(HOME | {"total_sqft": 100.0}, 50.0),
        Label(HOME | {"bhk": 0}, 50.0),
        Label({"was": "asked of an older version"}, 50.0),
    ]
    good = homes_sold(30)
    mixed = [label for pair in zip(wrong * 6, good, strict=True) for label in pair]
    _, count, rows = added(product(), fetched(tmp_path), mixed)
    assert count == ROWS / 2
    assert rows["price"].tail(count).tolist() == [f"{50 + n}" for n in range(count)]


def test_values_out_of_the_contracts_range_stay_out(tmp_path: Path) -> None:
    declared = product()
    columns = tuple(
        c.model_copy(update={"maximum": 60.0}) if c.name == "price" else c for c in declared.contract.columns
    )
    strict = declared.model_copy(update={"contract": declared.contract.model_copy(update={"columns": columns})})
    _, count, rows = added(strict, fetched(tmp_path), homes_sold(20))
    assert count == 11
    assert rows["price"].tail(count).astype(float).max() == 60


def test_a_home_that_was_told_of_twice_is_one_row(tmp_path: Path) -> None:
    _, count, _ = added(product(), fetched(tmp_path), homes_sold(3) * 4)
    assert count == 3


def test_a_product_that_takes_none_gets_none(tmp_path: Path) -> None:
    source = fetched(tmp_path)
    assert added(product(None), source, homes_sold(9))[:2] == (source, 0)
    assert live_labels.read(product(None), None) == []  # type: ignore[arg-type]


def test_a_product_without_as_raw_or_with_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"house_prices: source.live_labels needs as_raw\(record, actual\) in mlops"):
        live_labels.row_function(product(), loans)
    classes = product().model_copy(update={"task": "classification"})
    with pytest.raises(SourceError, match="needs a regression"):
        live_labels.row_function(classes, hp)
    other = SimpleNamespace(Request=hp.Request, clean=hp.clean, as_raw=lambda *_: {"colour": "red"})
    with pytest.raises(SourceError, match="columns that the file lacks: colour"):
        added(product(), fetched(tmp_path), homes_sold(2), other)


def test_a_cleaning_that_changes_what_as_raw_wrote_is_refused(tmp_path: Path) -> None:
    """Its labels would be other prices than users told."""
    rupees = SimpleNamespace(
        Request=hp.Request,
        as_raw=lambda r, actual: hp.as_raw(r, actual) | {"price": f"{actual * 1e5:.0f}"},
        clean=hp.clean,
    )
    with pytest.raises(SourceError, match="clean doesn't give back the price that as_raw wrote"):
        added(product(), fetched(tmp_path), homes_sold(3), rupees)


@pytest.mark.parametrize("wrong", [{"days": 0}, {"max_share": 1.5}, {"per_user": 0}, {"min_rows": 0}, {"share": 1}])
def test_nonsense_in_the_declaration_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LiveLabels.model_validate(wrong)
