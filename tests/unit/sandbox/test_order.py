"""Orders that can't be carried out are refused with the stage's name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.sandbox.order import Limits, StageOrder, StoredValue

NOTHING = StoredValue("none", None, 0, "", "None")


@pytest.mark.parametrize(
    "fields",
    [
        {"stage": "a b"},
        {"stage": "class"},
        {"stage": "../x"},
        {"source": None},
        {"function": "m:f"},
        {"source": None, "function": "m"},
        {"source": None, "function": "m:f()"},
        {"source": None, "function": "file.py:run"},
        {"arguments": {"a-b": NOTHING}},
        {"environment": {"A=B": "x"}},
        {"environment": {"A": "x\0y"}},
        {"folder": Path("relative")},
    ],
)
def test_bad_orders(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="stage"):
        StageOrder(**{"stage": "train", "folder": Path("/x"), "source": "def run(): ...", **fields})


@pytest.mark.parametrize("field", ["memory_mb", "cpu_seconds", "wall_seconds", "output_mb", "log_mb", "processes"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_limits_name_the_field(field: str, value: float) -> None:
    wrong: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=field):
        replace(Limits(), **wrong)
