"""Figures of scored records: in all, by month, by group, by hour and weekday, by score; as frames and as Markdown.

A scored frame has a row per record: `at` (datetime64, local time, NaT if it isn't known), `anomaly_score` (lower is
odder), `anomaly_pred` (-1 for an anomaly, 1 for others); if they are known `reasons` (text of one line) and
`in_training` (bool: the model was trained on the record's month); and columns to group by. `groups` maps these to the
word that people use: {"weather_condition": "weather"}.
Add a figure here when a chart or a table needs it. Keep out drawing (`charts`, `interactive`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# Groups with fewer rows are told together: a rate of 10 rows says nothing.
LEAST_ROWS = 50
Z = 1.959964  # of a 95 % interval
MISSING = "(missing)"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def overall(scored: pd.DataFrame) -> pd.DataFrame:
    """One row: records, normal, anomalies, rate (0 … 1), min_score, max_score, mean_score; NaN of no records."""
    import pandas as pd

    records, anomalies = len(scored), int(_is_anomaly(scored).sum())
    score = scored["anomaly_score"].astype(float)
    return pd.DataFrame(
        {
            "records": [records],
            "normal": [records - anomalies],
            "anomalies": [anomalies],
            "rate": [anomalies / records if records else np.nan],
            "min_score": [score.min()],
            "max_score": [score.max()],
            "mean_score": [score.mean()],
        }
    )


def totals(scored: pd.DataFrame) -> pd.DataFrame:
    """`overall`; of a frame with `in_training` a row each for all records, those trained on and those after training.

    Then the first column, months, says which.
    """
    import pandas as pd

    if "in_training" not in scored:
        return overall(scored)
    trained = scored["in_training"].to_numpy(dtype=bool)
    parts = {"all": scored, "trained on": scored[trained], "after training": scored[~trained]}
    table = pd.concat([overall(rows) for rows in parts.values()], ignore_index=True)
    table.insert(0, "months", list(parts))
    return table


def by_month(scored: pd.DataFrame) -> pd.DataFrame:
    """A row per month from the first to the last, empty ones too; records without a date are left out.

    month ("2023-07"), records, anomalies, rate with its interval low … high, mean_score, median_score and low_score
    (1 % of the records score lower). NaN where a month has no records. Of a frame with `in_training` also this, which
    an empty month has from the one before it.
    """
    import pandas as pd

    month = scored["at"].dt.to_period("M")
    table = _rates(scored, month)
    score = scored["anomaly_score"].astype(float).groupby(month)
    table["median_score"], table["low_score"] = score.median(), score.quantile(0.01)
    if len(table):
        table = table.reindex(pd.period_range(table.index.min(), table.index.max(), freq="M"))
    if "in_training" in scored:
        trained = scored["in_training"].astype(bool).groupby(month).any()
        table["in_training"] = trained.reindex(table.index, method="ffill")
    table[["records", "anomalies"]] = table[["records", "anomalies"]].fillna(0).astype(int)
    table.insert(0, "month", [str(period) for period in table.index])
    return table.reset_index(drop=True)


def by_group(scored: pd.DataFrame, column: str, least: int = LEAST_ROWS) -> pd.DataFrame:
    """A row per value of a category: value, records, anomalies, rate, low, high, mean_score; highest rate first.

    Values with fewer than `least` rows are one row, the last: "3 others, each under 50 records".
    """
    values = scored[column].astype(object)
    values = values.where(values.notna(), MISSING).astype(str)
    rows = values.value_counts()
    rare = sorted(rows.index[rows < least])
    rest = f"{len(rare)} others, each under {least} records" if len(rare) > 1 else "".join(rare)
    table = _rates(scored, values.where(~values.isin(rare), rest))
    table.insert(0, "value", table.index.astype(str))
    table = table.sort_values(["rate", "records", "value"], ascending=[False, False, True])
    last = table["value"] == rest if rare else np.zeros(len(table), dtype=bool)
    return _joined([table[~last], table[last]])


def by_hour(scored: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and anomalies, each as a frame of 7 weekdays (Monday first) × 24 hours; without those without a time."""
    import pandas as pd

    # Arrays, for months that were put together may count their rows anew.
    day, hour = scored["at"].dt.dayofweek.to_numpy(), scored["at"].dt.hour.to_numpy()
    odd = _is_anomaly(scored).to_numpy()

    def grid(rows: Any) -> pd.DataFrame:
        counts = pd.crosstab(day[rows], hour[rows])
        shown = counts.reindex(index=range(7), columns=range(24), fill_value=0).astype(int)
        return shown.set_axis(list(WEEKDAYS), axis=0)

    return grid(odd | True), grid(odd)


def by_score(scored: pd.DataFrame, threshold: float = 0.0, bins: int = 60) -> pd.DataFrame:
    """A histogram: low, high, records; the threshold is an edge, so that no bar lies on both sides of it."""
    import pandas as pd

    score = scored["anomaly_score"].to_numpy(dtype=float)
    score = score[np.isfinite(score)]
    if not len(score):
        return pd.DataFrame({"low": [], "high": [], "records": []}, dtype=float)
    first, last = min(score.min(), threshold), max(score.max(), threshold)
    width = (last - first) / bins or 0.01
    # Steps from the threshold, with room for the lowest and the highest score whatever rounding does.
    steps = np.arange(np.floor((first - threshold) / width - 1e-6), np.floor((last - threshold) / width) + 2)
    edges = threshold + width * steps
    records, _ = np.histogram(score, edges)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "records": records})


def lowest(scored: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """The records with the lowest scores, lowest first; equal ones in their order."""
    return scored.sort_values("anomaly_score", kind="stable").head(most)


def as_markdown(scored: pd.DataFrame, groups: Mapping[str, str]) -> str:
    """The whole summary: in all, by month (newest first), and by each of the groups that the frame has."""
    undated = int(scored["at"].isna().sum())
    months = by_month(scored)[::-1]
    shown = months[["month", "records", "anomalies", "rate", "mean_score"]]
    if "in_training" in months:
        shown = shown.assign(trained_on=["yes" if trained else "no" for trained in months["in_training"]])
    parts = ["### All records", table(totals(scored)), "### By month", table(shown)]
    if undated:
        parts.append(f"Without a date, so in no month: {undated:,}.")
    for column, word in groups.items():
        if column in scored:
            parts += [f"### By {escaped(word)}", table(by_group(scored, column).rename(columns={"value": word}))]
    return "\n\n".join(parts) + "\n"


def table(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table; rates in %, scores with 4 digits, text escaped. Says so when it has no rows."""
    if frame.empty:
        return "No records."
    head = [escaped(name.replace("_", " ")) for name in frame.columns]
    lines = [head, ["---:" if is_number(frame[name]) else "---" for name in frame.columns]]
    columns = [[written(name, value) for value in frame[name]] for name in frame.columns]
    lines += [[escaped(cell) for cell in row] for row in zip(*columns, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(column: str, value: Any) -> str:
    """A cell as people read it."""
    if isinstance(value, str):
        return value
    if not np.isfinite(value):
        return "–"
    if column in ("rate", "low", "high"):
        return percent(float(value))
    return f"{value:.4f}" if "score" in column else f"{value:,}"


def is_number(column: pd.Series) -> bool:
    """Whether a column of a table stands to the right."""
    return column.dtype.kind in "if"


def percent(share: float) -> str:
    """Two digits below 1 %, one below 10 %."""
    value = 100 * share
    return f"{value:.2f} %" if value < 1 else f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def dated(at: Any) -> str:
    """A record's time, to the minute."""
    return "no date" if at is None or at != at else f"{at:%Y-%m-%d %H:%M}"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: values come from files and requests."""
    plain = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>&|#~" else sign for sign in plain)


def wilson(anomalies: Any, records: Any) -> tuple[Any, Any]:
    """The 95 % interval of a rate (Wilson 1927), for numbers or arrays; NaN of no records.

    Unlike rate ± 2 errors it stays within 0 … 1 and says how high the rate may be when none was seen.
    """
    count = np.asarray(records, dtype=float)
    n = np.where(count > 0, count, np.nan)
    rate = np.asarray(anomalies, dtype=float) / n
    middle = (rate + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * np.sqrt(rate * (1 - rate) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def _rates(scored: pd.DataFrame, keys: Any) -> pd.DataFrame:
    import pandas as pd

    odd = _is_anomaly(scored).groupby(keys)
    rates = pd.DataFrame({"records": odd.size(), "anomalies": odd.sum().astype(int)})
    rates["rate"] = rates["anomalies"] / rates["records"]
    rates["low"], rates["high"] = wilson(rates["anomalies"], rates["records"])
    rates["mean_score"] = scored["anomaly_score"].astype(float).groupby(keys).mean()
    return rates


def _is_anomaly(scored: pd.DataFrame) -> pd.Series:
    return scored["anomaly_pred"] == -1


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(tables).reset_index(drop=True)
