"""The kinds of panel that our dashboards use, each with its title, description, unit and one PostgreSQL query.

Add a kind here when a dashboard needs one. Keep out queries (`tracking_queries`, `score_queries`) and what stands on
a dashboard and where (`traffic_anomalies`). Grafana's own types are the Foundation SDK's; it has none for a PostgreSQL
query, which is a plain object there. The SDK is a developer's tool: nothing that runs in production imports this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import piechart, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.runtime import UnknownDataquery
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common, dashboard, units
from grafana_foundation_sdk.models.piechart import PieChartLabels

# The data source that deploy/grafana/provisioning declares.
SOURCE = dashboard.DataSourceRef(type_val="postgres", uid="mlops")
YELLOW, RED = 0.05, 0.10
COLOURS = {"FINISHED": "green", "FAILED": "red", "KILLED": "orange", "RUNNING": "blue", "SCHEDULED": "purple"}

Format = Literal["table", "time_series"]
Look = list[dashboard.DynamicConfigValue]
Panel = TypeVar("Panel", stat.Panel, piechart.Panel, timeseries.Panel, table.Panel)


@dataclass(frozen=True)
class Shown:
    """What every panel has. `width` is in columns of 24, `height` in rows of Grafana's grid."""

    title: str
    description: str
    sql: str
    width: int
    height: int = 8


class PostgresQuery(Builder[Dataquery]):
    """A query in SQL. A `time_series` has a column `time` and gives a series for each number, or each `metric`."""

    def __init__(self, sql: str, form: Format) -> None:
        self._sql = sql
        self._form = form

    def build(self) -> Dataquery:
        return UnknownDataquery(
            {
                "refId": "A",
                "datasource": SOURCE.to_json(),
                "editorMode": "code",
                "format": self._form,
                "rawQuery": True,
                "rawSql": self._sql,
            }
        )


def rate_thresholds() -> dashboard_builders.ThresholdsConfig:
    """Green, yellow from 5 % and red from 10 % anomalies."""
    steps = [
        dashboard.Threshold(None, "green"),
        dashboard.Threshold(YELLOW, "yellow"),
        dashboard.Threshold(RED, "red"),
    ]
    return dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def rate_look() -> Look:
    """A column of shares of anomalies: in percent, coloured by the thresholds."""
    return [
        dashboard.DynamicConfigValue("unit", units.PercentUnit),
        dashboard.DynamicConfigValue("decimals", 2),
        dashboard.DynamicConfigValue("thresholds", rate_thresholds().build()),
        dashboard.DynamicConfigValue("color", {"mode": dashboard.FieldColorModeId.THRESHOLDS}),
    ]


def bar_look() -> Look:
    """The same with a bar in the cell."""
    cell = common.TableBarGaugeCellOptions(mode=common.BarGaugeDisplayMode.BASIC)
    return [*rate_look(), dashboard.DynamicConfigValue("custom.cellOptions", cell)]


def unit_look(unit: str) -> Look:
    """A column in another unit than its panel's."""
    return [dashboard.DynamicConfigValue("unit", unit)]


def score_look() -> Look:
    """A column of scores; below 0 is an anomaly."""
    steps = [dashboard.Threshold(None, "red"), dashboard.Threshold(0, "text")]
    below = dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)
    return [
        dashboard.DynamicConfigValue("unit", units.NoUnit),
        dashboard.DynamicConfigValue("decimals", 4),
        dashboard.DynamicConfigValue("thresholds", below.build()),
        dashboard.DynamicConfigValue("custom.cellOptions", {"type": common.TableCellDisplayMode.COLOR_TEXT}),
        dashboard.DynamicConfigValue("custom.width", 90),
    ]


def width_look(pixels: int) -> Look:
    """A column of that width."""
    return [dashboard.DynamicConfigValue("custom.width", pixels)]


def numbers(shown: Shown, unit: str, form: Format = "table", rates: Sequence[str] = ()) -> stat.Panel:
    """Large numbers: the last value of each column, or of each series; those of `rates` are shares of anomalies."""
    panel = stat.Panel().unit(unit).graph_mode(common.BigValueGraphMode.NONE)
    panel = panel.color_mode(common.BigValueColorMode.VALUE).text_mode(common.BigValueTextMode.AUTO)
    panel = panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    neutral = dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE)
    panel = panel.thresholds(neutral.steps([dashboard.Threshold(None, "text")]))
    for name in rates:
        panel = panel.override_by_name(name, rate_look())
    return _placed(panel, shown, form)


def rates(shown: Shown) -> stat.Panel:
    """The last share of anomalies of each series, coloured by the thresholds."""
    return numbers(shown, units.PercentUnit, "time_series").decimals(2).thresholds(rate_thresholds())


def pie(shown: Shown) -> piechart.Panel:
    """A slice for each row: a word and its count. Statuses have their own colours."""
    panel = piechart.Panel().unit(units.Short)
    panel = panel.reduce_options(common_builders.ReduceDataOptions().values(True).calcs(["lastNotNull"]))
    panel = panel.display_labels([PieChartLabels.NAME, PieChartLabels.VALUE]).mappings([_status_colours()])
    return _placed(panel, shown, "table")


def lines(shown: Shown, unit: str, decimals: int | None = None) -> timeseries.Panel:
    """A line with points for each series."""
    panel = timeseries.Panel().unit(unit).line_width(1).fill_opacity(0).show_points(common.VisibilityMode.ALWAYS)
    panel = panel.point_size(5).span_nulls(False).legend(_legend())
    return _placed(panel if decimals is None else panel.decimals(decimals), shown, "time_series")


def rate_lines(shown: Shown) -> timeseries.Panel:
    """The same for shares of anomalies, with the thresholds as dashed lines."""
    style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
    return lines(shown, units.PercentUnit, 2).min(0).thresholds(rate_thresholds()).thresholds_style(style)


def bars(shown: Shown, right: str) -> timeseries.Panel:
    """Counts as bars; the series `right` as a line with an axis of its own on the right."""
    panel = lines(shown, units.Short).draw_style(common.GraphDrawStyle.BARS).fill_opacity(40).min(0)
    line = {
        "custom.drawStyle": common.GraphDrawStyle.LINE,
        "custom.axisPlacement": common.AxisPlacement.RIGHT,
        "custom.fillOpacity": 0,
        "color": {"mode": dashboard.FieldColorModeId.FIXED, "fixedColor": "orange"},
    }
    return panel.override_by_name(right, [dashboard.DynamicConfigValue(name, value) for name, value in line.items()])


def rows(shown: Shown, looks: Mapping[str, Look]) -> table.Panel:
    """A table; `looks` says how single columns look."""
    panel = table.Panel().unit(units.Short).show_header(True)
    for name, look in looks.items():
        panel = panel.override_by_name(name, look)
    return _placed(panel, shown, "table")


def status_look() -> Look:
    """A column of run statuses in their colours."""
    cell = {"type": common.TableCellDisplayMode.COLOR_TEXT}
    return [
        dashboard.DynamicConfigValue("mappings", [_status_colours()]),
        dashboard.DynamicConfigValue("custom.cellOptions", cell),
    ]


def heat(shown: Shown, words: str) -> table.Panel:
    """A table of shares whose cells are coloured from few to many; the column `words` names the rows."""
    cell = common.TableColoredBackgroundCellOptions(mode=common.TableCellBackgroundDisplayMode.BASIC)
    coloured = [
        dashboard.DynamicConfigValue("custom.cellOptions", cell),
        dashboard.DynamicConfigValue("color", {"mode": dashboard.FieldColorModeId.CONTINUOUS_BL_YL_RD}),
        dashboard.DynamicConfigValue("custom.width", 62),
    ]
    panel = table.Panel().unit(units.PercentUnit).decimals(1).min(0).show_header(True)
    panel = panel.override_by_regexp("/^\\d\\d$/", coloured).override_by_name(words, width_look(110))
    return _placed(panel, shown, "table")


def _placed(panel: Panel, shown: Shown, form: Format) -> Panel:
    panel.title(shown.title).description(shown.description).datasource(SOURCE)
    panel.span(shown.width).height(shown.height)
    panel.with_target(PostgresQuery(shown.sql, form))
    return panel


def _legend() -> common_builders.VizLegendOptions:
    legend = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    return legend.placement(common.LegendPlacement.BOTTOM).show_legend(True).calcs([])


def _status_colours() -> dashboard.ValueMap:
    results = {
        word: dashboard.ValueMappingResult(color=colour, index=index)
        for index, (word, colour) in enumerate(COLOURS.items())
    }
    return dashboard.ValueMap(options=results)
