"""Files of runs that are gone, of hours that are old enough, and what was never finished: removed, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from mlops_assets.retention import dagster_runs, leftovers, log_files, run_files, run_logs
from mlops_assets.retention.round import Swept
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.files import Storage
from tests.integration.retention.old_platform import OLD, PRODUCT, OldPlatform, aged

EXPORTED = """
INSERT INTO mlops.log_export (product, hour, predictions, feedback, uri, max_batch)
VALUES (:product, :hour, 1, 0, 'u', 1)
"""
HOUR = "INSERT INTO mlops.log_hour (product, hour, predictions, feedback, max_batch) VALUES (:product, :hour, 1, 0, 1)"
MONTH = """
INSERT INTO mlops.scored_month (product, mode, month, data_version, rows_sha256, in_training, records, anomalies,
  groups, hours, file, file_sha256)
VALUES (:product, 'production', '2024-01-01', 1, :sha, false, 1, 0, '{}', '{}', :file, :sha)
"""


def of_run(old: OldPlatform, run: str, days: float = OLD) -> list[Path]:
    """What the stages of a run leave."""
    return [
        old.file(PRODUCT, "features", f"{run}.parquet", days=days),
        old.file(PRODUCT, "features", f"{run}.months.json", days=days),
        old.file(PRODUCT, "charts", run, "scatter.png", days=days),
        old.file(PRODUCT, "models", run, "model.joblib", days=days),
    ]


def test_files_go_when_dagster_no_longer_tells_of_their_run(old: OldPlatform) -> None:
    gone, left = old.run("model"), old.run("model")
    files, others = of_run(old, gone), of_run(old, left)
    stays = [old.file(PRODUCT, "charts", "drift.png"), old.file(PRODUCT, "releases", "1", "model.onnx")]
    records = Path(old.settings.storage, "references", PRODUCT, "model")
    aged(records / f"{gone}.json", OLD)
    dagster_runs.sweep(old.round())
    assert run_files.sweep(old.round(apply=False)).removed == 5
    assert all(path.exists() for path in files)
    swept = run_files.sweep(old.round())
    assert (swept.removed, swept.failed) == (5, 0)
    assert swept.bytes > 4 * 5
    assert not any(path.exists() for path in files)
    assert all(path.exists() for path in [*others, *stays])
    assert [path.stem for path in records.iterdir()] == [left]
    assert run_files.sweep(old.round()) == Swept()


def test_features_stay_that_a_model_which_stays_was_trained_on(old: OldPlatform) -> None:
    features = old.run("features")
    old.run("features")
    model = old.run("model", uses=features)
    (table, *_) = of_run(old, features)
    dagster_runs.sweep(old.round())
    assert features not in old.runs()
    assert run_files.sweep(old.round()).removed == 0
    assert table.exists()
    newer = old.run("model")
    dagster_runs.sweep(old.round())
    assert model not in old.runs()
    aged(Path(old.settings.storage, "references", PRODUCT, "model", f"{model}.json"), OLD)
    run_files.sweep(old.round())
    run_files.sweep(old.round())
    assert not table.exists(), newer


def test_files_of_a_run_that_a_restored_database_does_not_know_stay_while_they_are_young(old: OldPlatform) -> None:
    (table, *_) = of_run(old, str(uuid4()), days=5)
    assert run_files.sweep(old.round()) == Swept()
    assert table.exists()


def test_what_runs_printed_goes_sooner_than_they_do(old: OldPlatform) -> None:
    printed = []
    for days in (100, 80):
        path = old.settings.logs / "runs" / str(uuid4()) / "compute_logs" / "x.out"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"hello")
        aged(path, days)
        aged(path.parent, days)
        printed.append(path)
    assert run_logs.sweep(old.round()).removed == 1
    assert [path.exists() for path in printed] == [False, True]


def hour_of(old: OldPlatform, days: float) -> tuple[datetime, Path]:
    """An exported hour so long ago, with its file."""
    hour = (datetime.now(UTC) - timedelta(days=days)).replace(hour=7, minute=0, second=0, microsecond=0)
    old.execute(EXPORTED, product=PRODUCT, hour=hour)
    folder = (PRODUCT, "prediction_log", f"date={hour:%Y-%m-%d}", "hour=07")
    old.file(*folder, "feedback.parquet")
    return hour, old.file(*folder, "predictions.parquet")


def test_old_hours_of_the_log_go_with_their_rows_unless_the_log_still_has_them(old: OldPlatform) -> None:
    _, gone = hour_of(old, 1200)
    held, kept = hour_of(old, 1300)
    young, file = hour_of(old, 1000)
    old.execute(HOUR, product=PRODUCT, hour=held)
    # A day whose rows a restored database has not, and nobody asked for an hour in it.
    stray = old.file(PRODUCT, "prediction_log", "date=2020-02-03", "hour=23", "predictions.parquet")
    assert log_files.sweep(old.round(apply=False)) == Swept(removed=3, bytes=15, kept=1)
    assert gone.exists()
    assert log_files.sweep(old.round()) == Swept(removed=3, bytes=15, kept=1)
    assert not gone.parent.parent.exists()
    assert not stray.parent.parent.exists()
    assert kept.exists()
    assert file.exists()
    assert old.rows("SELECT hour FROM mlops.log_export ORDER BY hour") == [(held,), (young,)]


def test_hours_whose_files_went_before_a_kill_are_forgotten_by_the_next_round(
    old: OldPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour_of(old, 1200)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(log_files, "_remove_empty", killed)
        with pytest.raises(KeyboardInterrupt):
            log_files.sweep(old.round())
    assert old.rows("SELECT count(*) FROM mlops.log_export") == [(1,)]
    log_files.sweep(old.round())
    assert old.rows("SELECT count(*) FROM mlops.log_export") == [(0,)]


def test_scores_that_a_newer_run_replaced_go(old: OldPlatform) -> None:
    newest = old.file(PRODUCT, "scores", "production", "2024-01", "1-aa.parquet")
    before = old.file(PRODUCT, "scores", "production", "2024-01", "1-bb.parquet")
    just = old.file(PRODUCT, "scores", "production", "2024-01", "2-cc.parquet", days=1)
    page = old.file(PRODUCT, "scores", "overview", "scores.html")
    old.execute(MONTH, product=PRODUCT, sha="0" * 64, file="production/2024-01/1-aa.parquet")
    assert leftovers.replaced_scores(old.round()) == Swept(removed=1, bytes=5)
    assert [path.exists() for path in (newest, before, just, page)] == [True, False, True, True]


def test_a_release_that_nobody_published_leaves_no_files_and_its_number_stays_given(old: OldPlatform) -> None:
    old.data_version()
    ledger = Ledger(old.database)
    ledger.reserve(PRODUCT, "a", 1)
    ledger.reserve(PRODUCT, "b", 1)
    ledger.publish(PRODUCT, 2, "here", {}, actor="training")
    left = [old.file(PRODUCT, kind, "1", "x") for kind in ("releases", "references")]
    published = [old.file(PRODUCT, kind, "2", "x") for kind in ("releases", "references")]
    assert leftovers.unpublished_releases(old.round()) == Swept(), "its run may be at work"
    old.execute("UPDATE mlops.release SET created_at = now() - interval '31 days'")
    assert leftovers.unpublished_releases(old.round()).removed == 2
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in published)
    assert ledger.reserve(PRODUCT, "c", 1) == 3


def test_what_a_killed_process_was_writing_goes(old: OldPlatform) -> None:
    left = old.file(PRODUCT, "datasets", ".0123.partial", days=3)
    at_work = old.file(PRODUCT, "datasets", ".4567.partial", days=0)
    assert leftovers.partial_files(old.round()) == Swept(removed=1, bytes=5)
    assert [path.exists() for path in (left, at_work)] == [False, True]


def test_code_that_no_stage_used_for_long_goes_whole(old: OldPlatform) -> None:
    folder = old.settings.repositories / ("0" * 32)
    for digit, days in (("a", 100), ("b", 10)):
        (folder / (digit * 40)).mkdir(parents=True)
        (folder / (digit * 40) / "x.py").write_bytes(b"12345")
        aged(folder / (digit * 40) / "x.py", days)
    begun = folder / f".{'c' * 40}.0123"
    begun.mkdir()
    aged(begun, 3)
    assert leftovers.checkouts(old.round()).removed == 2
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["b" * 40]


def test_the_same_in_an_object_store(old: OldPlatform, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3["endpoint_url"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3["secret"])
    storage = Storage(f"s3://store/{uuid4()}")
    far = OldPlatform(old.tables, Settings(home=old.settings.home, storage_url=storage.url))
    gone, left = far.run("model"), far.run("model")
    for run in (gone, left):
        storage.at(PRODUCT, "models", run).write_bytes("model.onnx", b"12345")
    dagster_runs.sweep(far.round())
    assert run_files.sweep(far.round()) == Swept(), "just written, whatever Dagster knows"
    # A store's times can't be set; the round can be of another day.
    later = far.round()
    object.__setattr__(later, "now", later.now + timedelta(days=OLD))
    assert run_files.sweep(later).removed == 2
    assert not storage.at(PRODUCT, "models", gone).exists("model.onnx")
    assert storage.at(PRODUCT, "models", left).exists("model.onnx")
    assert storage.at("references", PRODUCT, "model").names() == (f"{left}.json",)
    assert run_files.sweep(later) == Swept()
    assert log_files.sweep(later) == leftovers.partial_files(later) == leftovers.replaced_scores(later) == Swept()
