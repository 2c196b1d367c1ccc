"""Old runs leave Dagster, and nothing that rests on them gets lost."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from mlops_assets.retention.dagster_runs import sweep
from mlops_assets.retention.round import Swept
from mlops_assets.rollout.ledger import Ledger
from tests.integration.retention.old_platform import PRODUCT, OldPlatform

KEY = dg.AssetKey([PRODUCT, "model"])


def logs_of(old: OldPlatform, run_id: str) -> Path:
    """The folder of what a run printed."""
    return Path(old.instance.compute_log_manager.get_log_metadata([run_id, "x"]).stdout_location).parent  # type: ignore[arg-type]


def test_an_old_run_goes_with_events_and_output_and_the_newest_of_an_asset_stays(old: OldPlatform) -> None:
    first, second = old.run("model"), old.run("model")
    young = old.run("features", days=10)
    (newest,) = old.instance.fetch_materializations(KEY, limit=1).records
    logs = logs_of(old, first)
    logs.mkdir(parents=True, exist_ok=True)
    (logs / "x.out").write_text("hello")
    before = old.runs()
    assert sweep(old.round(apply=False)) == Swept(removed=1, kept=1)
    assert old.runs() == before, "a dry run changes nothing"
    assert sweep(old.round()) == Swept(removed=1, kept=1)
    assert old.runs() == {second, young}
    assert old.events(first) == 0
    assert not logs.exists()
    assert old.rows("SELECT count(*) FROM dagster.run_tags WHERE run_id = :run", run=first) == [(0,)]
    assert old.instance.fetch_materializations(KEY, limit=1).records == [newest]
    assert sweep(old.round()) == Swept(kept=1)


def test_each_partition_keeps_the_run_that_made_it_except_where_our_own_tables_list_them(old: OldPlatform) -> None:
    again, other = old.run("scores", partition="2024-01"), old.run("scores", partition="2024-02")
    newest = old.run("scores", partition="2024-01")
    hours = [old.run("prediction_log", partition=hour) for hour in ("01", "02", "03")]
    sweep(old.round())
    assert old.runs() == {other, newest, hours[-1]}
    assert again not in old.runs()
    made = old.instance.get_materialized_partitions(dg.AssetKey([PRODUCT, "scores"]))
    assert made == {"2024-01", "2024-02"}


def test_the_run_of_a_release_stays_and_that_of_one_never_published_goes(old: OldPlatform) -> None:
    published, reserved, newest = old.run("model"), old.run("model"), old.run("model")
    old.data_version()
    ledger = Ledger(old.database)
    ledger.reserve(PRODUCT, published, 1)
    ledger.reserve(PRODUCT, reserved, 1)
    ledger.publish(PRODUCT, 1, "here", {"runs": {"dagster": published}}, actor="training")
    assert sweep(old.round()) == Swept(removed=1, kept=2)
    assert old.runs() == {published, newest}


def test_what_a_sensor_asked_for_last_stays_or_it_would_ask_again(old: OldPlatform) -> None:
    first = old.run("model", **{"dagster/sensor_name": "watch", "dagster/run_key": "a"})
    last = old.run("model", **{"dagster/sensor_name": "watch", "dagster/run_key": "b"})
    by_hand = old.run("model")
    newest = old.run("model")
    sweep(old.round())
    assert old.runs() == {last, newest}, (first, by_hand)


def test_tries_of_the_same_run_stay_or_go_together(old: OldPlatform) -> None:
    first = old.run("model")
    young = old.run("model", days=3, **{"dagster/root_run_id": first, "dagster/parent_run_id": first})
    assert sweep(old.round()) == Swept(kept=1)
    old.age(young, 600)
    newest = old.run("model")
    # Both tries are known by their first one, which a round may not tear apart.
    assert sweep(old.round()) == Swept(removed=2, kept=1)
    assert old.runs() == {newest}


def test_a_run_that_has_not_ended_stays(old: OldPlatform) -> None:
    run = old.run("model")
    newest = old.run("model")
    old.execute("UPDATE dagster.runs SET status = 'STARTED' WHERE run_id = :run", run=run)
    assert sweep(old.round()) == Swept(kept=1)
    assert old.runs() == {run, newest}


def test_a_run_stays_while_a_file_of_it_is_there_and_its_rows_go_with_it(old: OldPlatform) -> None:
    run = old.run("model")
    old.run("model")
    pipeline, artifact = uuid4(), uuid4()
    old.execute(
        "INSERT INTO mlops.pipeline (id, name, revision, version, active, created_by) "
        "VALUES (:id, 'p', 1, 1, true, 'x')",
        id=pipeline,
    )
    old.execute(
        "INSERT INTO mlops.artifact (id, pipeline_id, pipeline_version, run_id, stage, attempt, is_result, name, type, "
        "storage, format, size, sha256, type_name, uri, metadata, preview) "
        "VALUES (:id, :p, 1, :run, 's', 1, true, 's', 'MODEL', 'local', 'json', 1, :sha, 'int', 'here', '{}', '{}')",
        id=artifact,
        p=pipeline,
        run=run,
        sha="0" * 64,
    )
    assert sweep(old.round()) == Swept(kept=2)
    old.execute("UPDATE mlops.artifact SET uri = NULL, removed_at = now()")
    assert sweep(old.round()) == Swept(removed=1, kept=1)
    assert old.rows("SELECT count(*) FROM mlops.artifact") == [(0,)]


def test_a_removal_that_was_killed_is_finished_by_the_next(old: OldPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [old.run("model") for _ in range(4)]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(old.instance), "delete_run", killed)
        with pytest.raises(KeyboardInterrupt):
            sweep(old.round())
    assert old.events(runs[0]) == 0
    assert runs[0] in old.runs(), "its record goes last, so that the next round finds it"
    assert sweep(old.round()) == Swept(removed=3, kept=1)
    assert old.runs() == {runs[-1]}


def test_when_the_time_is_over_the_rest_waits(old: OldPlatform) -> None:
    for _ in range(3):
        old.run("model")
    assert sweep(old.round(seconds=0)) == Swept(kept=1, unfinished=True)
    assert len(old.runs()) == 3


def test_more_than_one_batch_goes_in_one_round(old: OldPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops_assets.retention.dagster_runs.BATCH", 2)
    runs = [old.run("model") for _ in range(7)]
    assert sweep(old.round()) == Swept(removed=6, kept=1)
    assert old.runs() == {runs[-1]}
