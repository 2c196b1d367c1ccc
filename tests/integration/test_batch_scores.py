"""Months scored by Dagster on a real PostgreSQL: once each, in time, whole after a kill, and never by guesswork."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from sqlalchemy.exc import StatementError

from mlops_assets.batch import files, groups, scorer, scoring, store
from mlops_assets.batch.figures import Counts
from mlops_assets.batch.months import EMPTY, between, day_of
from mlops_assets.products import traffic_anomalies
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, ScoredMonth
from mlops_assets.training.columns import records
from tests.integration.scored_accidents import NAME, Accidents, accidents_in, moved, raw

ALL = ("2023-01", "2024-12")


@pytest.fixture
def accidents(home: Settings, database: Database, tmp_path: Path) -> Accidents:
    return accidents_in(home, database, tmp_path)


@pytest.fixture
def released(accidents: Accidents) -> Accidents:
    """1,500 accidents of two years, and a release trained until June 2024."""
    accidents.release(accidents.ingest(raw()))
    return accidents


def kept(accidents: Accidents) -> dict[str, ScoredMonth]:
    return {f"{month.month:%Y-%m}": month for month in store.overview(accidents.database, NAME)}


def rows_of(accidents: Accidents, month: ScoredMonth) -> pd.DataFrame:
    return files.read(accidents.storage, NAME, month.file, month.file_sha256)


def shown(result: dg.ExecuteInProcessResult) -> dict[str | None, dict[str, Any]]:
    events = result.get_asset_materialization_events()
    return {e.partition: {k: v.value for k, v in e.materialization.metadata.items()} for e in events}


def refusal(accidents: Accidents, month: str) -> str:
    """Why scoring the month fails."""
    done = accidents.score(month, raise_on_error=False)
    assert not done.success
    (failed,) = done.get_step_failure_events()
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None
    return str(failure.description)


def test_a_range_is_scored_by_month_with_reasons_and_apart_from_training(released: Accidents) -> None:
    result = released.score(*ALL)
    months = kept(released)
    assert tuple(months) == between(*ALL)
    assert {m for m, row in months.items() if row.in_training} == set(between("2023-01", "2024-06"))
    release = scorer.production(released.product, released.database, released.storage)
    for name, row in months.items():
        rows = rows_of(released, row)
        assert list(rows.columns) == [*traffic_anomalies.RAW_COLUMNS, "anomaly_score", "anomaly_pred"]
        assert set(rows["crash_date"].dt.strftime("%Y-%m")) == {name}
        columns = pd.DataFrame([traffic_anomalies.features(r) for r in records(rows)])
        assert np.array_equal(rows["anomaly_score"], release.model.score(columns))
        assert (row.records, row.anomalies) == (len(rows), int((rows["anomaly_pred"] == -1).sum()))
        assert row.mean_score == pytest.approx(rows["anomaly_score"].mean())
        weather = rows.groupby("weather_condition").size().to_dict()
        assert {value: counts[0] for value, counts in row.groups["weather_condition"].items()} == weather
        assert np.sum(row.hours["records"]) == len(rows)
        (day, hour) = rows["crash_date"].dt.dayofweek[0], rows["crash_date"].dt.hour[0]
        assert row.hours["records"][day][hour] > 0
        lows = store.lowest(released.database, NAME, month=row.month)
        assert [low.score for low in lows] == sorted(rows["anomaly_score"])[:5]
        assert all(low.reasons and low.at.strftime("%Y-%m") == name for low in lows)
    told = shown(result)["2024-11"]
    assert (told["records"], told["release"], told["in_training"]) == (months["2024-11"].records, 1, False)
    assert told["preview"].count("\n") == 6
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.severity) == ("rate_gate", dg.AssetCheckSeverity.WARN)


def test_a_kept_record_is_the_one_of_the_file_and_its_reasons_are_told(released: Accidents) -> None:
    released.score("2024-11")
    rows = rows_of(released, kept(released)["2024-11"]).sort_values("anomaly_score", kind="stable")
    low = store.lowest(released.database, NAME)[0]
    assert low.record["crash_date"] == rows["crash_date"].iloc[0].isoformat()
    assert low.record["num_units"] == rows["num_units"].iloc[0]
    assert isinstance(low.record["num_units"], int)
    request = traffic_anomalies.Request(**low.record)
    assert request.crash_date == low.at, "what is kept can be asked for again"


def test_scoring_again_gives_the_same_bytes_and_one_row(released: Accidents) -> None:
    released.score(*ALL)
    before = kept(released)
    released.score(*ALL)
    after = kept(released)
    assert {m: (r.file, r.file_sha256) for m, r in before.items()} == {
        m: (r.file, r.file_sha256) for m, r in after.items()
    }
    folder = released.storage.at(NAME, "scores", "production", "2024-11")
    assert len(folder.names()) == 1
    assert folder.sha256(folder.names()[0]) == after["2024-11"].file_sha256
    assert len(store.lowest(released.database, NAME, month=day_of("2024-11"))) == 5
    alone = released.score("2024-11")
    assert kept(released)["2024-11"].file_sha256 == after["2024-11"].file_sha256, "alone as within a range"
    assert list(shown(alone)) == ["2024-11"]


def test_few_rows_in_memory_give_the_same_bytes_figures_and_reasons(
    released: Accidents, monkeypatch: pytest.MonkeyPatch
) -> None:
    released.score(*ALL)
    before, lows = kept(released), store.lowest(released.database, NAME)
    monkeypatch.setattr(groups, "PIECE_ROWS", 97)
    most = max(month.records for month in before.values())
    released.policy = released.policy.model_copy(update={"rows_in_memory": most})
    in_memory: list[int] = []
    score = scoring.score

    def counted(*given: Any) -> scoring.Scored:
        in_memory.append(len(given[2]))
        return score(*given)

    monkeypatch.setattr(scoring, "score", counted)
    released.score(*ALL)
    assert len(in_memory) > 10
    assert max(in_memory) == most
    assert sum(in_memory) == sum(month.records for month in before.values())
    for name, month in kept(released).items():
        same = ("file", "file_sha256", "rows_sha256", "records", "anomalies", "mean_score", "groups", "hours")
        assert [getattr(month, what) for what in same] == [getattr(before[name], what) for what in same]
    after = store.lowest(released.database, NAME)
    assert [(a.score, a.reasons, a.record) for a in after] == [(b.score, b.reasons, b.record) for b in lows]
    released.score("2024-11")
    assert kept(released)["2024-11"].file_sha256 == before["2024-11"].file_sha256


def test_a_kill_between_file_and_row_leaves_what_a_rerun_completes(
    released: Accidents, monkeypatch: pytest.MonkeyPatch
) -> None:
    released.score("2024-09")
    save, calls = store.save, []

    def killed(database: Database, months: Sequence[store.Month]) -> None:
        calls.append(months)
        if len(calls) == 2:
            raise KeyboardInterrupt
        save(database, months)

    monkeypatch.setattr(scoring, "TOGETHER", 2)
    monkeypatch.setattr(store, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        released.score("2024-08", "2024-12")
    monkeypatch.undo()
    assert set(kept(released)) == {"2024-08", "2024-09"}, "what was kept is whole"
    (written,) = released.storage.at(NAME, "scores", "production", "2024-10").names()
    released.score("2024-08", "2024-12")
    months = kept(released)
    assert set(months) == set(between("2024-08", "2024-12"))
    assert months["2024-10"].file.endswith(written)
    for row in months.values():
        assert len(rows_of(released, row)) == row.records


def test_what_fails_within_the_transaction_keeps_the_month_as_it_was(released: Accidents) -> None:
    released.score("2024-11")
    month, before = kept(released)["2024-11"], store.lowest(released.database, NAME)
    broken = store.Month(
        product=NAME,
        mode=store.PRODUCTION,
        month=month.month,
        release=9,
        data_version=9,
        rows_sha256=EMPTY,
        in_training=True,
        figures=Counts.of(rows_of(released, month), "crash_date", (), np.zeros(month.records)).figures(slice(0, 0)),
        file="",
        file_sha256=EMPTY,
        lowest=(store.Lowest(datetime(2024, 11, 1), 0.0, ("why",), {"not JSON": object()}),),
    )
    with pytest.raises(StatementError):
        store.save(released.database, [broken])
    after = store.lowest(released.database, NAME)
    assert [(a.place, a.score, a.record) for a in after] == [(b.place, b.score, b.record) for b in before]
    assert kept(released)["2024-11"].release == 1


def test_a_changed_month_gets_a_file_of_its_own(released: Accidents) -> None:
    released.score(*ALL)
    before = kept(released)
    rows = raw()
    november = rows["crash_date"].str.startswith("11/") & rows["crash_date"].str.contains("/2024")
    released.ingest(pd.concat([rows, moved(rows[november].head(3), "11/02/2024 03:00:00 AM")]))
    released.score("2024-11")
    now = kept(released)["2024-11"]
    assert now.records == before["2024-11"].records + 3
    assert now.rows_sha256 != before["2024-11"].rows_sha256
    assert now.file != before["2024-11"].file
    assert len(rows_of(released, before["2024-11"])) == before["2024-11"].records, "a reader's file is as it was"
    assert now.data_version == 2
    assert kept(released)["2024-10"].data_version == 1


def test_months_of_no_one_and_two_rows(released: Accidents) -> None:
    rows = raw()
    odd = [
        moved(rows.head(2), "03/05/2013 11:00:00 AM"),
        moved(rows.head(1), "07/01/2014 12:00:00 AM"),
    ]
    released.ingest(pd.concat([rows, *odd]))
    result = released.score("2013-01", "2014-07")
    months = kept(released)
    assert [months[m].records for m in ("2013-01", "2013-03", "2014-07")] == [0, 2, 1]
    empty = months["2013-01"]
    assert (empty.min_score, empty.mean_score, empty.low_score, empty.anomalies) == (None, None, None, 0)
    assert (empty.rows_sha256, empty.groups["weather_condition"]) == (EMPTY, {})
    assert list(rows_of(released, empty).columns) == list(rows_of(released, months["2013-03"]).columns)
    two = months["2013-03"]
    assert two.min_score is not None
    assert two.mean_score is not None
    assert len(store.lowest(released.database, NAME, month=day_of("2013-03"))) == 2
    assert "rate" not in shown(result)["2013-01"]
    assert shown(result)["2013-01"]["preview"] == "No records."


def test_unknown_everywhere_is_scored_and_explained(released: Accidents) -> None:
    rows = raw()
    unknown = moved(rows.head(1), "05/05/2020 05:00:00 PM")
    for column in unknown.columns.drop("crash_date"):
        unknown[column] = "UNKNOWN"
    strange = moved(rows.head(1), "05/06/2020 05:00:00 PM").assign(
        weather_condition="RAIN OF FROGS | <b>", first_crash_type="A\0B"
    )
    released.ingest(pd.concat([rows, unknown, strange]))
    result = released.score("2020-05")
    lows = store.lowest(released.database, NAME, month=day_of("2020-05"))
    assert len(lows) == 2
    assert all(np.isfinite(low.score) and low.reasons for low in lows)
    assert {low.record["num_units"] for low in lows} >= {None}
    assert "<b>" not in shown(result)["2020-05"]["preview"].replace("\\<b\\>", "")


def test_without_production_it_says_so(accidents: Accidents) -> None:
    accidents.ingest(raw())
    assert "no production release yet" in refusal(accidents, "2024-11")
    assert kept(accidents) == {}


def test_a_release_that_needs_other_columns_names_them(released: Accidents) -> None:
    released.ingest(raw(), only=("num_units", "crash_hour", "weather_condition"))
    said = refusal(released, "2024-11")
    assert "release-1" in said
    assert "hour_sin" in said
    assert "crash_hour" not in said


def test_a_damaged_release_names_the_file(released: Accidents) -> None:
    released.storage.at(NAME, "releases", "1").write_bytes("reasons.json", b"{}")
    assert "reasons.json isn't the file that was released" in refusal(released, "2024-11")
    assert kept(released) == {}


def test_a_damaged_file_of_scores_is_noticed(released: Accidents) -> None:
    released.score("2024-11")
    month = kept(released)["2024-11"]
    *folders, name = month.file.split("/")
    released.storage.at(NAME, "scores", *folders).write_bytes(name, b"PAR1")
    with pytest.raises(files.ScoredFileError, match="2024-11/release-1-"):
        rows_of(released, month)


def test_a_run_keeps_to_the_release_that_it_loaded(released: Accidents, monkeypatch: pytest.MonkeyPatch) -> None:
    features = released.ingest(raw())
    load = scorer.production

    def then_promoted(*given: Any) -> scorer.Scorer:
        found = load(*given)
        if Ledger(released.database).state(NAME).production == 1:
            released.release(features, until="2024-08", trees=30)
        return found

    monkeypatch.setattr("mlops_assets.batch.scoring.production", then_promoted)
    released.score("2024-07", "2024-08")
    months = kept(released)
    assert {m: (r.release, r.in_training) for m, r in months.items()} == {
        "2024-07": (1, False),
        "2024-08": (1, False),
    }
    released.score("2024-08")
    months = kept(released)
    assert (months["2024-07"].release, months["2024-08"].release, months["2024-08"].in_training) == (1, 2, True)
    assert len(released.storage.at(NAME, "scores", "production", "2024-08").names()) == 2


def test_two_runs_of_the_same_months_at_once_leave_one_of_each(released: Accidents) -> None:
    from concurrent.futures import ThreadPoolExecutor

    features = released.ingest(raw())

    def run(number: int) -> int:
        return len(
            list(
                scoring.score_months(
                    released.product,
                    released.policy,
                    features,
                    between("2024-07", "2024-12"),
                    released.database,
                    released.storage,
                    f"run{number}",
                )
            )
        )

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == [6] * 4
    assert len(kept(released)) == 6
    assert len(store.lowest(released.database, NAME)) == 30
