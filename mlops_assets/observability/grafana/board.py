"""What all dashboards of the platform have in common: variables, links, a refresh, numbered panels.

Add here what every one of them should have. Keep out what stands on a single one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, QueryVariable, Row, TextBoxVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard, units

from mlops_assets.observability.grafana.measured import SOURCE, above, state, told
from mlops_assets.observability.grafana.promql import of
from mlops_assets.settings import Settings

TAG = "mlops"
# Where the control API's pages are, unless an address says otherwise (?var-console=https://…).
CONSOLE = f"http://{Settings.model_fields['host'].default}:{Settings.model_fields['api_port'].default}"

Panels = Sequence[Builder[dashboard.Panel]]


def board(
    name: str, title: str, description: str, *, pages: Iterable[str], variables: Iterable[QueryVariable],
    parts: Iterable[tuple[str, Panels]], since: str = "now-6h",
) -> Dashboard:  # fmt: skip
    """A dashboard from its parts, each a heading with panels, with links to pages of the console."""
    made = Dashboard(title).uid(f"mlops-{name}").tags([TAG, name]).description(description)
    made.timezone("browser").time(since, "now").refresh("1m").readonly()
    made.tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    others = DashboardLink("Dashboards").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG])
    made.link(others.as_dropdown(True).keep_time(True).include_vars(False).tooltip("The platform's other dashboards"))
    for page in pages:
        link = DashboardLink(f"Console: {page}").type(dashboard.DashboardLinkType.LINK).icon("external link")
        made.link(link.url(f"${{console:raw}}/{page}").target_blank(True).tooltip(f"The console's page of {page}"))
    for variable in variables:
        made.with_variable(variable)
    console = dashboard.VariableOption(selected=True, text=CONSOLE, value=CONSOLE)
    made.with_variable(
        TextBoxVariable("console").label("Console").default_value(CONSOLE).current(console).options([console])
    )
    for heading, panels in parts:
        made.with_row(Row(heading))
        for panel in panels:
            made.with_panel(panel)
    for number, one in enumerate(made.build().panels or [], start=1):
        one.id_val = number
    return made


def text(made: Dashboard) -> str:
    """A dashboard as JSON, with a newline at its end."""
    return JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False).encode(made.build()) + "\n"


def choice(name: str, title: str, series: str, *, many: bool = False) -> QueryVariable:
    """A variable of the values that label `name` has in these series: one, several or all of them.

    `many`: all are `.*` and not a list, which would be too long to send; then no query in SQL may use it.
    """
    query: dict[str, object] = {"query": f"label_values({series}, {name})", "refId": f"variable-{name}"}
    every = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    found = QueryVariable(name).label(title).datasource(SOURCE).query(query).multi(True).include_all(True)
    found.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    found.current(every)
    return found.all_value(".*") if many else found


def firing(width: int, description: str, *names: str) -> Builder[dashboard.Panel]:
    """How many alerts of these names fire; all without a name."""
    of_these = f'alertname=~"{"|".join(names)}"' if names else 'alertname!="Watchdog"'
    alerts = of("ALERTS", 'alertstate="firing"', of_these)
    return state(
        told("Alerts", description, f"count({alerts}) or vector(0)", width, height=4),
        units.NoUnit, above(None, 1), none="0",
    )  # fmt: skip
