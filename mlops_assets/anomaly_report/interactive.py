"""The charts of a batch as one HTML page with hover and zoom, which works from a file and without any network.

Add here how a chart of `charts` looks on the page. Keep out figures (`summary` has them). Values come from files and
requests: text on the page is escaped, the page runs only its own two scripts (by their hashes) and loads nothing.
Charts are plotly's, as plain data; its library (4.5 MB) is in the page once.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.anomaly_report import summary
from mlops_assets.anomaly_report.canvas import BLUE, FEW_MONTHS, GREY, INK, ORANGE, QUIET, SHADE
from mlops_assets.anomaly_report.charts import (
    FEW,
    ROUNDING,
    TITLES,
    TRAINED,
    group_title,
    named,
    shown_months,
    trained_spans,
)
from mlops_assets.anomaly_report.page_tables import lowest_table, table

if TYPE_CHECKING:
    import pandas as pd

Chart = dict[str, Any]

DAY = 86_400_000  # milliseconds
DASHED = {"dash": "dash", "width": 1}
SCALE = [[0, "#fff5eb"], [0.5, "#fd8d3c"], [1, "#7f2704"]]

SAID = {
    "score_histogram": "Records by score, on a logarithmic axis; left of the line are anomalies.",
    "share_by_month": "Share of the month's records, 95 % interval; dashed: all months. Below: records.",
    "trend_by_month": "A falling line: the month's records are odder than before.",
    "by_hour": "Share of anomalies; grey: no records at that time. Cells of few records say little: see the counts.",
    "lowest_scores": "The values that lower the score most come first.",
}
GROUP_SAID = "Orange: clearly above all records (dashed); blue: below."
DRAW = """
const charts = JSON.parse(document.getElementById("charts").textContent);
for (const [name, chart] of Object.entries(charts)) {
  Plotly.newPlot(name, chart.data, chart.layout, {responsive: true, displaylogo: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d"]});
}
"""
STYLE = f"""
body {{ font: 14px/1.45 system-ui, sans-serif; color: {INK}; max-width: 1100px; margin: 24px auto; padding: 0 20px; }}
h1 {{ font-size: 22px; margin: 0 0 4px; }} h2 {{ font-size: 17px; margin: 32px 0 2px; }}
p {{ margin: 4px 0; max-width: 90ch; }} .quiet {{ color: {QUIET}; }} .scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 12px 0; }}
th, td {{ text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid {GREY}; vertical-align: top; }}
th {{ font-weight: 600; white-space: nowrap; }} td {{ overflow-wrap: anywhere; }}
.number {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
.date {{ white-space: nowrap; }}
.odd {{ color: {ORANGE}; font-weight: 600; }}
"""


def page(
    scored: pd.DataFrame, title: str, facts: Mapping[str, str], groups: Mapping[str, str], threshold: float = 0.0
) -> bytes:
    """The page in UTF-8, about 4.6 MB. `facts` are told below the title, such as the data's version and the release.

    Raises ValueError when a group's chart would have the name of another chart.
    """
    charts, heads = figures(scored, groups, threshold), _heads(scored, groups)
    library = _library()
    policy = (
        f"default-src 'none'; script-src {_hash(library)} {_hash(DRAW)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
        *(f'<p class="quiet">{escape(name)}: {escape(value)}</p>' for name, value in facts.items()),
        table(summary.totals(scored)),
        *(f'{heads[name]}<div id="{name}"></div>' for name in charts),
        heads["lowest_scores"],
        lowest_table(scored),
        f'<script type="application/json" id="charts">{_json(charts)}</script>',
        f"<script>{library}</script><script>{DRAW}</script></body></html>",
    ]
    return "".join(parts).encode()


def figures(scored: pd.DataFrame, groups: Mapping[str, str], threshold: float = 0.0) -> dict[str, Chart]:
    """Each chart by its name as plotly's data and layout; without records there are none."""
    if scored.empty:
        return {}
    months = shown_months(scored)
    charts = {"score_histogram": _histogram(scored, threshold)}
    if len(months):
        charts |= {"share_by_month": _share(months), "trend_by_month": _trend(months, threshold)}
    charts |= {name: _groups(scored, column) for name, (column, _) in named(scored, groups).items()}
    charts["by_hour"] = _hours(scored)
    return charts


def _histogram(scored: pd.DataFrame, threshold: float) -> Chart:
    bars = summary.by_score(scored, threshold)
    bar = {
        "type": "bar", "x": _list((bars["low"] + bars["high"]) / 2), "y": _list(bars["records"]),
        "width": _list(bars["high"] - bars["low"]), "customdata": _list(bars[["low", "high"]]),
        "marker": {"color": np.where(bars["low"] < threshold - ROUNDING, ORANGE, BLUE).tolist()},
        "hovertemplate": "%{customdata[0]:.4f} to %{customdata[1]:.4f}<br>%{y:,} records<extra></extra>",
    }  # fmt: skip
    line = {"type": "line", "x0": threshold, "x1": threshold, "yref": "paper", "y0": 0, "y1": 1}
    axis = {"type": "log", "dtick": 1, "range": [-0.2, float(np.log10(2 * max(bars["records"].max(), 1)))]}
    return _chart([bar], "anomaly score", "records", 380, shapes=[line], yaxis=axis)


def _share(months: pd.DataFrame) -> Chart:
    known = months["rate"].mask(months["few"])
    said = [
        f"{written[0]} ({odd:,} of {rows:,})<br>95 % interval {written[1]} to {written[2]}"
        for odd, rows, *written in zip(
            months["anomalies"], months["records"],
            *(months[name].fillna(0).map(summary.percent) for name in ("rate", "low", "high")), strict=True,
        )
    ]  # fmt: skip
    error = {
        "type": "data", "symmetric": False, "array": _list((months["high"] - known) * 100),
        "arrayminus": _list((known - months["low"]) * 100), "color": GREY, "width": 0,
    }  # fmt: skip
    rate = {
        "type": "scatter", "mode": "lines+markers", "x": _list(months["month"]), "y": _list(known * 100), "text": said,
        "line": {"color": ORANGE, "width": 1}, "marker": {"color": ORANGE}, "error_y": error, "name": "anomalies, %",
        "hovertemplate": "%{x|%B %Y}<br>%{text}<extra></extra>",
    }  # fmt: skip
    records = {
        "type": "bar", "x": _list(months["month"]), "y": _list(months["records"]), "yaxis": "y2", "name": "records",
        "marker": {"color": BLUE}, "width": 25 * DAY, "hovertemplate": "%{x|%B %Y}<br>%{y:,} records<extra></extra>",
    }  # fmt: skip
    top = 1.15 * max(np.nanquantile(months["high"].mask(months["few"]), 0.9), known.max(), 1e-5) * 100
    below = {"domain": [0, 0.22], "title": {"text": "records"}, "rangemode": "tozero"}
    above = {"domain": [0.3, 1], "range": [0, top]}
    mean = 100 * months["anomalies"].sum() / months["records"].sum()
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": mean, "y1": mean, "line": DASHED}
    across = _time(months, anchor="y2")
    shapes = [*_shaded(months), line]
    return _chart([rate, records], "", "anomalies, %", 460, shapes=shapes, xaxis=across, yaxis=above, yaxis2=below)


def _trend(months: pd.DataFrame, threshold: float) -> Chart:
    lines = [
        {
            "type": "scatter", "mode": "lines+markers", "x": _list(months["month"]), "name": name,
            "y": _list(months[column].mask(months["few"])), "line": {"color": colour},
            "customdata": _list(months["records"]),
            "hovertemplate": f"%{{x|%B %Y}}, %{{customdata:,}} records<br>{name}: %{{y:.4f}}<extra></extra>",
        }
        for column, name, colour in (("median_score", "median", BLUE), ("low_score", "1 % score lower", ORANGE))
    ]  # fmt: skip
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": threshold, "y1": threshold, "line": DASHED}
    legend = {"showlegend": True, "legend": {"orientation": "h", "y": 1.12}}
    shapes = [*_shaded(months), line]
    return _chart(lines, "", "anomaly score", 400, shapes=shapes, xaxis=_time(months), **legend)


def _shaded(months: pd.DataFrame) -> list[Chart]:
    return [
        {"type": "rect", "x0": str(first), "x1": str(last), "yref": "paper", "y0": 0, "y1": 1, "fillcolor": SHADE,
         "line": {"width": 0}, "layer": "below"}
        for first, last in trained_spans(months)
    ]  # fmt: skip


def _groups(scored: pd.DataFrame, column: str) -> Chart:
    groups = summary.by_group(scored, column)
    overall = float(summary.overall(scored)["rate"][0])
    above, under = groups["low"] > overall + ROUNDING, groups["high"] < overall - ROUNDING
    colours = np.select([above, under], [ORANGE, BLUE], "#7b8794").tolist()
    names = [escape(value) for value in groups["value"]]
    percent = groups[["rate", "low", "high"]] * 100
    # Places rather than names on the axis: two long names may begin alike.
    points = {
        "type": "scatter", "mode": "markers", "x": _list(percent["rate"]), "y": list(range(len(groups))), "text": names,
        "marker": {"color": colours, "size": 9}, "customdata": _list(groups[["anomalies", "records"]]),
        "error_x": {
            "type": "data", "symmetric": False, "array": _list(percent["high"] - percent["rate"]),
            "arrayminus": _list(percent["rate"] - percent["low"]), "color": GREY, "width": 0, "thickness": 3,
        },
        "hovertemplate": "%{text}<br>%{x:.2f} % (%{customdata[0]:,} of %{customdata[1]:,})<extra></extra>",
    }  # fmt: skip
    short = [escape(value if len(value) <= 44 else f"{value[:43]}…") for value in groups["value"]]
    top = 1.12 * max(percent["rate"].max(), np.quantile(percent["high"], 0.8), 0.01)
    line = {"type": "line", "yref": "paper", "x0": overall * 100, "x1": overall * 100, "y0": 0, "y1": 1,
            "line": DASHED}  # fmt: skip
    axis = {"tickvals": list(range(len(groups))), "ticktext": short, "range": [len(groups) - 0.4, -0.6]}
    height, across = 140 + 25 * len(groups), {"range": [-top / 60, top]}
    return _chart([points], "anomalies, %", "", height, shapes=[line], yaxis=axis, xaxis=across)


def _hours(scored: pd.DataFrame) -> Chart:
    records, odd = summary.by_hour(scored)
    count = records.to_numpy()
    rate = 100 * odd.to_numpy() / np.where(count > 0, count, np.nan)
    many = rate[count >= FEW] if (count >= FEW).any() else rate[count > 0]
    cells = {
        "type": "heatmap", "x": list(range(24)), "y": list(records.index), "z": _list(rate), "colorscale": SCALE,
        "zmin": 0, "zmax": many.max(initial=0.0) or 1.0, "xgap": 1, "ygap": 1,
        "customdata": np.dstack([odd.to_numpy(), count]).tolist(), "colorbar": {"title": {"text": "%"}},
        "hovertemplate": "%{y} %{x}:00<br>%{z:.2f} % (%{customdata[0]:,} of %{customdata[1]:,})<extra></extra>",
        "hoverongaps": False,
    }  # fmt: skip
    axes = {"yaxis": {"autorange": "reversed"}, "xaxis": {"dtick": 1}}
    return _chart([cells], "hour of the day", "", 340, plot_bgcolor=GREY, **axes)


def _chart(data: list[Chart], x: str, y: str, height: int, **layout: Any) -> Chart:
    axis = {"gridcolor": "#e4e7eb", "zeroline": False, "automargin": True, "fixedrange": False}
    whole = {
        "height": height, "margin": {"t": 20, "r": 20, "b": 50, "l": 60}, "showlegend": False, "plot_bgcolor": "white",
        "font": {"family": "system-ui, sans-serif", "color": INK}, **layout,
    }  # fmt: skip
    whole["xaxis"] = {**axis, "title": {"text": x}, **layout.get("xaxis", {})}
    whole["yaxis"] = {**axis, "title": {"text": y}, **layout.get("yaxis", {})}
    return {"data": data, "layout": whole}


def _time(months: pd.DataFrame, **axis: Any) -> Chart:
    """A tick per month while there are few: plotly would say days and hours."""
    first, last = (np.datetime64(months["month"].iloc[end], "M") for end in (0, -1))
    few = {"tickvals": _list(months["month"]), "tickformat": "%b %Y"} if len(months) <= FEW_MONTHS else {}
    return {"type": "date", "range": [str(first - 1), str(last + 1)], **few, **axis}


def _list(values: Any) -> list[Any]:
    """Plain values of a column, a frame or an array; what isn't finite is null, a gap in the chart."""
    array = np.asarray(values)
    if array.dtype.kind != "f":
        return array.tolist()
    plain = array.astype(object)
    plain[~np.isfinite(array)] = None
    return plain.tolist()


def _heads(scored: pd.DataFrame, groups: Mapping[str, str]) -> dict[str, str]:
    """The head of every chart by its name."""
    trained = f" {TRAINED.capitalize()}." if trained_spans(shown_months(scored)) else ""
    heads = {name: _head(TITLES[name], SAID[name]) for name in TITLES}
    for name in ("share_by_month", "trend_by_month"):
        heads[name] = _head(TITLES[name], SAID[name] + trained)
    return heads | {name: _head(group_title(word), GROUP_SAID) for name, (_, word) in named(scored, groups).items()}


def _head(title: str, said: str) -> str:
    return f'<h2>{escape(title)}</h2><p class="quiet">{escape(said)}</p>'


def _json(charts: dict[str, Chart]) -> str:
    """JSON that can't end the script element that holds it."""
    text = json.dumps(charts, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _library() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@cache
def _hash(script: str) -> str:
    """As a content security policy names a script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
