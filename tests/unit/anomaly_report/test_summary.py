"""Figures of scored records, by hand for small frames; nothing breaks on empty ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops_assets.anomaly_report import summary
from tests.unit.anomaly_report.scored import CASES, GROUPS, scored, trained


def test_overall() -> None:
    row = summary.overall(scored(10, 2).assign(anomaly_score=np.arange(10.0))).iloc[0]
    assert row[["records", "normal", "anomalies"]].tolist() == [10, 8, 2]
    assert row[["rate", "min_score", "max_score", "mean_score"]].tolist() == [0.2, 0.0, 9.0, 4.5]


def test_overall_of_nothing_has_no_rate() -> None:
    row = summary.overall(scored(0)).iloc[0]
    assert row["records"] == 0
    assert np.isnan(row["rate"])
    assert np.isnan(row["mean_score"])


def test_months_without_records_are_shown_and_one_row_is_a_month() -> None:
    frame = pd.concat([scored(1, 1, "2013-03-05"), scored(4, 0, "2013-06-01", days=5)])
    months = summary.by_month(frame)
    assert months["month"].tolist() == ["2013-03", "2013-04", "2013-05", "2013-06"]
    assert months["records"].tolist() == [1, 0, 0, 4]
    assert months["anomalies"].tolist() == [1, 0, 0, 0]
    assert months["rate"].tolist()[::3] == [1.0, 0.0]
    assert months["rate"][1:3].isna().all()


def test_records_without_a_date_are_in_no_month_and_said() -> None:
    frame = scored(5, 0, days=5)
    frame.loc[0, "at"] = pd.NaT
    assert summary.by_month(frame)["records"].tolist() == [4]
    assert "Without a date, so in no month: 1." in summary.as_markdown(frame, GROUPS)


def test_months_and_totals_tell_what_the_model_was_trained_on() -> None:
    frame = trained(pd.concat([scored(100, 4, "2024-01-01", days=31), scored(50, 1, "2024-04-01", days=60)]), "2024-01")
    months = summary.by_month(frame)
    # February and March had no records; they are as the month before them.
    assert months["in_training"].tolist() == [True, True, True, False, False]
    totals = summary.totals(frame)
    assert totals[["months", "records", "anomalies"]].to_numpy().tolist() == [
        ["all", 150, 5], ["trained on", 100, 4], ["after training", 50, 1],
    ]  # fmt: skip
    lines = summary.as_markdown(frame, {}).splitlines()
    assert any(line.startswith("| after training | 50 | 49 | 1 | 2.0 % |") for line in lines)
    assert [line.split(" | ")[-1] for line in lines if line.startswith("| 2024-")] == [*["no |"] * 2, *["yes |"] * 3]


def test_nothing_is_said_of_training_when_it_is_not_known() -> None:
    assert "train" not in summary.as_markdown(scored(100), GROUPS)
    assert summary.totals(scored(100)).equals(summary.overall(scored(100)))


def test_groups_under_fifty_records_are_one_row_at_the_end() -> None:
    values = ["CLEAR"] * 100 + ["RAIN"] * 50 + ["SNOW"] * 49 + ["FOG"] * 3 + [None] * 2
    frame = scored(204).assign(sky=values, anomaly_pred=[1] * 100 + [-1] + [1] * 49 + [-1] * 54)
    groups = summary.by_group(frame, "sky")
    assert groups["value"].tolist() == ["RAIN", "CLEAR", "3 others, each under 50 records"]
    assert groups["records"].tolist() == [50, 100, 54]
    assert groups["rate"].tolist() == [0.02, 0.0, 1.0]
    assert summary.by_group(frame, "sky", least=1)["value"].tolist() == [
        "SNOW", "FOG", summary.MISSING, "RAIN", "CLEAR",
    ]  # fmt: skip


def test_wilson_is_the_known_interval() -> None:
    # 1 of 10 and 0 of 10, as tables give them.
    low, high = summary.wilson(np.array([1, 0, 10, 0]), np.array([10, 10, 10, 0]))
    assert low[:3] == pytest.approx([0.0179, 0.0, 0.7225], abs=1e-4)
    assert high[:3] == pytest.approx([0.4042, 0.2775, 1.0], abs=1e-4)
    assert np.isnan(low[3])
    assert np.isnan(high[3])


def test_weekday_and_hour_are_those_of_the_time() -> None:
    at = pd.to_datetime(["2024-06-02T00:59", "2024-06-09T00:00", "2024-06-03T23:30", None])
    frame = scored(4).assign(at=at, anomaly_pred=[-1, 1, 1, -1])
    records, odd = summary.by_hour(frame)
    assert records.loc["Sunday", 0] == 2
    assert odd.loc["Sunday", 0] == 1
    assert records.loc["Monday", 23] == 1
    assert (records.to_numpy().sum(), odd.to_numpy().sum()) == (3, 1)


def test_dates_of_the_frame_and_their_weekday_agree() -> None:
    frame = scored(400)
    records, _ = summary.by_hour(frame)
    named = frame["at"].dt.day_name().value_counts()
    assert records.sum(axis=1).to_dict() == named.to_dict()


@pytest.mark.parametrize("case", list(CASES))
def test_the_histogram_holds_every_record_on_its_side_of_the_threshold(case: str) -> None:
    frame = CASES[case]
    for threshold in (0.0, 0.0517):
        bars = summary.by_score(frame, threshold)
        below = bars.loc[bars["high"] <= threshold + 1e-9, "records"].sum()
        assert bars["records"].sum() == len(frame)
        assert below == (frame["anomaly_score"] < threshold).sum()


@pytest.mark.parametrize("case", list(CASES))
def test_markdown_of_every_case(case: str) -> None:
    frame = CASES[case]
    text = summary.as_markdown(frame, GROUPS)
    assert "### All records" in text
    assert f"| {len(frame):,} |" in text
    assert "nan" not in text.lower()


def test_markdown_says_what_the_frame_holds() -> None:
    frame = scored(2000, 2, "2024-05-01", days=20).assign(sky="CLEAR")
    lines = summary.as_markdown(frame, GROUPS).splitlines()
    assert "| 2,000 | 1,998 | 2 | 0.10 % |" in lines[4]
    assert any(line.startswith("| 2024-05 | 2,000 | 2 | 0.10 % |") for line in lines)
    assert any(line.startswith("| CLEAR | 2,000 | 2 | 0.10 % | 0.03 % | 0.36 % |") for line in lines)


def test_values_cannot_break_out_of_a_markdown_table() -> None:
    frame = scored(60).assign(sky="a|b <img src=x>\n[x](http://y)")
    text = summary.as_markdown(frame, GROUPS)
    assert r"| a\|b \<img src=x\> \[x\](http://y) |" in text


def test_a_group_s_word_is_text_too_and_unknown_columns_are_left_out() -> None:
    text = summary.as_markdown(scored(60), {"sky": "a|b", "nowhere": "place"})
    assert r"### By a\|b" in text
    assert r"| a\|b |" in text
    assert "place" not in text


def test_lowest_is_stable() -> None:
    frame = scored(4).assign(anomaly_score=[0.2, 0.1, 0.1, 0.3])
    assert summary.lowest(frame, 3).index.tolist() == [1, 2, 0]
