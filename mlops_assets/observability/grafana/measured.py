"""The kinds of panel that show what Prometheus has: states, lines, bars, timelines, tables.

Add a kind here when a dashboard needs one. Keep out expressions (`promql`), what stands where (a file for each
dashboard) and panels over the database (`panels`). A panel names the alerts that it explains: their runbook entries
are in deploy/ALERTS.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.models import common, dashboard, units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

# The data source that deploy/grafana/provisioning declares.
SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="mlops-prometheus")
GREEN, YELLOW, RED, PLAIN = "green", "yellow", "red", "text"

Steps = list[dashboard.Threshold]
Words = Mapping[int, tuple[str, str]]
Panel = TypeVar("Panel", stat.Panel, timeseries.Panel, bargauge.Panel, statetimeline.Panel, table.Panel)


@dataclass(frozen=True)
class Asked:
    """One expression. `legend` names its series: plain words, and labels as `{{label}}`."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Told:
    """What every panel has. `width` is in columns of 24, `height` in rows of Grafana's grid; `alerts` are names."""

    title: str
    description: str
    asked: tuple[Asked, ...]
    width: int
    height: int = 8
    alerts: tuple[str, ...] = ()

    def explained(self) -> str:
        """The description, with where to read on."""
        if not self.alerts:
            return self.description
        return f"{self.description} Runbook (deploy/ALERTS.md): {', '.join(self.alerts)}."


def told(
    title: str, description: str, expression: str, width: int, *, legend: str = "", height: int = 8,
    alerts: tuple[str, ...] = (),
) -> Told:  # fmt: skip
    """A panel with a single expression."""
    return Told(title, description, (Asked(expression, legend or title),), width, height, alerts)


def above(yellow: float | None, red: float | None) -> Steps:
    """Green, yellow and red from these values on; None: never."""
    steps = [dashboard.Threshold(None, GREEN)]
    steps += [dashboard.Threshold(at, colour) for at, colour in ((yellow, YELLOW), (red, RED)) if at is not None]
    return steps


def below(red: float, yellow: float | None = None) -> Steps:
    """Red and yellow below these values, else green; None: never yellow."""
    steps = [dashboard.Threshold(None, RED)]
    if yellow is None:
        return [*steps, dashboard.Threshold(red, GREEN)]
    return [*steps, dashboard.Threshold(red, YELLOW), dashboard.Threshold(yellow, GREEN)]


def plain() -> Steps:
    """No colour: a number that is neither good nor bad."""
    return [dashboard.Threshold(None, PLAIN)]


def state(shown: Told, unit: str, steps: Steps, *, none: str, words: Words | None = None) -> stat.Panel:
    """The newest value of each series on its colour; `none` is shown when there is nothing."""
    panel = stat.Panel().unit(unit).no_value(none).graph_mode(common.BigValueGraphMode.NONE)
    coloured = len(steps) > 1
    mode = common.BigValueColorMode.BACKGROUND if coloured else common.BigValueColorMode.VALUE
    panel = panel.color_mode(mode).text_mode(common.BigValueTextMode.AUTO)
    panel = panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    panel = panel.thresholds(_absolute(steps)).mappings(_mappings(words))
    return _placed(panel, shown, instant=True)


def lines(shown: Told, unit: str, *, steps: Steps | None = None, stacked: bool = False) -> timeseries.Panel:
    """A line for each series, from 0 up; `steps` are dashed lines across."""
    panel = timeseries.Panel().unit(unit).line_width(1).fill_opacity(30 if stacked else 8).min(0)
    panel = panel.show_points(common.VisibilityMode.NEVER).span_nulls(False).legend(_legend())
    panel = panel.tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    if stacked:
        panel = panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if steps:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        panel = panel.thresholds(_absolute(steps)).thresholds_style(style)
    return _placed(panel, shown)


def bars(shown: Told, unit: str) -> timeseries.Panel:
    """Counts over time as stacked bars."""
    return lines(shown, unit, stacked=True).draw_style(common.GraphDrawStyle.BARS).fill_opacity(60)


def sizes(shown: Told, unit: str, steps: Steps, *, none: str) -> bargauge.Panel:
    """The newest value of each series as a horizontal bar."""
    panel = bargauge.Panel().unit(unit).min(0).no_value(none).display_mode(common.BarGaugeDisplayMode.BASIC)
    panel = panel.orientation(common.VizOrientation.HORIZONTAL).thresholds(_absolute(steps))
    panel = panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    return _placed(panel, shown, instant=True)


def timeline(shown: Told, words: Words, *, none: str) -> statetimeline.Panel:
    """A band for each series with the states that it was in."""
    panel = statetimeline.Panel().unit(units.NoUnit).no_value(none).mappings(_mappings(words)).fill_opacity(70)
    panel = panel.show_value(common.VisibilityMode.NEVER).row_height(0.8).legend(_legend([]))
    return _placed(panel, shown)


def rows(
    shown: Told, columns: Sequence[str], looks: Mapping[str, tuple[str, Steps]], *, none: str
) -> table.Panel:  # fmt: skip
    """A line for each set of labels; each expression is a column named by its legend, with unit and colours by `looks`.

    `columns` are the labels that are shown, in their order; expressions must have no others.
    """
    panel = table.Panel().unit(units.Short).no_value(none).show_header(True)
    names = ["Value"] if len(shown.asked) == 1 else [f"Value #{_reference(n)}" for n in range(len(shown.asked))]
    order = [*columns, *names]
    organized = {
        "excludeByName": {"Time": True},
        "indexByName": {name: index for index, name in enumerate(order)},
        "renameByName": {name: one.legend for name, one in zip(names, shown.asked, strict=True)},
    }
    if len(shown.asked) > 1:
        panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=organized))
    for name, (unit, steps) in looks.items():
        if name not in {one.legend for one in shown.asked}:
            raise ValueError(f"{shown.title}: there is no column {name}")
        panel = panel.override_by_name(name, _look(unit, steps))
    return _placed(panel, shown, instant=True, form=PromQueryFormat.TABLE)


def _look(unit: str, steps: Steps) -> list[dashboard.DynamicConfigValue]:
    look = [dashboard.DynamicConfigValue("unit", unit)]
    if len(steps) > 1:
        look += [
            dashboard.DynamicConfigValue("thresholds", _absolute(steps).build()),
            dashboard.DynamicConfigValue("color", {"mode": dashboard.FieldColorModeId.THRESHOLDS}),
            dashboard.DynamicConfigValue("custom.cellOptions", {"type": common.TableCellDisplayMode.COLOR_TEXT}),
        ]
    return look


def _placed(
    panel: Panel, shown: Told, *, instant: bool = False, form: PromQueryFormat = PromQueryFormat.TIME_SERIES
) -> Panel:
    panel.title(shown.title).description(shown.explained()).datasource(SOURCE).span(shown.width).height(shown.height)
    for number, one in enumerate(shown.asked):
        query = prometheus.Dataquery().ref_id(_reference(number)).datasource(SOURCE).expr(one.expression)
        query = query.legend_format(one.legend).format(form).editor_mode(QueryEditorMode.CODE)
        panel.with_target(query.instant() if instant else query.range())
    return panel


def _reference(number: int) -> str:
    return chr(ord("A") + number)


def _absolute(steps: Steps) -> dashboard_builders.ThresholdsConfig:
    return dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _mappings(words: Words | None) -> list[dashboard.ValueMapping]:
    results = {
        str(value): dashboard.ValueMappingResult(text=word, color=colour, index=index)
        for index, (value, (word, colour)) in enumerate((words or {}).items())
    }
    return [dashboard.ValueMap(options=results)] if results else []


def _legend(calculated: Sequence[str] = ("lastNotNull", "max")) -> common_builders.VizLegendOptions:
    mode = common.LegendDisplayMode.TABLE if calculated else common.LegendDisplayMode.LIST
    legend = common_builders.VizLegendOptions().display_mode(mode).show_legend(True)
    return legend.placement(common.LegendPlacement.BOTTOM).calcs(list(calculated))
