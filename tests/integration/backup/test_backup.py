"""A backup is everything, restores into an empty place as it was, and is refused where it can't be trusted."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from mlops_assets.backup import database, files
from mlops_assets.backup.make import backup
from mlops_assets.backup.record import RECORD_FILE, BackupError
from mlops_assets.backup.restore import restore
from mlops_assets.installation.up import InstallationError, exclusive, start
from mlops_assets.settings import Settings
from mlops_assets.storage import revisions
from mlops_assets.storage.files import Storage
from tests.integration.backup.saved_platform import PRODUCT, everything, fill, looked_into, report
from tests.integration.test_migrations import downgrade


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path, dict[str, Any]]:
    """An installation, a backup of it, and what was in it."""
    place = tmp_path_factory.mktemp("saved")
    settings = Settings(home=place / "home")
    fill(settings)
    backup(settings, place / "backup", report())
    return settings, place / "backup", everything(settings)


@pytest.fixture
def copy(saved: tuple[Settings, Path, dict[str, Any]], tmp_path: Path) -> Path:
    """The backup, to be spoiled."""
    return Path(shutil.copytree(saved[1], tmp_path / "copy"))


def change(folder: Path, **values: Any) -> None:
    """Let a backup say something else of itself."""
    path = folder / RECORD_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_all_that_was_lost_is_there_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    fill(settings)
    before = everything(settings)
    made = backup(settings, tmp_path / "backup", report())
    assert made.tables["mlops.ledger"].rows == 2
    assert made.tables["dagster.event_logs"].rows > 0
    shutil.rmtree(settings.home)
    restore(settings, tmp_path / "backup", report())
    assert everything(settings) == before
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0, "others may look at the secrets"


def test_in_another_place_it_is_the_same_with_other_addresses(
    saved: tuple[Settings, Path, dict[str, Any]], tmp_path: Path
) -> None:
    before, folder, held = saved
    settings = Settings(home=tmp_path / "other")
    restore(settings, folder, report())
    assert everything(settings) == held
    with looked_into(settings) as found, found.engine.connect() as connection:
        uris = connection.scalars(text("SELECT uri FROM mlops.release ORDER BY version")).all()
        (place,) = connection.scalars(text("SELECT artifact_location FROM mlflow.experiments"))
    assert [Storage(uri).read_bytes("model.onnx") for uri in uris] == [b"model %d" % n * 1000 for n in (1, 2)]
    assert not any(before.storage in uri for uri in [*uris, place])
    assert place == f"{settings.storage}/mlflow/1"


def test_what_comes_meanwhile_is_in_it_whole_or_not_at_all(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    fill(settings)
    done = threading.Event()
    with looked_into(settings) as found:

        def write() -> None:
            number = 1
            while not done.is_set():
                number += 1
                with found.engine.begin() as connection:
                    for product in ("a", "b"):
                        connection.execute(
                            text("INSERT INTO mlops.dataset_version (product, version, sha256, rows, uri, source, "
                                 "sample) VALUES (:p, :n, :h, 1, 'u', 's', false)"),
                            {"p": product, "n": number, "h": f"{number:064d}"},
                        )  # fmt: skip

        writer = threading.Thread(target=write)
        writer.start()
        try:
            # Up already, as with an installation that works: nothing is started or stopped for it.
            told = Settings(home=settings.home, database_url=settings.database)  # type: ignore[arg-type]
            backup(told, tmp_path / "backup", report())
        finally:
            done.set()
            writer.join(20)
    other = Settings(home=tmp_path / "other")
    restore(other, tmp_path / "backup", report())
    with looked_into(other) as restored, restored.engine.connect() as connection:
        counts = dict(connection.execute(text("SELECT product, count(*) FROM mlops.dataset_version GROUP BY 1")).all())
    assert counts.get("a", 0) == counts.get("b", 0)


def test_a_backup_is_never_mixed_with_anything(saved: tuple[Settings, Path, dict[str, Any]], tmp_path: Path) -> None:
    settings, folder, _ = saved
    with pytest.raises(BackupError, match="not empty: name a new folder"):
        backup(settings, folder, report())
    with pytest.raises(BackupError, match="inside of what is saved"):
        backup(settings, settings.home / "storage" / "mine", report())
    with pytest.raises(BackupError, match="no installation in"):
        backup(Settings(home=tmp_path / "nowhere"), tmp_path / "b", report())
    assert not (tmp_path / "b").exists()


def test_none_is_taken_while_the_installation_starts_or_stops(
    saved: tuple[Settings, Path, dict[str, Any]], tmp_path: Path
) -> None:
    with exclusive(saved[0]), pytest.raises(InstallationError, match="another `mlops up`"):
        backup(saved[0], tmp_path / "backup", report())
    assert not (tmp_path / "backup").exists()


def test_one_that_fails_leaves_nothing_behind(
    saved: tuple[Settings, Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SCHEMAS", ("mlops", "no such schema"))
    with pytest.raises(BackupError, match=r"pg_dump failed: .*no matching schemas"):
        backup(saved[0], tmp_path / "backup", report())
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("revision", ["0009", "0011"])
def test_a_backup_of_an_older_version_is_restored_onto_this_one_and_upgraded(tmp_path: Path, revision: str) -> None:
    old, new = Settings(home=tmp_path / "old"), Settings(home=tmp_path / "new")
    fill(old)
    with looked_into(old) as then:
        downgrade(then, revision)
    made = backup(old, tmp_path / "backup", report())
    # A version number that came before this one's.
    change(tmp_path / "backup", version="0.0.1")
    restore(new, tmp_path / "backup", report())
    with looked_into(new) as restored:
        with restored.engine.connect() as connection:
            assert revisions.revision_of(connection) == revision
        restored.migrate()
        with restored.engine.connect() as connection:
            assert revisions.revision_of(connection) > revision
            assert connection.scalar(text("SELECT count(*) FROM mlops.ledger")) == made.tables["mlops.ledger"].rows


def test_a_restore_writes_over_nothing(saved: tuple[Settings, Path, dict[str, Any]], tmp_path: Path) -> None:
    settings, folder, held = saved
    with pytest.raises(BackupError, match=r"isn't empty: .*secrets/.* more\. Restore into a new MLOPS_HOME"):
        restore(settings, folder, report())
    assert everything(settings) == held
    with looked_into(settings):
        # Only the database is shared.
        other = Settings(home=tmp_path / "other", database_url=settings.database)  # type: ignore[arg-type]
        with pytest.raises(BackupError, match=r"the database isn't empty: dagster\."):
            restore(other, folder, report())
    assert everything(settings) == held


def test_damage_is_named_before_anything_is_written(copy: Path, tmp_path: Path) -> None:
    model = copy / "storage" / PRODUCT / "releases" / "1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    (copy / "home" / "secrets" / "key").unlink()
    settings = Settings(home=tmp_path / "home")
    with pytest.raises(BackupError) as refused:
        restore(settings, copy, report())
    assert "home/secrets/key: No such file" in str(refused.value)
    assert f"storage/{PRODUCT}/releases/1/model.onnx: other content" in str(refused.value)
    assert not settings.home.exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"format": 99}, "in format 99"),
        ({"version": "99.0"}, "mlops_assets 99.0, which is later than"),
        ({"versions": {"dagster": "99.0"}}, "dagster 99.0, which is later than"),
        ({"revision": "9999"}, "tables are at '9999', which version"),
        ({"files": {"../../etc/x": {"bytes": 1, "sha256": ""}}}, "leads out of the backup"),
        ({"files": {"/etc/x": {"bytes": 1, "sha256": ""}}}, "leads out of the backup"),
        ({"tables": 7}, "tables: Input should be"),
    ],
)
def test_a_record_that_cannot_be_followed_is_refused(
    copy: Path, tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    change(copy, **values)
    with pytest.raises(BackupError, match=said):
        restore(Settings(home=tmp_path / "home"), copy, report())
    assert not (tmp_path / "home").exists()


def test_an_unfinished_backup_is_none(copy: Path, tmp_path: Path) -> None:
    (copy / RECORD_FILE).unlink()
    with pytest.raises(BackupError, match="holds no finished backup"):
        restore(Settings(home=tmp_path / "home"), copy, report())


def test_rows_that_differ_from_what_was_saved_are_told(copy: Path, tmp_path: Path) -> None:
    tables = json.loads((copy / RECORD_FILE).read_text())["tables"]
    change(copy, tables=tables | {"mlops.ledger": {"rows": 3, "fingerprint": "1"}})
    with pytest.raises(BackupError, match=r"mlops.ledger \(3 rows saved, 2 restored\)"):
        restore(Settings(home=tmp_path / "home"), copy, report())


def test_after_a_killed_restore_nothing_starts_until_it_was_made_again(
    saved: tuple[Settings, Path, dict[str, Any]], copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "home")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files, "put_back", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(settings, saved[1], report())
    with pytest.raises(InstallationError, match="make it again with `mlops restore`"):
        start(settings, [], report())
    change(copy, made_at="2020-01-01T00:00:00Z")
    with pytest.raises(BackupError, match="the restore of another backup was begun"):
        restore(settings, copy, report())
    restore(settings, saved[1], report())
    assert everything(settings) == saved[2]


def test_files_in_an_object_store_come_along(
    s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3["endpoint_url"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3["secret"])
    settings = Settings(home=tmp_path / "home", storage_url="s3://store/saved")
    fill(settings)
    before = everything(settings)
    backup(settings, tmp_path / "backup", report())
    other = Settings(home=tmp_path / "other", storage_url="s3://store/restored")
    restore(other, tmp_path / "backup", report())
    assert everything(other) == before
    place = Storage("s3://store/restored").at(PRODUCT, "releases", "2")
    assert place.read_bytes("model.onnx") == b"model 2" * 1000
    third = Settings(home=tmp_path / "third", storage_url="s3://store/restored")
    with pytest.raises(BackupError, match=f"isn't empty: storage/{PRODUCT}/releases/1/model.onnx"):
        restore(third, tmp_path / "backup", report())
