"""What of data versions needs no database; the rest is in tests/integration/test_datasets.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.training.data.versions import cleaning_version


def test_the_cleaning_version_follows_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    seen = []
    for name, body in (("one", "return 1"), ("two", "return 2")):
        (tmp_path / f"cleaning_{name}.py").write_text(f"def clean(raw):\n    {body}\n")
        module = __import__(f"cleaning_{name}")
        assert cleaning_version(module.clean) == cleaning_version(module.clean)
        seen.append(cleaning_version(module.clean))
    assert len(set(seen)) == 2
