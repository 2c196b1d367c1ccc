"""PNG charts of a trained regression or classification, as bytes, readable 900 pixels wide.

Add a chart of an evaluation here. Keep out numbers: a chart draws what `evaluate` measured and computes
nothing that is reported. Figures are built as objects, never through pyplot, so threads and servers are
safe.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PIXELS, DPI = 900, 100
INK, BLUE, ORANGE, GREY = "#1f2933", "#2b6cb0", "#c05621", "#cbd2d9"


def predicted_vs_actual(answers: pd.DataFrame, target: str, unit: str = "") -> bytes:
    """Every hold-out row as a point on log axes (linear when a value isn't positive), with the diagonal."""
    actual = answers[target].to_numpy(dtype=float)
    estimate = answers["estimate"].to_numpy(dtype=float)
    figure, axes = _figure(640)
    ends = _ends(np.concatenate([actual, estimate]))
    axes.plot(ends, ends, color=ORANGE, linewidth=1.4, label="estimate = actual", zorder=3)
    logarithmic = ends[0] > 0
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
        _plain_ticks(axes)
        for factor, label in ((1.25, "25 % too high"), (0.75, "25 % too low")):
            style = "--" if factor > 1 else ":"
            axes.plot(ends, ends * factor, style, color=ORANGE, linewidth=1.4, label=label, zorder=3)
    axes.scatter(actual, estimate, s=10, alpha=0.3, color=BLUE, linewidths=0)
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_xlabel(_with_unit(f"actual {target}", unit))
    axes.set_ylabel(_with_unit("estimate", unit))
    axes.legend(loc="upper left", frameon=False)
    axes.set_title(f"Estimate against actual, {len(actual):,} hold-out rows", loc="left")
    return _png(figure)


def residuals_by_segment(answers: pd.DataFrame, target: str, segment: str, *, most: int = 12) -> bytes:
    """Box per value of `segment` (most rows first) of the error as a share of the actual value."""
    actual = answers[target].to_numpy(dtype=float)
    error = (answers["estimate"].to_numpy(dtype=float) - actual) / np.where(actual == 0, np.nan, actual) * 100
    values = answers[segment].astype(object).where(answers[segment].notna(), "(missing)").astype(str)
    shown = values.value_counts().head(most)
    boxes = [error[(values == value).to_numpy() & np.isfinite(error)] for value in shown.index]
    figure, axes = _figure(170 + 40 * max(len(boxes), 3))
    drawn = axes.boxplot(
        boxes, orientation="horizontal", widths=0.6, patch_artist=True, whis=(5, 95), showfliers=False,
        medianprops={"color": ORANGE, "linewidth": 2},
    )  # fmt: skip
    for box in drawn["boxes"]:
        box.set(facecolor="#d6e4f5", edgecolor=BLUE)
    axes.axvline(0, color=INK, linewidth=1)
    labels = [f"{_short(value)}  ({rows:,})" for value, rows in shown.items()]
    axes.set_yticks(range(1, len(labels) + 1), labels)
    axes.invert_yaxis()
    axes.set_xlabel("error, % of the actual value (too low ← 0 → too high); whiskers hold 90 % of rows")
    axes.set_title(f"Errors by {segment} (rows)", loc="left")
    return _png(figure)


def feature_importance(importance: pd.DataFrame, metric: str, *, most: int = 15) -> bytes:
    """Bars of how much worse `metric` gets when a field is shuffled, as `importance` measured it."""
    top = importance.sort_values("worse_by", ascending=False).head(most)
    factor, unit = (100, " points of %") if "ape" in metric else (1, "")
    worse_by, spread = top["worse_by"] * factor, top["spread"] * factor
    figure, axes = _figure(150 + 34 * max(len(top), 3))
    axes.barh(top["column"], worse_by, xerr=spread, color=BLUE, ecolor=INK, capsize=3, height=0.65)
    axes.invert_yaxis()
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_xlabel(f"{metric} gets worse by{unit or ' …'} when the field is shuffled (line: standard deviation)")
    axes.set_title("What the model relies on", loc="left")
    return _png(figure)


def error_by_group(table: pd.DataFrame, column: str, metric: str, *, most: int = 20, min_rows: int = 5) -> bytes:
    """Bars of a segment table's metric for the values with most rows, worst first, and their mean."""
    eligible = table[table["rows"] >= min_rows].head(most).sort_values(metric, ascending=False)
    if eligible.empty:
        eligible = table.head(most).sort_values(metric, ascending=False)
    percent = "ape" in metric
    values = eligible[metric].to_numpy(dtype=float) * (100 if percent else 1)
    figure, axes = _figure(150 + 30 * max(len(eligible), 3))
    labels = [f"{_short(v)}  ({n:,})" for v, n in zip(eligible[column], eligible["rows"], strict=True)]
    mean = float(np.average(values, weights=eligible["rows"]))
    bars = axes.barh(range(len(values)), values, height=0.65)
    for bar, value in zip(bars, values, strict=True):
        bar.set_color(ORANGE if value > 1.5 * mean else BLUE)
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=10)
    axes.axvline(mean, color=INK, linewidth=1, linestyle="--", zorder=0.5, label=f"mean of those shown: {mean:.1f}")
    axes.set_yticks(range(len(values)), labels)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel(f"{metric}{', %' if percent else ''}")
    axes.legend(loc="lower right", frameon=False)
    axes.set_title(f"Error by {column}: the {len(values)} with most rows (rows)", loc="left")
    return _png(figure)


def confusion(answers: pd.DataFrame, target: str) -> bytes:
    """Hold-out rows of a classification by actual (row) and answered class (column)."""
    actual, label = answers[target].astype(str), answers["label"].astype(str)
    names = sorted(set(actual) | set(label))
    counts = np.array([[int(((actual == a) & (label == b)).sum()) for b in names] for a in names])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(220 + 55 * max(len(names), 3))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(*counts.shape):
        axes.text(j, i, f"{counts[i, j]:,}\n{shares[i, j]:.0%}", ha="center", va="center",
                  color="white" if shares[i, j] > 0.6 else INK, fontsize=10)  # fmt: skip
    axes.set_xticks(range(len(names)), [_short(name) for name in names])
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.grid(False)
    axes.set_xlabel("answered")
    axes.set_ylabel(f"actual {target}")
    axes.set_title(f"Answers by actual class, {len(answers):,} hold-out rows", loc="left")
    return _png(figure)


def _figure(height_pixels: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PIXELS / DPI, height_pixels / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GREY, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=11, colors=INK)
    axes.xaxis.label.set(size=12, color=INK)
    axes.yaxis.label.set(size=12, color=INK)
    return figure, axes


def _png(figure: Figure) -> bytes:
    for axes in figure.axes:
        axes._left_title.set(size=14, color=INK, weight="bold")  # type: ignore[attr-defined]
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.set_minor_formatter(NullFormatter())


def _ends(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low > 0:
        return np.array([low / 1.15, high * 1.15])
    room = 0.05 * (high - low) or 1.0
    return np.array([low - room, high + room])


def _short(value: object, longest: int = 28) -> str:
    text = str(value).replace("$", r"\$")
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _with_unit(text: str, unit: str) -> str:
    return f"{text}, {unit}" if unit else text
