"""What the PNG charts of a batch share: a figure with a title and a line to read it by, time axes, text that fits.

Add here what a second chart needs too. Keep out what a chart shows (`charts`).
"""

from __future__ import annotations

import io
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PIXELS, DPI = 1000, 100
INK, QUIET, BLUE, ORANGE, GREY = "#1f2933", "#52606d", "#2b6cb0", "#c05621", "#cbd2d9"
SHADE = "#f6f0e2"
HEAD_PIXELS = 70
TEXT_PIXELS, TEXT_SIZE, MOST_LINES = 800, 9.5, 3  # of sentences in a chart
LONGEST = 1000
FEW_MONTHS = 9


def figure(height: float, title: str, said: str, ratios: tuple[int, ...] = (1,)) -> tuple[Figure, list[Axes]]:
    """1000 pixels wide; `height` is that of the axes, one above the other in these ratios."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    whole = height + HEAD_PIXELS
    drawn = Figure(figsize=(WIDTH_PIXELS / DPI, whole / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(drawn)
    engine: Any = drawn.get_layout_engine()
    engine.set(rect=(0.008, 0.01, 0.984, 0.99 - (HEAD_PIXELS - 4) / whole))
    drawn.text(0.012, 1 - 12 / whole, title, fontsize=15, weight="bold", color=INK, va="top")
    drawn.text(0.012, 1 - 40 / whole, said, fontsize=10.5, color=QUIET, va="top")
    axes = list(drawn.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0])
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(color=GREY, linewidth=0.6, alpha=0.6)
        each.set_axisbelow(True)
        each.tick_params(labelsize=10, colors=INK)
        each.xaxis.label.set(size=11, color=INK)
        each.yaxis.label.set(size=11, color=INK)
    return drawn, axes


def png(drawn: Figure) -> bytes:
    """The figure as a file."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png")
    return buffer.getvalue()


def nothing(drawn: Figure, *axes: Axes) -> bytes:
    """A figure that says that there are no records."""
    for each in axes:
        each.set_axis_off()
    axes[0].text(0.5, 0.5, "no records", transform=axes[0].transAxes, ha="center", fontsize=14, color=QUIET)
    return png(drawn)


def time_axis(many: list[Axes], months: Any) -> None:
    """Months (datetime64) along axes that stand above each other; the lowest has the labels."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    room = np.timedelta64(25 if len(months) > 3 else 60, "D")
    for axes in many:
        axes.set_xlim(months[0] - room, months[-1] + room)
        axes.tick_params(labelbottom=axes is many[-1])
        if len(months) <= FEW_MONTHS:
            axes.set_xticks(months, [f"{month.astype(object):%b %Y}" for month in months])
        else:
            locator: Any = AutoDateLocator(minticks=3, maxticks=14)  # type: ignore[no-untyped-call]
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def shade(many: list[Axes], spans: list[tuple[Any, Any]], label: str) -> None:
    """Spans of time behind what is drawn, in all of these axes; the label is told once."""
    for axes in many:
        for number, (first, last) in enumerate(spans):
            axes.axvspan(first, last, color=SHADE, linewidth=0, zorder=0, label="" if number else label)


def legend(axes: Axes) -> None:
    """What has a label, in the upper left corner; what is drawn there shines through."""
    axes.legend(loc="upper left", frameon=True, framealpha=0.8, facecolor="white", edgecolor="none")


def plain(value: object, longest: int) -> str:
    """Text as it is: a dollar would start maths."""
    text = " ".join(str(value).split())
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("$", r"\$")


def wrapped(text: object) -> list[str]:
    """Lines of about the width of the chart, none for a missing text; what stands in brackets isn't torn apart."""
    if not isinstance(text, str):
        return []
    words = re.sub(r"\([^()]*\)", lambda found: found[0].replace(" ", "\u00a0"), plain(text, LONGEST)).split(" ")
    lines, used = [""], 0.0
    for word in words:
        width = sum(map(_width, f" {word}"))
        if lines[-1] and used + width > TEXT_PIXELS:
            lines.append("")
            used = 0.0
        lines[-1] = f"{lines[-1]} {word}".strip()
        used += width
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1]} …"]


@cache
def _width(sign: str) -> float:
    """Pixels of a character of a sentence."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    font.set_size(TEXT_SIZE, DPI)
    return float(font.load_char(ord(sign)).linearHoriAdvance) / 65536
