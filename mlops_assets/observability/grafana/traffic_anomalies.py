"""The dashboard of traffic anomalies: the runs that MLflow tracks, and the scored months.

Add a panel here; it stands after the one before it, and the widths of a line add up to 24. Keep out queries and how
kinds of panel look.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable, Row
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard, units

from mlops_assets.observability.grafana import panels, score_queries, tracking_queries
from mlops_assets.observability.grafana.panels import Shown

# Columns that scored months are counted by, and the words for them.
GROUPS = {"weather_condition": "weather", "prim_contributory_cause": "cause"}
FULL, HALF = 24, 12


def made() -> Dashboard:
    """The dashboard. Its range must be relative: the panel about runs looks at its own days whatever is chosen."""
    board = Dashboard("Traffic anomalies").uid("mlops-traffic-anomalies").tags(["mlops", "anomalies"])
    board.description("Runs of the MLflow experiment and the months that were scored, with what stands out in them.")
    # Times of day are kept as they were told, without a zone: shown in UTC they stay as they are.
    board.timezone("utc").time("now-15y", "now").refresh("5m").readonly().tooltip(
        dashboard.DashboardCursorSync.CROSSHAIR
    )
    board.with_variable(_variable("product", "Product", score_queries.PRODUCTS))
    board.with_variable(_variable("mode", "Mode", score_queries.MODES))
    for title, shown in (("Tracked runs", _runs()), ("Scored months", _scores())):
        board.with_row(Row(title))
        for panel in shown:
            board.with_panel(panel)
    return _numbered(board)


def _variable(name: str, label: str, query: str) -> QueryVariable:
    found = QueryVariable(name).label(label).datasource(panels.SOURCE).query(query)
    return found.refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD).sort(dashboard.VariableSort.DISABLED).multi(False)


def _numbered(board: Dashboard) -> Dashboard:
    for number, panel in enumerate(board.build().panels or [], start=1):
        panel.id_val = number
    return board


def _runs() -> list[Builder[dashboard.Panel]]:
    asked, experiment = tracking_queries, f"the MLflow experiment {tracking_queries.EXPERIMENT}"
    recent = {
        "status": panels.status_look(),
        "start": panels.unit_look(units.DatetimeISO),
        "duration": panels.unit_look(units.Seconds),
        "anomaly rate": panels.rate_look(),
        "gates": panels.width_look(320),
    }
    return [
        panels.numbers(Shown("Runs", f"All runs of {experiment}.", asked.RUNS, 7, 6), units.Short),
        panels.rates(
            Shown(
                "Latest anomaly rate",
                "Share of anomalies in the newest run of each kind: yellow from 5 %, red from 10 %.",
                asked.LATEST_RATE, 9, 6,
            )
        ),
        panels.pie(Shown("Run status", f"How the runs of {experiment} ended.", asked.STATUS, 8, 6)),
        panels.rate_lines(
            Shown(
                "Anomaly rate of runs",
                "Share of anomalies that each run of the newest 90 days logged, whatever range is chosen above.",
                asked.RATE_OVER_TIME, FULL,
            )
        ).time_from("90d"),
        panels.rows(
            Shown("Recent runs", "The newest 20 runs; a run at work shows its duration until now. Starts are UTC.",
                  asked.RECENT, FULL, 9),
            recent,
        ),
    ]  # fmt: skip


def _scores() -> list[Builder[dashboard.Panel]]:
    asked = score_queries
    rated = {"anomaly rate": panels.rate_look()}
    scores = {name: panels.score_look() for name in ("lowest", "mean", "highest")}
    return [
        panels.numbers(
            Shown("In all", "Scored months in the range, their records and the anomalies among them.",
                  asked.TOTALS, FULL, 4),
            units.Short, rates=("anomaly rate",),
        ),
        panels.bars(
            Shown("Records and anomalies", "Scored records by month, and the anomalies among them (right axis).",
                  asked.RECORDS_BY_MONTH, HALF),
            right="anomalies",
        ),
        panels.rate_lines(
            Shown("Anomaly rate by month",
                  "Share of anomalies. A month in training was seen by the release that scored it: its rate says how "
                  "well the model knows it, not how usual the month is.",
                  asked.RATE_BY_MONTH, HALF),
        ),
        panels.lines(
            Shown("Scores by month", "Highest, mean and lowest score, and the one that 1 % score below. Below 0 is an "
                  "anomaly.", asked.SCORES_BY_MONTH, HALF),
            units.NoUnit, 3,
        ),
        panels.rate_lines(
            Shown("Production and compatibility",
                  "Share of anomalies by month: by the production release, and by a forest that is fitted to all rows "
                  "and scores all rows.", asked.RATE_BY_MODE, HALF),
        ),
        panels.rows(
            Shown("Lowest scores", "The 20 lowest scores in the range, of those kept of each month, and why.",
                  asked.LOWEST, FULL, 12),
            {"score": panels.score_look(), "at (local time)": panels.width_look(150)},
        ),
        *(
            panels.rows(
                Shown(f"By {word}", f"Records and share of anomalies by {word}; rare values are counted together.",
                      asked.by_group(column, word), HALF, 10),
                {"anomaly rate": panels.bar_look(), word: panels.width_look(260)},
            )
            for column, word in GROUPS.items()
        ),
        panels.heat(
            Shown("By weekday and hour", "Share of anomalies by local hour of the day.", asked.by_hour(), FULL, 9),
            "weekday",
        ),
        panels.rows(
            Shown("Modes side by side", "The modes over the same range; the mean is over records.",
                  asked.MODES_IN_ALL, HALF), rated | scores,
        ),
        panels.rows(
            Shown("Scored by", "Which release scored how many months, and when last.", asked.RELEASES, HALF),
            rated | {"scored at": panels.unit_look(units.DatetimeISO)},
        ),
    ]  # fmt: skip
