"""The product that batch scoring belongs to, read from the same folder; what is refused, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from pydantic import ValidationError

from mlops_assets.batch.component import BatchComponent, product_of
from mlops_assets.batch.policy import BatchPolicy
from mlops_assets.training.catalogue import DeclarationError

PRODUCT = """\
type: mlops_assets.training.component.ProductComponent

attributes:
  name: parcels
  title: Parcels
  owner: team:parcels
  functions: mlops_assets.products.traffic_anomalies
  contract: {raw_columns: [sent_at], columns: [{name: sent_at, type: time}, {name: size, type: number}]}
  features: {numeric: [size]}
  gates: []
"""
ANOMALY = "  task: anomaly\n  detector: {time: sent_at}\n"
REGRESSION = "  target: {column: size}\n  search: {candidates: [{family: linear}]}\n"
BATCH = (
    "---\ntype: mlops_assets.batch.component.BatchComponent\n\nattributes: {product: parcels, first_month: 2024-01}\n"
)


def policy(**changes: object) -> BatchPolicy:
    return BatchPolicy.model_validate({"product": "parcels", "first_month": "2024-01", **changes})


def declared(folder: Path, text: str) -> Path:
    (folder / "defs.yaml").write_text(text)
    return folder


def component(folder: Path, **changes: object) -> dg.Definitions:
    given = policy(**changes)
    resources = {name: object() for name in ("settings", "database", "storage", "tracking")}
    made = BatchComponent(product_of(given, folder), given).build_defs(dg.ComponentTree.for_test().load_context)
    features = dg.AssetSpec(["parcels", "features"])
    return dg.Definitions.merge(made, dg.Definitions(assets=[features], resources=resources))


def test_it_belongs_to_the_product_beside_it(tmp_path: Path) -> None:
    folder = declared(tmp_path, PRODUCT + ANOMALY + BATCH)
    assert product_of(policy(), folder).title == "Parcels"
    graph = component(folder).resolve_asset_graph()
    made = {key.to_user_string() for key in graph.materializable_asset_keys}
    assert made == {"parcels/scores", "parcels/scores_overview"}, "no compatibility mode unless it is declared"
    months = graph.get(dg.AssetKey(["parcels", "scores"])).partitions_def
    assert months is not None
    assert months.get_first_partition_key() == "2024-01"
    assert months.get_last_partition_key() == f"{datetime.now(UTC):%Y-%m}", "the month that isn't over yet, too"


def test_the_compatibility_mode_comes_when_it_is_declared(tmp_path: Path) -> None:
    folder = declared(tmp_path, PRODUCT + ANOMALY + BATCH)
    made = component(folder, compatibility={"numeric": ["size"]}).resolve_asset_graph().materializable_asset_keys
    assert dg.AssetKey(["parcels", "compatibility_scores"]) in made


def test_without_the_product_it_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="no product of that name is declared there") as said:
        product_of(policy(), declared(tmp_path, BATCH.removeprefix("---\n")))
    assert str(tmp_path) in str(said.value)
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=r"letters.*it declares parcels"):
        product_of(policy(product="letters"), declared(tmp_path, PRODUCT + ANOMALY))


def test_a_product_that_finds_no_anomalies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="whose task is regression"):
        product_of(policy(), declared(tmp_path, PRODUCT + REGRESSION))


def test_a_damaged_declaration_is_told_by_file_and_field(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"defs\.yaml.*detector"):
        product_of(policy(), declared(tmp_path, PRODUCT + "  task: anomaly\n"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_month": "2024-13"},
        {"first_month": "2024-1"},
        {"max_rate": 0},
        {"top": 0},
        {"product": "../etc"},
        {"firstmonth": "2024-01"},
        {"compatibility": {"trees": 1}},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        policy(**wrong)
