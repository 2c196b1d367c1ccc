"""The runs of a day as one picture: how many ended how, hour by hour.

Figures are built as objects, never through pyplot, so threads and servers are safe. Keep out tables (`shown`).
"""

from __future__ import annotations

import io

from mlops_assets.observability.health.facts import RunMetrics

WIDTH_PIXELS, HEIGHT_PIXELS, DPI = 900, 320, 100
INK, QUIET, GREY = "#1f2933", "#52606d", "#cbd2d9"
# Distinct without colours too: failures are hatched.
KINDS = (("success", "#2b6cb0", ""), ("canceled", "#cbd2d9", ".."), ("failed", "#c05621", "///"))


def said(runs: RunMetrics) -> str:
    """The day in one line."""
    rate = "" if runs.failure_rate is None else f", {runs.failure_rate:.1%} of those that succeeded or failed did fail"
    return (
        f"{runs.total:,} runs: {runs.success:,} succeeded, {runs.failed:,} failed, {runs.canceled:,} canceled, "
        f"{runs.running:,} go, {runs.queued:,} wait{rate}"
    )


def draw(runs: RunMetrics) -> bytes:
    """The PNG. Without a run that ended it says so."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(WIDTH_PIXELS / DPI, HEIGHT_PIXELS / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)
    axes.set_title(f"Runs that ended in the last {runs.hours} h", loc="left", fontsize=13, weight="bold", color=INK)
    places = range(len(runs.hours_of))
    below = [0] * len(runs.hours_of)
    for kind, colour, hatch in KINDS:
        counts = [getattr(hour, kind) for hour in runs.hours_of]
        axes.bar(places, counts, bottom=below, width=0.85, color=colour, hatch=hatch, edgecolor="white", label=kind)
        below = [one + other for one, other in zip(below, counts, strict=True)]
    if any(below):
        axes.legend(frameon=False, fontsize=9, ncols=len(KINDS), loc="upper left")
        axes.set_ylim(0, max(below) * 1.25)
    else:
        axes.text(0.5, 0.5, "no run ended", transform=axes.transAxes, ha="center", fontsize=13, color=QUIET)
        axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    shown = list(places)[:: max(1, len(runs.hours_of) // 8)]
    axes.set_xticks(shown, [f"{runs.hours_of[place].at:%a %H:%M}" for place in shown])
    axes.grid(axis="y", color=GREY, linewidth=0.6, alpha=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("hour that began at (UTC)", fontsize=9, color=QUIET)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
