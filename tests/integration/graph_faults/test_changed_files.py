"""Files that changed after they were written are refused by their hash, and the message says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg

from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.training.released import RELEASE_FILE
from mlops_assets.training.spec import Product
from tests.integration.conftest import Materialize
from tests.integration.graph_faults.loans_run import told


def _flip(path: Path) -> None:
    """Change one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_a_file_changed_between_the_stages_is_refused_by_its_hash(
    stages: Callable[..., dg.ExecuteInProcessResult], home: Settings, database: Database
) -> None:
    assert stages("dataset", "features", "model", "metrics").success
    product = Path(home.storage) / "loans"
    table = next((product / "features").glob("*.parquet"))
    pickle, graph = next((product / "models").rglob("*.joblib")), next((product / "models").rglob("*.onnx"))
    rows = next((product / "datasets").rglob("rows.parquet"))
    cases = [(rows, ["features"]), (table, ["model", "metrics", "release"])]
    cases += [(pickle, ["metrics", "release"]), (graph, ["metrics", "release"])]
    for path, readers in cases:
        whole = path.read_bytes()
        for spoil in (_flip, lambda p: p.write_bytes(p.read_bytes()[:-7]), lambda p: p.unlink()):
            spoil(path)
            for stage in readers:
                result = stages(stage)
                assert not result.success, (path.name, stage)
                assert str(path) in told(result), (path.name, stage, told(result))
            path.write_bytes(whole)
    assert Ledger(database).state("loans").seq == 0
    assert stages("release").success


def test_a_damaged_production_release_stops_metrics_with_a_way_out(
    materialize: Materialize, loans: Product, loans_file: Path, home: Settings, database: Database
) -> None:
    materialize(loans, loans_file)
    before = Ledger(database).state("loans")
    folder = Path(home.storage) / "loans" / "releases" / "1"
    for name in ("model.onnx", RELEASE_FILE):
        whole = (folder / name).read_bytes()
        for content in (whole[: len(whole) // 2], b"", None):
            (folder / name).unlink()
            if content is not None:
                (folder / name).write_bytes(content)
            result = materialize(loans, loans_file, raise_on_error=False)
            assert not result.success
            words = told(result)
            assert "production's release 1 of loans" in words
            assert f"releases/1/{name}" in words
            assert "promote another" in words
        (folder / name).write_bytes(whole)
    assert Ledger(database).state("loans") == before
    assert materialize(loans, loans_file).success
