"""What `runs` uses of Dagster's internals: a new version that changes one fails here, by name.

Each is also covered by an integration test; these say at once which one moved.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest

from mlops_assets.runs.preload import warm_definitions


def parameters(function: object) -> list[str]:
    """Names of a function's parameters."""
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_the_body_of_execute_run_takes_what_we_pass() -> None:
    from dagster._cli.api import _execute_run_command_body

    expected = ["run_id", "instance", "write_stream_fn", "set_exit_code_on_failure"]
    assert parameters(_execute_run_command_body) == expected


def test_storages_can_keep_a_connection() -> None:
    names = parameters(dg.DagsterInstance.optimize_for_webserver)
    assert names == ["self", "statement_timeout", "pool_recycle", "max_overflow"]


def test_the_storage_block_of_an_instance_reference_can_be_replaced() -> None:
    from dagster._core.instance.ref import InstanceRef
    from dagster._serdes import ConfigurableClassData

    assert "storage_data" in InstanceRef._fields
    data = ConfigurableClassData("dagster_postgres", "DagsterPostgresStorage", "{}")
    assert data._replace(config_yaml="a: 1").config_yaml == "a: 1"


def test_the_fallback_reads_its_arguments_from_the_environment() -> None:
    from dagster._cli.api import execute_run_command

    variables = [parameter.envvar for parameter in execute_run_command.params]
    assert "DAGSTER_EXECUTE_RUN_ARGS" in variables


def test_lazy_definitions_are_evaluated_once() -> None:
    calls: list[int] = []

    @dg.definitions
    def defs() -> dg.Definitions:
        calls.append(1)
        return dg.Definitions(assets=[dg.AssetSpec("a")])

    module = ModuleType("lazy_module")
    vars(module)["defs"] = defs
    assert warm_definitions(module)
    assert isinstance(vars(module)["defs"], dg.Definitions)
    assert not calls[1:]


def test_broken_definitions_stay_as_they_are() -> None:
    @dg.definitions
    def defs() -> dg.Definitions:
        raise RuntimeError("broken")

    module = ModuleType("broken_module")
    vars(module)["defs"] = defs
    assert not warm_definitions(module)
    assert vars(module)["defs"] is defs


def test_a_forked_child_finds_the_replaced_definitions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dagster._core.code_pointer import ModuleCodePointer
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    (tmp_path / "warm_product.py").write_text(
        "import dagster as dg\nCALLS = []\n@dg.definitions\ndef defs():\n    CALLS.append(1)\n"
        "    return dg.Definitions(jobs=[dg.define_asset_job('j', '*')], assets=[dg.AssetSpec('a')])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import warm_product

    assert warm_definitions(warm_product)
    pointer = ModuleCodePointer("warm_product", "defs", str(tmp_path))
    repository = ReconstructableRepository(pointer).get_definition()
    assert repository.has_job("j")
    assert warm_product.CALLS == [1]
