"""The overview of scored months and the compatibility mode, on a real PostgreSQL and MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from mlops_assets.batch import files, presented, store
from mlops_assets.products import traffic_anomalies
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.training.released import OnnxModel
from tests.integration.scored_accidents import NAME, Accidents, accidents_in, moved, raw

CHARTS = {"score_histogram", "share_by_month", "trend_by_month", "by_weather", "by_cause", "by_hour", "lowest_scores"}


@pytest.fixture
def accidents(home: Settings, database: Database, tmp_path: Path, mlflow_url: str) -> Accidents:
    """1,500 accidents of two years, and a release trained until June 2024."""
    made = accidents_in(home, database, tmp_path, mlflow_url)
    made.release(made.ingest(raw()))
    return made


def tracked(accidents: Accidents, shown: dict[str, Any]) -> tuple[Any, set[str]]:
    """The MLflow run that a materialization links to, and its artifacts."""
    client = MlflowClient(accidents.resources["tracking"].url)
    run = client.get_run(shown["mlflow_run"].rsplit("/", 1)[-1])
    experiment = client.get_experiment(run.info.experiment_id)
    assert (experiment.name, run.info.status) == ("accident_scores", "FINISHED")
    found = {
        a.path
        for folder in client.list_artifacts(run.info.run_id)
        for a in client.list_artifacts(run.info.run_id, folder.path)
    }
    return run, found


def test_nothing_scored_yet(accidents: Accidents) -> None:
    shown = accidents.make("scores_overview")
    assert shown["said"] == "no month is scored yet"


def test_all_scored_months_are_drawn_kept_and_tracked(accidents: Accidents) -> None:
    accidents.score("2023-01", "2024-12")
    shown = accidents.make("scores_overview")
    months = store.overview(accidents.database, NAME)
    total = sum(month.records for month in months)
    assert (shown["records"], shown["Months"], shown["Release"]) == (total, "2023-01 to 2024-12", "1")
    assert shown["Trained on"] == "2023-01 to 2024-06"
    assert shown["page"].endswith(f"/scores/{NAME}/report")
    assert all(shown[name].startswith("![chart](data:image/png;base64,") for name in CHARTS)
    folder = accidents.storage.at(NAME, "scores", "overview")
    assert set(folder.names()) == {f"{name}.png" for name in CHARTS} | {"scores.html", "summary.md"}
    assert folder.read_bytes("summary.md").decode() == shown["summary"]

    run, artifacts = tracked(accidents, shown)
    assert artifacts == {f"scores/{name}" for name in folder.names()}
    after = [month for month in months if not month.in_training]
    assert run.data.tags["kind"] == "scores"
    assert run.data.metrics["anomaly_rate"] == sum(m.anomalies for m in after) / sum(m.records for m in after)
    assert run.data.metrics["anomaly_rate_overall"] == sum(m.anomalies for m in months) / total
    assert run.data.metrics["records"] == total
    assert run.data.params == {"release": "1", "data_version": "1"}


def test_reasons_stand_beside_the_records_that_they_are_of(accidents: Accidents) -> None:
    accidents.score("2024-01", "2024-12")
    months, lowest = store.overview(accidents.database, NAME), store.lowest(accidents.database, NAME)
    frame = presented.frame(accidents.product, months, lowest, accidents.storage)
    told = frame[frame["reasons"].notna()]
    assert len(told) == len(lowest) == 12 * 5
    expected = {(low.at, low.score, "; ".join(low.reasons)) for low in lowest}
    assert {
        (at.to_pydatetime(), s, r) for at, s, r in zip(told["at"], told["anomaly_score"], told["reasons"], strict=True)
    } == expected
    assert set(frame.loc[frame["in_training"], "at"].dt.month) == set(range(1, 7))


def test_an_overview_of_empty_months_and_of_two_records(accidents: Accidents) -> None:
    accidents.ingest(pd.concat([raw(), moved(raw().head(2), "03/05/2013 11:00:00 AM")]))
    accidents.score("2013-01", "2013-02")
    shown = accidents.make("scores_overview")
    assert (shown["records"], shown["anomalies"]) == (0, 0)
    accidents.score("2013-03")
    shown = accidents.make("scores_overview")
    assert shown["records"] == 2
    assert "2013-03" in shown["summary"]


def test_a_changed_file_of_scores_stops_the_overview(accidents: Accidents) -> None:
    accidents.score("2024-11")
    (month,) = store.overview(accidents.database, NAME)
    *folders, name = month.file.split("/")
    accidents.storage.at(NAME, "scores", *folders).write_bytes(name, b"")
    with pytest.raises(files.ScoredFileError, match="score its month again"):
        accidents.make("scores_overview")


def test_compatibility_scores_are_those_of_the_plain_script(accidents: Accidents) -> None:
    shown = accidents.make("compatibility_scores")
    rows = traffic_anomalies.clean(raw()).rows
    numeric, categorical = list(traffic_anomalies.NUMERIC), list(traffic_anomalies.CATEGORICAL)
    plain = ColumnTransformer(
        [("n", SimpleImputer(strategy="median"), numeric), ("c", OneHotEncoder(), categorical)], sparse_threshold=0
    )
    matrix = plain.fit_transform(rows)
    score = IsolationForest(n_estimators=20, random_state=42).fit(matrix).decision_function(matrix)
    assert shown["records"] == len(rows)
    assert shown["anomalies"] == (score < 0).sum()
    assert shown["mean_score"] == pytest.approx(score.mean(), abs=1e-4)

    months = store.overview(accidents.database, NAME, store.COMPATIBILITY)
    assert sum(month.records for month in months) == len(rows)
    assert {(month.release, month.in_training) for month in months} == {(None, True)}
    kept = files.read(accidents.storage, NAME, months[0].file, months[0].file_sha256)
    assert len(kept) == len(rows)
    assert set(kept.columns) == {*rows.columns, "anomaly_score", "anomaly_pred"}
    assert sorted(kept["anomaly_score"]) == pytest.approx(sorted(score), abs=1e-9)
    assert store.lowest(accidents.database, NAME, store.COMPATIBILITY, limit=1)[0].score == pytest.approx(score.min())
    assert store.overview(accidents.database, NAME) == [], "production's scores are others"
    assert "nothing to compare with" in shown["difference"]

    run, artifacts = tracked(accidents, shown)
    assert {"model/model.onnx", "scores/scores.html", "scores/share_by_month.png"} <= artifacts
    assert run.data.params["trees"] == "20"
    assert run.data.metrics["n_anomalies"] == (score < 0).sum()
    assert run.data.metrics["min_score"] == pytest.approx(score.min(), abs=1e-6)
    local = MlflowClient(accidents.resources["tracking"].url).download_artifacts(run.info.run_id, "model/model.onnx")
    answers = OnnxModel(Path(local).read_bytes()).predict(kept)
    assert answers["anomaly_score"] == pytest.approx(kept["anomaly_score"].to_numpy(), abs=1e-6)


def test_compatibility_is_shown_beside_production_and_replaces_itself(accidents: Accidents) -> None:
    accidents.score("2024-01", "2024-12")
    shown = accidents.make("compatibility_scores")
    scored = sum(month.records for month in store.overview(accidents.database, NAME))
    assert f"| {scored:,} | records that both scored |" in shown["beside_production"]
    assert "hour_sin" in shown["difference"]
    assert "trained on records to 2024-06 only" in shown["difference"]
    before = store.overview(accidents.database, NAME, store.COMPATIBILITY)
    rows = raw()
    accidents.ingest(rows[~rows["crash_date"].str.match("0[1-6]/.*/2023")])
    accidents.make("compatibility_scores")
    after = store.overview(accidents.database, NAME, store.COMPATIBILITY)
    assert (len(before), len(after)) == (24, 18), "months that are gone are gone"
    assert {month.data_version for month in after} == {2}


def test_the_overview_follows_the_scores_by_itself(accidents: Accidents) -> None:
    definitions = accidents.definitions()
    instance = accidents.instance
    accidents.make("scores_overview")
    first = dg.evaluate_automation_conditions(definitions, instance=instance)
    assert first.total_requested == 0
    accidents.score("2024-11")
    then = dg.evaluate_automation_conditions(definitions, instance=instance, cursor=first.cursor)
    assert then.get_requested_partitions(dg.AssetKey([NAME, "scores_overview"])) == {None}
    assert then.total_requested == 1, "neither scores nor the compatibility mode are made by it"
    again = dg.evaluate_automation_conditions(definitions, instance=instance, cursor=then.cursor)
    assert again.total_requested == 0
