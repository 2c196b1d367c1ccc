"""Charts: real PNGs of the promised width for every kind of frame, and what is written and drawn in them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import num2date
from matplotlib.figure import Figure

from mlops_assets.anomaly_report import canvas, charts
from tests.pngs import pixels, size
from tests.unit.anomaly_report.scored import CASES, GROUPS, scored, trained

Draw = Callable[..., Figure]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Draws a chart and gives its figure instead of bytes."""
    kept: list[Figure] = []
    whole = canvas.png

    def png(figure: Figure) -> bytes:
        kept.append(figure)
        return whole(figure)

    monkeypatch.setattr(canvas, "png", png)

    def drawn(chart: Callable[..., bytes], *args: object, **options: object) -> Figure:
        chart(*args, **options)
        return kept[-1]

    return drawn


def words(figure: Figure) -> str:
    """All text of a figure, a line each."""
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [text.get_text() for text in axes.texts]
        texts += [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
        texts += [axes.get_xlabel(), axes.get_ylabel()]
        legend = axes.get_legend()
        texts += [text.get_text() for text in legend.get_texts()] if legend else []
    return "\n".join(texts).replace("\u00a0", " ")


@pytest.mark.parametrize("case", list(CASES))
def test_every_chart_of_every_case_is_whole_and_nothing_is_cut_off(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    whole = canvas.png
    monkeypatch.setattr(canvas, "png", lambda figure: figures.append(figure) or whole(figure))
    drawn = charts.all_charts(CASES[case], GROUPS)
    assert sorted(drawn) == sorted([*charts.TITLES, "by_weather", "by_cause"])
    for name, png in drawn.items():
        width, height = size(png)
        assert width == 1000, name
        assert pixels(png) >= width * height * 3, name
    for figure in figures:
        assert all(text.get_window_extent().x1 < canvas.WIDTH_PIXELS for text in figure.texts)


def test_charts_of_columns_that_are_not_there_are_left_out() -> None:
    drawn = charts.all_charts(scored(10).drop(columns=["sky"]), GROUPS)
    assert "by_weather" not in drawn
    assert "by_cause" in drawn


def test_a_group_s_word_makes_a_name_for_a_file() -> None:
    assert list(charts.named(scored(3), {"sky": "State of/../the Sky"})) == ["by_state_of_the_sky"]


@pytest.mark.parametrize("groups", [{"sky": "hour"}, {"sky": "Main cause", "why": "main  cause"}])
def test_two_charts_of_one_name_are_refused(groups: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="there is a chart by_"):
        charts.all_charts(scored(3), groups)


def shaded(figure: Figure) -> list[list[tuple[str, str]]]:
    """First and last day of each shaded span, per axes."""
    found = []
    for axes in figure.axes:
        spans = [patch for patch in axes.patches if to_hex(patch.get_facecolor()) == canvas.SHADE]
        edges = [patch.get_window_extent().transformed(axes.transData.inverted()) for patch in spans]
        found.append([(f"{num2date(edge.x0):%Y-%m-%d}", f"{num2date(edge.x1):%Y-%m-%d}") for edge in edges])
    return found


@pytest.mark.parametrize("chart", [charts.share_by_month, charts.trend_by_month])
def test_months_that_the_model_was_trained_on_are_shaded(draw: Draw, chart: Callable[..., bytes]) -> None:
    frame = scored(2000, 40, days=400)
    figure = draw(chart, trained(frame, "2024-03"))
    # A month is drawn round its first day, so its half before and after.
    assert {tuple(spans) for spans in shaded(figure)} == {(("2023-12-17", "2024-03-16"),)}
    assert words(figure).count("the model was trained on these months") == 1
    parted = frame.assign(in_training=frame["at"].dt.month.isin([2, 4, 5]))
    assert len(shaded(draw(chart, parted))[0]) == 2
    for plain in (frame, trained(frame, "2023-12")):
        assert {tuple(spans) for spans in shaded(draw(chart, plain))} == {()}
        assert "trained" not in words(draw(chart, plain))


def test_the_histogram_colours_the_sides_and_counts_on_a_log_axis(draw: Draw) -> None:
    figure = draw(charts.score_histogram, scored(2000, 40))
    axes = figure.axes[0]
    assert "40 of 2,000 records are anomalies (2.0 %)" in words(figure)
    assert axes.get_yscale() == "log"
    bars = [bar for bar in axes.patches if bar.get_height() > 0]  # type: ignore[attr-defined]
    low = sum(bar.get_height() for bar in bars if to_hex(bar.get_facecolor()) == canvas.ORANGE)  # type: ignore[attr-defined]
    assert low == 40
    assert sum(bar.get_height() for bar in bars) == 2000  # type: ignore[attr-defined]


def test_months_without_enough_records_have_no_rate(draw: Draw) -> None:
    frame = pd.concat([scored(2, 2, "2013-03-01", days=3), scored(500, 5, "2015-01-01", days=59)])
    figure = draw(charts.share_by_month, frame)
    assert "Months under 50 records aren't shown." in words(figure)
    rates = np.asarray(figure.axes[0].lines[0].get_ydata(), dtype=float)
    assert len(rates) == 2
    assert rates.max() < 5
    assert "Jan 2015" in words(figure)
    assert "2013" not in words(figure)


def test_a_month_with_one_record_is_shown_when_there_is_no_other(draw: Draw) -> None:
    figure = draw(charts.trend_by_month, scored(1, 1, "2013-03-01"))
    assert figure.axes[0].lines[0].get_ydata()[0] == pytest.approx(-0.01)  # type: ignore[index]
    assert "Mar 2013" in words(figure)
    assert "aren't shown" not in words(figure)


def test_groups_say_rate_and_rows_and_colour_what_is_certain(draw: Draw) -> None:
    frame = scored(1000).assign(sky=["SNOW"] * 100 + ["CLEAR"] * 890 + ["FOG"] * 10)
    frame["anomaly_pred"] = [-1] * 30 + [1] * 970
    figure = draw(charts.by_group, frame, "sky", "weather")
    text = words(figure)
    assert text.index("SNOW") < text.index("CLEAR") < text.index("FOG")
    assert "30 %  (30 of 100)" in text
    assert "0.00 %  (0 of 890)" in text
    colours = figure.axes[0].collections[-1].get_facecolor()
    assert [to_hex(colour) for colour in np.asarray(colours)[:2]] == [canvas.ORANGE, canvas.BLUE]


def test_more_groups_make_a_taller_chart() -> None:
    def height(groups: int) -> int:
        frame = scored(1200).assign(sky=[f"W{row % groups}" for row in range(1200)])
        return size(charts.by_group(frame, "sky", "weather"))[1]

    assert height(4) < height(8) < height(24)


def test_empty_hours_are_hatched_and_anomalies_are_numbers(draw: Draw) -> None:
    at = pd.to_datetime(["2024-06-02T05:00", "2024-06-09T05:59", "2024-06-05T06:10"])
    frame = scored(3).assign(at=at, anomaly_pred=[-1, -1, 1])
    axes = draw(charts.by_hour, frame).axes[0]
    written = {(text.get_position()): text.get_text() for text in axes.texts}
    # Sunday 5 o'clock, all days at 5, all hours on Sunday, all.
    assert written == {(5, 6): "2", (5, 8): "2", (25, 6): "2", (25, 8): "2"}
    hatched = sum(1 for patch in axes.patches if patch.get_hatch())
    assert hatched == (7 * 24 - 2) + (24 - 2) + (7 - 2)


def test_reasons_are_written_whole_and_stay_inside(draw: Draw) -> None:
    reason = "cause UNDER THE INFLUENCE OF ALCOHOL/DRUGS (0.4 % of accidents); damage OVER $1,500 and $x_1$ (70 %); "
    frame = scored(60, 25).assign(reasons=reason + "6 vehicles (0.06 % have 6 or more)")
    figure = draw(charts.lowest_scores, frame)
    axes = figure.axes[0]
    told = [text for text in axes.texts if "cause" in text.get_text()]
    assert len(told) == 20
    for text in told:
        assert text.get_text().replace("\n", " ").replace("\u00a0", " ").replace(r"\$", "$") == frame["reasons"][0]
        box = text.get_window_extent()
        assert box.x0 > 0
        assert box.x1 < canvas.WIDTH_PIXELS
    labels = [label.get_text() for label in axes.get_yticklabels()]
    lowest = frame.sort_values("anomaly_score")["at"].iloc[0]
    assert labels[0] == f"1.  {lowest:%Y-%m-%d %H:%M}"


def test_reasons_do_not_run_into_the_next_record(draw: Draw) -> None:
    frame = scored(30, 20).assign(reasons="most severe injury INCAPACITATING INJURY (3.1 % of accidents); " * 10)
    texts = [text for text in draw(charts.lowest_scores, frame).axes[0].texts if "injury" in text.get_text()]
    boxes = sorted((text.get_window_extent() for text in texts), key=lambda box: -box.y0)
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))
    assert all(text.get_text().endswith("…") for text in texts)


def test_full_lines_stay_inside(draw: Draw) -> None:
    for word in ("ICE", "ill", "WW"):
        texts = draw(charts.lowest_scores, scored(3, 1).assign(reasons=f"{word} " * 150)).axes[0].texts
        edges = [text.get_window_extent().x1 for text in texts if word in text.get_text()]
        assert canvas.WIDTH_PIXELS - 80 < max(edges) < canvas.WIDTH_PIXELS


def test_a_record_without_reasons_or_date_has_none(draw: Draw) -> None:
    frame = scored(2, 1).assign(reasons=[np.nan, "hour 4 (1 % of accidents)"], at=pd.Series([pd.NaT] * 2))
    text = words(draw(charts.lowest_scores, frame))
    assert "hour 4 (1 % of accidents)" in text
    assert "no date" in text
    assert "nan" not in text
