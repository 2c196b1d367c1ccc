"""Keys and tokens are made once, readable by their owner only, and never replaced."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_assets.installation.secret_files import (
    KEY_FILE,
    TOKEN_FILE,
    MissingSecretError,
    inner_token,
    operator_token,
    prepare,
)
from mlops_assets.settings import INNER_TOKEN_FILE


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_they_are_private_and_stay_what_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    prepare(folder)
    first = contents(folder)
    prepare(folder)
    assert contents(folder) == first
    assert set(first) == {KEY_FILE, TOKEN_FILE, INNER_TOKEN_FILE}
    assert len(bytes.fromhex(first[KEY_FILE].strip())) == 32
    assert operator_token(folder) == first[TOKEN_FILE].strip() != ""
    assert inner_token(folder) == first[INNER_TOKEN_FILE].strip() != operator_token(folder)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert (modes, stat.S_IMODE(folder.stat().st_mode)) == ({0o600}, 0o700)


def test_two_installations_have_different_ones(tmp_path: Path) -> None:
    for name in ("one", "other"):
        prepare(tmp_path / name)
    assert contents(tmp_path / "one") != contents(tmp_path / "other")


def test_starts_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: (prepare(tmp_path), operator_token(tmp_path))[1], range(16)))
    assert len(set(seen)) == 1


def test_a_host_without_the_orchestrator_makes_up_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    with pytest.raises(MissingSecretError, match=str(folder / KEY_FILE)):
        prepare(folder, generate=False)
    assert not folder.exists()
    prepare(tmp_path / "orchestrator")
    (tmp_path / "orchestrator").rename(folder)
    given = contents(folder)
    prepare(folder, generate=False)
    assert contents(folder) == given
