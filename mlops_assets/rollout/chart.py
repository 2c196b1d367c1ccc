"""A rollout as one picture: the difference in ratings over time, with what is certain about it and what followed.

It is for people who know no statistics: the title says in words where the comparison stands. Add here what such a
person should see. Keep out numbers: the chart draws what looks recorded and computes nothing. Figures are built as
objects, never through pyplot, so threads and servers are safe.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from mlops_assets.rollout.facts import Effect
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.story import End, Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PIXELS, HEIGHT_PIXELS, DPI = 900, 600, 100
INK, BLUE, GREY, QUIET = "#1f2933", "#2b6cb0", "#cbd2d9", "#616e7c"
GREEN, RED = "#2f855a", "#c53030"
# What the axis shows round zero when nothing is known yet, in stars.
LEAST_ROOM = 0.3


def headline(story: Story, policy: RolloutPolicy) -> str:
    """Where the comparison stands, in one line of words."""
    name = f"Candidate {story.candidate}"
    effect = story.rated[-1][1] if story.rated else None
    if story.end is not None:
        return f"{name} {_ended(story.end, effect, policy)}"
    if effect is None:
        return f"{name}: no ratings of both yet"
    if effect.low > policy.margin * effect.production_mean:
        return f"{name} is {_good(policy)}; it is promoted once the other conditions hold"
    if effect.high < 0:
        return f"{name} is worse; it is rolled back once enough people have rated it"
    if effect.theta == 0:
        return f"{name} looks the same as production so far"
    fine = effect.theta > min(0, policy.margin * effect.production_mean)
    return f"{name} looks {_good(policy) if fine else 'worse'}, not certain yet"


def _good(policy: RolloutPolicy) -> str:
    return "better" if policy.margin >= 0 else "not worse"


def _ended(end: End, effect: Effect | None, policy: RolloutPolicy) -> str:
    if end.event == "expired":
        return "showed no clear difference in time: production stays"
    done = "promoted" if end.event == "promoted" else "rolled back"
    if not end.by_look:
        return f"was {done} by {end.actor}: {end.reason}"
    if end.event == "promoted":
        return f"is {_good(policy)}: promoted"
    worse = effect is not None and effect.high < 0
    return "is worse: rolled back" if worse else "was rolled back: it broke a limit"


def draw(story: Story, policy: RolloutPolicy) -> bytes:
    """The PNG. Without a look that had ratings of both sides it says so instead of showing an empty frame."""
    figure, main, small = _axes()
    main.set_title(_short(headline(story, policy), 72), loc="left", fontsize=15, color=INK, weight="bold", pad=42)
    main.text(
        0, 1.025, _explained(policy), transform=main.transAxes, fontsize=10, color=QUIET, va="bottom", linespacing=1.35
    )
    if story.rated:
        _difference(main, story, policy)
    else:
        main.text(0.5, 0.5, "no ratings of both yet", transform=main.transAxes, ha="center", color=QUIET, fontsize=14)
        main.set_yticks([])
    if story.looks:
        _raters(small, story, policy)
        _shares(main, story)
        _time_axis(small, story)
    else:
        small.set_axis_off()
        main.set_xticks([])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def inline(image: bytes) -> str:
    """Markdown that shows the picture where it stands."""
    return f"![chart](data:image/png;base64,{base64.b64encode(image).decode()})"


def _explained(policy: RolloutPolicy) -> str:
    certain = f"{1 - policy.alpha:.0%}".replace("%", " %")
    up = "zero" if policy.margin == 0 else "the dashed line"
    return (
        f"The true difference lies in the blue band ({certain} sure, however often one looks).\n"
        f"All of the band above {up}: promote. All of it below zero: roll back. In between: wait."
    )


def _axes() -> tuple[Figure, Axes, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PIXELS / DPI, HEIGHT_PIXELS / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 1, height_ratios=(4.2, 1))
    main = figure.add_subplot(grid[0])
    small = figure.add_subplot(grid[1], sharex=main)
    for axes in (main, small):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=10, colors=INK)
    main.tick_params(labelbottom=False)
    return figure, main, small


def _difference(axes: Axes, story: Story, policy: RolloutPolicy) -> None:
    """Regions, zero line, margin, band, the line of the estimate and the newest value in words."""
    times: Any = [at for at, _ in story.rated]
    effects = [effect for _, effect in story.rated]
    newest = effects[-1]
    needed = policy.margin * newest.production_mean
    low, high = _ends(newest, needed)
    axes.set_ylim(low, high)
    axes.axhspan(needed, high, color=GREEN, alpha=0.07, linewidth=0)
    axes.axhspan(low, min(0, needed), color=RED, alpha=0.07, linewidth=0)
    corner: dict[str, Any] = {"transform": axes.transAxes, "fontsize": 13, "weight": "bold", "zorder": 5}
    axes.text(0.01, 0.97, _good(policy).upper(), color=GREEN, va="top", **corner)
    axes.text(0.01, 0.03, "WORSE", color=RED, va="bottom", **corner)
    axes.axhline(0, color=INK, linewidth=1.2)
    if policy.margin != 0:
        axes.axhline(
            needed, color=GREEN, linewidth=1.4, linestyle="--", label=_signed(f"to promote: above {needed:+.2f}")
        )
        axes.legend(loc="upper right", frameon=False, fontsize=10)
    axes.fill_between(
        times, [e.low for e in effects], [e.high for e in effects], color=BLUE, alpha=0.25, linewidth=0, zorder=2
    )
    axes.plot(times, [e.theta for e in effects], color=BLUE, linewidth=2, zorder=3)
    _newest(axes, times[-1], newest, story.end)
    axes.set_ylabel("candidate minus production,\nstars of the mean rating", fontsize=11, color=INK)
    axes.yaxis.set_major_formatter(lambda value, _: "0" if abs(value) < 1e-9 else _signed(f"{value:+.2g}"))


def _ends(newest: Effect, needed: float) -> tuple[float, float]:
    """Ends of the axis: the newest band fits with ease, the wild first ones may be cut off; both regions show."""
    up = max(LEAST_ROOM, 1.5 * newest.high, 1.5 * needed)
    down = max(LEAST_ROOM, -1.5 * newest.low, -1.5 * needed)
    return -max(down, 0.5 * up), max(up, 0.5 * down)


def _signed(text: str) -> str:
    return text.replace("-", "−")


def _newest(axes: Axes, at: Any, effect: Effect, end: End | None) -> None:
    """The newest difference in words, in the colour of what it led to."""
    colour = BLUE if end is None else {"promoted": GREEN, "rolled_back": RED}.get(end.event, QUIET)
    bars = [[effect.theta - effect.low], [effect.high - effect.theta]]
    axes.errorbar(
        [at], [effect.theta], yerr=bars, fmt="o", color=colour, markersize=8, capsize=5, linewidth=2, zorder=4
    )
    said = _signed(f"{effect.theta:+.2f}\n({effect.low:+.2f} to {effect.high:+.2f})")
    if end is not None:
        said = f"{end.event.replace('_', ' ').upper()}\n{said}"
    axes.annotate(
        said, (at, effect.theta), xytext=(10, 0), textcoords="offset points",
        fontsize=11, weight="bold", color=colour, va="center", annotation_clip=False,
    )  # fmt: skip


def _raters(axes: Axes, story: Story, policy: RolloutPolicy) -> None:
    times: Any = [look.at for look in story.looks]
    raters = [look.evidence.candidate.raters for look in story.looks]
    axes.plot(times, raters, color=BLUE, linewidth=1.6, marker="o" if len(times) == 1 else None)
    axes.fill_between(times, raters, color=BLUE, alpha=0.15, linewidth=0)
    enough = policy.min_promote_raters
    axes.axhline(enough, color=QUIET, linewidth=1, linestyle=":")
    axes.set_ylim(0, 1.3 * max(*raters, enough))
    axes.set_ylabel("people who\nrated it", fontsize=10, color=INK)
    axes.set_title(f"{raters[-1]:,} people rated the candidate; {enough:,} needed to promote", loc="left", fontsize=10,
                   color=QUIET)  # fmt: skip
    axes.locator_params(axis="y", nbins=3, integer=True)


def _shares(axes: Axes, story: Story) -> None:
    """A line wherever the candidate's share of the users was raised."""
    shown: float | None = None
    for look in story.looks:
        if look.share > 0 and look.share != shown:
            if shown is not None:
                moment: Any = look.at
                axes.axvline(moment, color=QUIET, linewidth=1, linestyle=":")
                axes.annotate(
                    f"{look.share:.0%} of users".replace("%", " %"), (moment, 0.02), xycoords=("data", "axes fraction"),
                    xytext=(4, 0), textcoords="offset points", fontsize=10, color=QUIET, va="bottom", zorder=5,
                )  # fmt: skip
            shown = look.share


def _time_axis(axes: Axes, story: Story) -> None:
    from datetime import UTC, timedelta

    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator: Any = AutoDateLocator(minticks=3, maxticks=8, tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    first, last = story.looks[0].at, story.looks[-1].at
    span = max(last - first, timedelta(minutes=10))
    # The newest value in words stands right of the newest look.
    axes.set_xlim(first - 0.02 * span, last + 0.22 * span)  # type: ignore[arg-type]
    axes.set_xlabel("time (UTC)", fontsize=10, color=INK)


def _short(text: str, longest: int) -> str:
    plain = text.replace("$", r"\$")
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"
