"""Checks: every declared one gets a result with value, limit and production's value, and no finding is lost."""

from __future__ import annotations

import json
import math
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.products.cleaned import Cleaned
from mlops_assets.training import checks, gates
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.data import contract
from mlops_assets.training.data.contract import Finding, RawFacts
from mlops_assets.training.data.spec import Column, Contract
from mlops_assets.training.records import Measured
from mlops_assets.training.spec import Product

ASSET = dg.AssetKey(["product", "stage"])
NAMES = ["price", "area", "town", "rows", "nulls"]
CELL = st.one_of(st.none(), st.floats(), st.integers(-5, 5), st.text(max_size=3), st.booleans())


@pytest.fixture(scope="module")
def product() -> Product:
    return declared_products()[0]


@st.composite
def judged(draw: st.DrawFn) -> tuple[Contract, tuple[Finding, ...]]:
    """A drawn contract and what it says of drawn rows, which may lack its columns."""
    columns = tuple(
        Column(
            name=name,
            type=draw(st.sampled_from(["number", "category"])),
            required=draw(st.booleans()),
            minimum=draw(st.sampled_from([None, 0.0])),
            maximum=draw(st.sampled_from([None, 3.0])),
            values=draw(st.sampled_from([None, ("a", "b")])),
        )
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    )
    raw = tuple(draw(st.lists(st.sampled_from([*NAMES, "extra"]), min_size=1, unique=True)))
    count = draw(st.integers(0, 4))
    present = draw(st.lists(st.sampled_from(NAMES), unique=True))

    def frame() -> pd.DataFrame:
        cells = st.lists(CELL, min_size=count, max_size=count)
        return pd.DataFrame({name: pd.Series(draw(cells), dtype=object) for name in present})

    declared = Contract(raw_columns=raw, columns=columns)
    facts = RawFacts(count + 1, tuple(present), dict.fromkeys(present, 0.5), 0.2)
    previous = draw(st.sampled_from([None, frame()]))
    return declared, contract.check(facts, Cleaned(frame(), {"no price": 1}), declared, previous)


def specs_of(product: Product, declared: Contract) -> list[dg.AssetCheckSpec]:
    return checks.contract_specs(product.model_copy(update={"contract": declared}), ASSET)


@settings(max_examples=60, deadline=None)
@given(drawn=judged())
def test_every_finding_is_shown_by_a_declared_check(
    product: Product, drawn: tuple[Contract, tuple[Finding, ...]]
) -> None:
    declared, findings = drawn
    specs = specs_of(product, declared)
    assert len({s.name for s in specs}) == len(specs)
    results = list(checks.contract_results(specs, findings, "listings.csv"))
    assert [r.check_name for r in results] == [s.name for s in specs]
    shown = "\n".join(str(r.metadata["findings"].value) for r in results)
    assert all(f.message in shown for f in findings)
    # A run is blocked exactly when some finding with severity error failed, or a check saw nothing.
    blocked = any(not r.passed and r.severity == dg.AssetCheckSeverity.ERROR for r in results)
    empty = any("nothing to look at" in (r.description or "") for r in results)
    assert blocked == (bool(contract.blocking(findings)) or empty)


def test_a_finding_without_a_check_is_refused(product: Product) -> None:
    stray = Finding("type", True, "error", "colour", 0, 0, "colour is text")
    with pytest.raises(ValueError, match="colour_contract"):
        list(checks.contract_results(specs_of(product, product.contract), [stray], "listings.csv"))


def test_a_check_without_a_finding_blocks_and_names_the_file(product: Product) -> None:
    specs = specs_of(product, product.contract)
    results = list(checks.contract_results(specs, [], "listings.csv"))
    assert len(results) == len(specs) > 5
    assert not any(r.passed for r in results)
    assert {r.severity for r in results} == {dg.AssetCheckSeverity.ERROR}
    assert all("listings.csv" in (r.description or "") for r in results)


def test_a_warning_fails_its_check_without_blocking(product: Product) -> None:
    specs = [s for s in specs_of(product, product.contract) if s.name == "duplicates_contract"]
    repeated = Finding("raw_duplicates", False, "warning", None, 0.2, 0.01, "20% of raw rows repeat another")
    fine = Finding("duplicates", True, "error", None, 0, 0.01, "0% of cleaned rows repeat another")
    result = next(checks.contract_results(specs, [repeated, fine], "listings.csv"))
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert "20%" in str(result.description)
    assert "cleaned" not in str(result.description)


def results_of(product: Product, metrics: dict[str, float], production: dict[str, float] | None) -> list[Any]:
    verdicts = [gates.judge(gate, metrics, {}, production) for gate in product.gates]
    return [
        *checks.gate_results(ASSET, verdicts),
        checks.parity_result(ASSET, 1e-6, product.parity_tolerance, 2400),
    ]


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("beside", [True, False])
def test_every_declared_gate_has_a_result_with_value_limit_and_production(
    product: Product, measured: bool, beside: bool
) -> None:
    names = {gate.metric for gate in product.gates}
    metrics = dict.fromkeys(names, 0.81) if measured else {}
    results = results_of(product, metrics, dict.fromkeys(names, 0.8) if beside else None)
    specs = {s.name: s for s in checks.gate_specs(product, ASSET)}
    assert {r.check_name for r in results} == set(specs)
    segmented = {gate.name for gate in product.gates if gate.segment}
    for result in results:
        assert result.metadata["limit"].value
        if result.check_name == checks.PARITY_GATE:
            continue
        assert result.metadata["production"].value == (0.8 if beside else "none yet")
        blocks = result.severity == dg.AssetCheckSeverity.ERROR
        assert blocks == specs[result.check_name].blocking
        if measured and result.check_name not in segmented:
            assert result.metadata["value"].value == 0.81
        else:
            assert not result.passed, "nothing passes unseen"


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_number_that_is_none_fails_its_gate_and_still_makes_an_event(product: Product, value: float) -> None:
    from dagster._core.events import AssetMaterialization
    from graphql import GraphQLFloat

    parity = checks.parity_result(ASSET, value, product.parity_tolerance, 10)
    gate = product.gates[0]
    bounded = gate.model_copy(update={"minimum": 0.0, "maximum": 1.0, "segment": None, "worse_than_production": None})
    verdict = gates.judge(bounded, {gate.metric: value}, {}, {gate.metric: value})
    for result in (parity, next(checks.gate_results(ASSET, [verdict]))):
        assert not result.passed
        event = dg.serialize_value(AssetMaterialization(ASSET, metadata=result.metadata))
        json.loads(event, parse_constant=lambda word: pytest.fail(f"{word} isn't JSON"))
        for entry in result.metadata.values():
            if isinstance(entry, dg.FloatMetadataValue):
                GraphQLFloat.serialize(entry.value)
        assert str(value) in [str(entry.value) for entry in result.metadata.values()]


def test_a_record_with_infinite_parity_survives_its_file() -> None:
    """The parity gate can only block if the record that carries the number can be kept."""
    record = Measured.model_construct(
        metrics={"mae": math.nan}, production_version=None, production_metrics={"mae": 1.5}, parity=math.inf
    )
    read = json.loads(json.dumps(record.model_dump(mode="json", exclude={"model"}), allow_nan=False))
    assert float(read["parity"]) == math.inf
    assert math.isnan(float(read["metrics"]["mae"]))
    assert read["production_metrics"] == {"mae": 1.5}
