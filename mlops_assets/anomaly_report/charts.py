"""PNG charts of scored records, as bytes: what a traffic analyst looks at after a batch.

Each takes a scored frame (see `summary`) of any size, empty too, and says in a line below its title how to read it.
Add a chart here; keep out figures (`summary` has them) and hover (`interactive`). Figures are built as objects, never
through pyplot, so threads and servers are safe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.anomaly_report import canvas, summary
from mlops_assets.anomaly_report.canvas import BLUE, GREY, INK, ORANGE, TEXT_SIZE

if TYPE_CHECKING:
    import pandas as pd

# What each chart shows, those of groups aside; the page uses the same words.
TITLES = {
    "score_histogram": "Scores",
    "share_by_month": "Anomalies by month",
    "trend_by_month": "Scores by month",
    "by_hour": "Anomalies by weekday and hour",
    "lowest_scores": "Lowest scores and why",
}
TRAINED = "shaded: the model was trained on these months"
FEW = summary.LEAST_ROWS
HALF_MONTH = np.timedelta64(15, "D")
ROUNDING = 1e-9


def all_charts(scored: pd.DataFrame, groups: Mapping[str, str], threshold: float = 0.0) -> dict[str, bytes]:
    """Every chart by its name; those of a group that the frame doesn't have are left out.

    Raises ValueError when a group's chart would have the name of another chart.
    """
    return {
        "score_histogram": score_histogram(scored, threshold),
        "share_by_month": share_by_month(scored),
        "trend_by_month": trend_by_month(scored, threshold),
        **{name: by_group(scored, column, word) for name, (column, word) in named(scored, groups).items()},
        "by_hour": by_hour(scored),
        "lowest_scores": lowest_scores(scored, threshold),
    }


def named(scored: pd.DataFrame, groups: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The chart of each group that the frame has: its name, then column and word."""
    found: dict[str, tuple[str, str]] = {}
    for column, word in groups.items():
        name = group_name(word)
        if name in TITLES or name in found:
            raise ValueError(f"the group {column} can't be called {word!r}: there is a chart {name} already")
        if column in scored:
            found[name] = (column, word)
    return found


def score_histogram(scored: pd.DataFrame, threshold: float = 0.0) -> bytes:
    """Records by score on a log axis, those below the threshold in another colour."""
    bars = summary.by_score(scored, threshold)
    figure, (axes,) = canvas.figure(480, TITLES["score_histogram"], _counted(scored))
    if bars.empty:
        return canvas.nothing(figure, axes)
    colours = np.where(bars["low"] < threshold - ROUNDING, ORANGE, BLUE)
    axes.bar(bars["low"], bars["records"], bars["high"] - bars["low"], align="edge", color=colours, edgecolor="white")
    axes.axvline(threshold, color=INK, linewidth=1.4)
    axes.set_yscale("log")
    axes.set_ylim(0.7, 3 * max(bars["records"].max(), 1))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    for side, text, colour in (("right", "anomalies ←", ORANGE), ("left", "→ normal", BLUE)):
        room = -6 if side == "right" else 6
        axes.annotate(
            text, (threshold, 0.97), xycoords=("data", "axes fraction"), xytext=(room, 0), textcoords="offset points",
            ha=side, va="top", color=colour, fontsize=11, weight="bold", annotation_clip=False,
        )  # fmt: skip
    span = bars["high"].max() - bars["low"].min()
    axes.set_xlim(min(bars["low"].min(), threshold - 0.15 * span), max(bars["high"].max(), threshold + 0.15 * span))
    axes.set_xlabel(f"anomaly score (threshold {threshold:g})")
    axes.set_ylabel("records (each line is 10 times more)")
    return canvas.png(figure)


def share_by_month(scored: pd.DataFrame) -> bytes:
    """Rate with its 95 % interval, below it how many anomalies and records there were."""
    months = shown_months(scored)
    said = f"Share of anomalies among the month's records; grey: 95 % interval.{_left_out(scored, months)}"
    figure, (rate, odd, all_of_them) = canvas.figure(660, TITLES["share_by_month"], said, ratios=(3, 1, 1))
    if months.empty:
        return canvas.nothing(figure, rate, odd, all_of_them)
    at = _times(months)
    percent = months[["rate", "low", "high"]] * 100
    percent[months["few"]] = np.nan
    rate.vlines(at, percent["low"], percent["high"], color=GREY, linewidth=2.5, zorder=2)
    rate.plot(at, percent["rate"], "o-", color=ORANGE, markersize=4, linewidth=1, zorder=3)
    mean = 100 * months["anomalies"].sum() / months["records"].sum()
    rate.axhline(mean, color=INK, linewidth=1, linestyle="--", label=f"all months: {summary.percent(mean / 100)}")
    rate.set_ylim(0, 1.15 * max(np.nanquantile(percent["high"], 0.9), np.nanmax(percent["rate"]), 1e-3))
    rate.set_ylabel("anomalies, %")
    for axes, column, colour in ((odd, "anomalies", ORANGE), (all_of_them, "records", BLUE)):
        axes.bar(at, months[column], width=25, color=colour)
        axes.set_ylabel(column)
        axes.set_ylim(0, 1.15 * max(months[column].max(), 1))
        axes.locator_params(axis="y", nbins=3, integer=True)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    canvas.time_axis([rate, odd, all_of_them], at)
    canvas.shade([rate, odd, all_of_them], trained_spans(months), TRAINED)
    canvas.legend(rate)
    return canvas.png(figure)


def trend_by_month(scored: pd.DataFrame, threshold: float = 0.0) -> bytes:
    """Median and 1 % quantile of the scores: a shift of all records, and of the oddest."""
    months = shown_months(scored)
    said = f"A falling line: the month's records are odder than before.{_left_out(scored, months)}"
    figure, (axes,) = canvas.figure(480, TITLES["trend_by_month"], said)
    if months.empty:
        return canvas.nothing(figure, axes)
    at = _times(months)
    for column, label, colour in (
        ("median_score", "median: half of the records score lower", BLUE),
        ("low_score", "1 % of the records score lower", ORANGE),
    ):
        axes.plot(at, months[column].mask(months["few"]), "o-", color=colour, markersize=4, linewidth=1.5, label=label)
    axes.axhline(threshold, color=INK, linewidth=1.4, linestyle="--", label=f"below {threshold:g}: anomaly")
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.04 * (high - low), high + 0.35 * (high - low))
    axes.set_ylabel("anomaly score")
    canvas.time_axis([axes], at)
    canvas.shade([axes], trained_spans(months), TRAINED)
    canvas.legend(axes)
    return canvas.png(figure)


def by_group(scored: pd.DataFrame, column: str, word: str) -> bytes:
    """Rate of each value with at least 50 records, with its interval; the others are one row."""
    groups = summary.by_group(scored, column)
    overall = summary.overall(scored)["rate"][0]
    word = canvas.plain(word, 30)
    said = f"Share of anomalies for each {word} with its 95 % interval. Orange: clearly above all records; blue: below."
    figure, (axes,) = canvas.figure(150 + 27 * max(len(groups), 3), group_title(word), said)
    if groups.empty:
        return canvas.nothing(figure, axes)
    percent = groups[["rate", "low", "high"]] * 100
    colours = np.select(
        [groups["low"] > overall + ROUNDING, groups["high"] < overall - ROUNDING], [ORANGE, BLUE], "#7b8794"
    )
    place = np.arange(len(groups))
    axes.hlines(place, percent["low"], percent["high"], color=colours, linewidth=3, alpha=0.45)
    axes.scatter(percent["rate"], place, color=colours, s=36, zorder=3, clip_on=False)
    axes.axvline(100 * overall, color=INK, linewidth=1, linestyle="--")
    # A wide interval of a small group may leave the picture; every rate stays in it.
    axes.set_xlim(0, 1.12 * max(percent["rate"].max(), np.quantile(percent["high"], 0.8), 0.01))
    for at, (odd, records) in enumerate(zip(groups["anomalies"], groups["records"], strict=True)):
        axes.annotate(
            f"{summary.percent(odd / records)}  ({odd:,} of {records:,})", (1.01, at), fontsize=10, color=INK,
            xycoords=("axes fraction", "data"), va="center", annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(place, [canvas.plain(value, 44) for value in groups["value"]])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlabel(f"anomalies, %  (dashed: all records, {summary.percent(overall)})")
    return canvas.png(figure)


def by_hour(scored: pd.DataFrame) -> bytes:
    """Rate by weekday and hour, with all days and all hours at the ends; cells without records are hatched."""
    from matplotlib.patches import Rectangle

    records, odd = (_with_sums(grid.to_numpy()) for grid in summary.by_hour(scored))
    said = "Colour: share of anomalies; number: how many there were. Hatched: no records at that time."
    figure, (axes,) = canvas.figure(430, TITLES["by_hour"], said)
    rate = 100 * odd / np.where(records > 0, records, np.nan)
    many = rate[records >= FEW] if (records >= FEW).any() else rate[np.isfinite(rate)]
    highest = many.max(initial=0.0) or 1.0
    image = axes.imshow(rate, cmap="Oranges", vmin=0, vmax=highest, aspect="auto")
    for day, hour in np.ndindex(*rate.shape):
        if records[day, hour] == 0:
            axes.add_patch(Rectangle((hour - 0.5, day - 0.5), 1, 1, facecolor="#f0f2f4", edgecolor=GREY, hatch="///"))
        elif odd[day, hour] > 0:
            dark = rate[day, hour] > 0.6 * highest
            axes.text(hour, day, f"{odd[day, hour]:.0f}", ha="center", va="center", fontsize=10,
                      color="white" if dark else INK)  # fmt: skip
    axes.set_yticks([*range(7), 8], [*summary.WEEKDAYS, "all days"])
    axes.set_xticks([*range(24), 25], [*map(str, range(24)), "all"])
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("hour of the day")
    bar = figure.colorbar(
        image, ax=axes, pad=0.015, extend="max" if np.nanmax(rate, initial=0) > highest else "neither"
    )
    bar.set_label("anomalies, %", color=INK, fontsize=11)
    return canvas.png(figure)


def lowest_scores(scored: pd.DataFrame, threshold: float = 0.0, most: int = 20) -> bytes:
    """The records with the lowest scores and, where the frame has a column `reasons` (text), why."""
    rows = summary.lowest(scored, most)
    said = f"{len(rows)} of {len(scored):,} records; the values that lower the score most come first."
    wrapped = [canvas.wrapped(text) for text in rows["reasons"]] if "reasons" in rows else [[]] * len(rows)
    height = 36 + 16 * max(map(len, wrapped), default=0)
    figure, (axes,) = canvas.figure(90 + height * max(len(rows), 2), TITLES["lowest_scores"], said)
    if rows.empty:
        return canvas.nothing(figure, axes)
    scores = rows["anomaly_score"].to_numpy(dtype=float)
    colours = np.where(rows["anomaly_pred"] == -1, ORANGE, BLUE)
    place = np.arange(len(rows))
    # The odder, the further right.
    bar = place + 0.5 - 16 / height
    axes.barh(bar, scores - threshold, left=threshold, height=9 / height, color=colours, zorder=2)
    ends = np.array([*scores, threshold])
    room = 0.04 * (np.ptp(ends) or 0.01)
    axes.set_xlim(ends.max() + (3 if ends.max() > threshold else 1) * room, ends.min() - 3 * room)
    for at, score, lines in zip(bar, scores, wrapped, strict=True):
        axes.text(
            0.004, at - 11 / height, "\n".join(lines), transform=axes.get_yaxis_transform(), va="bottom",
            fontsize=TEXT_SIZE, color=INK, linespacing=1.2, zorder=3,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        ).set_in_layout(False)  # fmt: skip
        shift, side = (4, "left") if score <= threshold else (-4, "right")
        axes.annotate(f"{score:.4f}".replace("-", "−"), (score, at), xytext=(shift, 0), textcoords="offset points",
                      ha=side, va="center", fontsize=10, color=INK)  # fmt: skip
    axes.axvline(threshold, color=INK, linewidth=1.2)
    axes.set_yticks(place, [f"{number}.  {summary.dated(at)}" for number, at in enumerate(rows["at"], start=1)])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"anomaly score (threshold {threshold:g}; further right is odder)")
    return canvas.png(figure)


def _counted(scored: pd.DataFrame) -> str:
    whole = summary.overall(scored).iloc[0]
    if not whole["records"]:
        return "No records."
    share = summary.percent(whole["rate"])
    return f"{int(whole['anomalies']):,} of {int(whole['records']):,} records are anomalies ({share})."


def shown_months(scored: pd.DataFrame) -> pd.DataFrame:
    """`summary.by_month` from the first to the last with enough records; `few` where one between hasn't.

    When no month has enough, every one that has records counts.
    """
    months = summary.by_month(scored)
    least = FEW if (months["records"] >= FEW).any() else 1
    months["few"] = months["records"] < least
    known = np.flatnonzero(~months["few"])
    return (months.iloc[known[0] : known[-1] + 1] if len(known) else months).reset_index(drop=True)


def trained_spans(months: pd.DataFrame) -> list[tuple[Any, Any]]:
    """First and last time of each run of months that the model was trained on; a month is drawn round its first day."""
    if "in_training" not in months:
        return []
    trained = months["in_training"].to_numpy(dtype=bool)
    at = _times(months)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], trained, [False]]).astype(int)))
    return [(at[first] - HALF_MONTH, at[after - 1] + HALF_MONTH) for first, after in edges.reshape(-1, 2)]


def group_name(word: str) -> str:
    """The name of a group's chart: letters, digits and underscores, so that it can name a file."""
    return f"by_{re.sub(r'[^a-z0-9]+', '_', word.lower())}"


def group_title(word: str) -> str:
    """What the chart of a group shows."""
    return f"Anomalies by {word}"


def _left_out(scored: pd.DataFrame, months: pd.DataFrame) -> str:
    dated = int(scored["at"].notna().sum())
    shown = int(months["records"].where(~months["few"], 0).sum())
    return f" Months under {FEW} records aren't shown." if shown < dated else ""


def _with_sums(grid: np.ndarray) -> np.ndarray:
    """7 × 24 and, after a gap of NaN, the sums: 9 × 26."""
    whole = np.full((9, 26), np.nan)
    whole[:7, :24], whole[8, :24], whole[:7, 25], whole[8, 25] = grid, grid.sum(axis=0), grid.sum(axis=1), grid.sum()
    return whole


def _times(months: pd.DataFrame) -> Any:
    return np.array([f"{month}-01" for month in months["month"]], dtype="datetime64[D]")
