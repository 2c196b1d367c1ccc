"""Column by day as one picture: where live data differs from training, how strongly, and since when.

It is for people who know no statistics: colours have names, and drift is written in the cell. Add here what such a
person should see at a glance. Keep out figures: it draws what verdicts hold. Figures are built as objects, never
through pyplot, so threads and servers are safe.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from mlops_assets.drift.facts import Status, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
CELL_WIDTH, CELL_HEIGHT = 34, 30  # pixels
LEAST_WIDTH, LABELS_WIDTH = 800, 210
TITLE_PIXELS, SAID_PIXELS, LABEL_PIXELS = 12.5, 8.2, 7.5  # of a character
INK, QUIET, GRID = "#1f2933", "#52606d", "#ffffff"
SAME, NEAR, DRIFT, STRONG, UNKNOWN = "#cfe8d9", "#fbe8a6", "#ee8f6b", "#b91c1c", "#e4e7eb"
HATCH = "////"
# Strengths from which a cell has the colour; 1 is the limit.
COLOURS = ((2.0, STRONG), (1.0, DRIFT), (0.5, NEAR), (0.0, SAME))
JUDGED = (Status.OK, Status.DRIFTED)
WHOLE_DAY = "the day"
LONGEST_NAME, MOST_DAYS = 24, 62


def draw(verdicts: Sequence[Verdict], title: str) -> bytes:
    """The PNG, a column of cells for each day from the first to the last, at most the newest 62.

    Days may come in any order; one without a verdict stays blank. Raises ValueError without any verdict.
    """
    if not verdicts:
        raise ValueError("a heat map needs at least one verdict")
    by_day = {verdict.day: verdict for verdict in sorted(verdicts, key=lambda one: one.day)}
    days = _days(by_day)
    shown = [by_day[day] for day in days if day in by_day]
    names = _names(shown)
    figure, axes = _axes(len(days), len(names) + 1)
    for place, day in enumerate(days):
        if day in by_day:
            _day(axes, place, by_day[day], names)
    _releases(axes, days, by_day)
    _labels(axes, days, names)
    room = figure.get_figwidth() * DPI
    longest = min(LONGEST_NAME, max(map(len, (WHOLE_DAY, *names)))) + 2
    figure.suptitle(
        _short(title, int(room / TITLE_PIXELS)), x=0.01, ha="left", fontsize=15, weight="bold", color=INK
    )  # fmt: skip
    said = _short(headline(shown), int((room - LABEL_PIXELS * longest) / SAID_PIXELS))
    axes.set_title(said, loc="left", fontsize=11, color=QUIET, pad=24)
    _legend(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def headline(verdicts: Sequence[Verdict]) -> str:
    """Where things stand, in one line of words; verdicts are in the order of their days."""
    judged = [verdict for verdict in verdicts if verdict.status in JUDGED]
    if not judged:
        return "no day had enough rows and a reference to be judged"
    count = sum(verdict.status is Status.DRIFTED for verdict in judged)
    days = f"{count} of {len(judged)} judged days drifted"
    newest = judged[-1]
    if newest.status is Status.OK:
        return f"{days}; the newest, {_named(newest.day)}, is like training"
    more = len(newest.drifted) - 3
    names = ", ".join(newest.drifted[:3]) + (f" and {more} more" if more > 0 else "")
    return f"{days}; the newest, {_named(newest.day)}: {names}"


def _days(by_day: dict[date, Verdict]) -> list[date]:
    last = max(by_day)
    count = min((last - min(by_day)).days + 1, MOST_DAYS)
    return [last - timedelta(days=back) for back in range(count - 1, -1, -1)]


def _names(verdicts: Sequence[Verdict]) -> list[str]:
    """Columns as the newest day declares them, then those that only older days have."""
    return list(dict.fromkeys(column.name for verdict in reversed(verdicts) for column in verdict.columns))


def _axes(days: int, rows: int) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = max(LEAST_WIDTH, LABELS_WIDTH + CELL_WIDTH * days), 190 + CELL_HEIGHT * rows
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    # Cells keep their size when there are few days.
    axes.set_xlim(-0.5, max(days, (LEAST_WIDTH - LABELS_WIDTH) / CELL_WIDTH) - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=INK, labelsize=10)
    return figure, axes


def _day(axes: Axes, place: int, verdict: Verdict, names: Sequence[str]) -> None:
    by_name = {column.name: column for column in verdict.columns}
    judged = verdict.status in JUDGED
    strongest = verdict.strength if judged else None
    _cell(axes, place, 0, strongest, drifted=verdict.status is Status.DRIFTED)
    for row, name in enumerate(names, start=1):
        column = by_name.get(name) if judged else None
        known = column is not None and column.status in JUDGED
        _cell(axes, place, row, column.strength if column and known else None,
              drifted=column is not None and column.status is Status.DRIFTED)  # fmt: skip


def _cell(axes: Axes, place: int, row: int, strength: float | None, *, drifted: bool) -> None:
    """Coloured by strength; grey and hatched when nothing can be said. Drift has its strength written in."""
    from matplotlib.patches import Rectangle

    colour = UNKNOWN if strength is None else _colour(strength, drifted=drifted)
    axes.add_patch(
        Rectangle(
            (place - 0.5, row - 0.5), 1, 1, facecolor=colour, linewidth=2,
            edgecolor=GRID, hatch=HATCH if strength is None else None,
        )
    )  # fmt: skip
    if drifted and strength is not None:
        dark = strength >= COLOURS[0][0]
        axes.text(
            place, row, _figure(strength), ha="center", va="center", fontsize=9, weight="bold",
            color=GRID if dark else INK,
        )  # fmt: skip


def _colour(strength: float, *, drifted: bool) -> str:
    colour = next(colour for least, colour in COLOURS if strength >= least)
    return DRIFT if drifted and colour in (SAME, NEAR) else colour


def _figure(strength: float) -> str:
    return f"{strength:.1f}" if strength < 9.95 else f"{strength:.0f}" if strength < 99.5 else "99+"


def _releases(axes: Axes, days: Sequence[date], by_day: dict[date, Verdict]) -> None:
    """A line where the release that served, and so what days are compared with, became another."""
    before: int | None = None
    for place, day in enumerate(days):
        if day not in by_day:
            continue
        release = by_day[day].release
        if release != before:
            axes.text(place - 0.45, -0.62, f"release {release}", fontsize=9, color=QUIET, va="bottom")
            if before is not None:
                axes.axvline(place - 0.5, color=INK, linewidth=1.6)
        before = release


def _labels(axes: Axes, days: Sequence[date], names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names) + 1), [WHOLE_DAY, *(_short(name, LONGEST_NAME) for name in names)])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.hlines(0.5, -0.5, len(days) - 0.5, color=INK, linewidth=1)
    # Every day has a number; the month stands under its first day.
    months = [f"{day:%b}" if not place or day.day == 1 else " " for place, day in enumerate(days)]
    axes.set_xticks(range(len(days)), [f"{day.day}\n{month}" for day, month in zip(days, months, strict=True)])


def _legend(figure: Figure) -> None:
    from matplotlib.patches import Patch

    named = (
        (SAME, "like training"),
        (NEAR, "over half the limit"),
        (DRIFT, "drift: 1 to 2 times the limit"),
        (STRONG, "2 times the limit or more"),
    )
    patches: list[Any] = [Patch(facecolor=colour, label=text) for colour, text in named]
    patches.append(Patch(facecolor=UNKNOWN, edgecolor=GRID, hatch=HATCH, label="too little to tell"))
    patches.append(Patch(facecolor=GRID, edgecolor="#9aa5b1", label="not compared"))
    figure.legend(
        handles=patches, loc="outside lower left", ncols=3 if figure.get_figwidth() * DPI < 1150 else 6, frameon=False,
        fontsize=10, handlelength=1.2, handleheight=1.2, columnspacing=1.4, labelcolor=INK,
    )  # fmt: skip


def _named(day: date) -> str:
    return f"{day.day} {day:%B}"


def _short(text: str, longest: int) -> str:
    plain = text if len(text) <= longest else text[: longest - 1] + "…"
    return plain.replace("$", r"\$")
