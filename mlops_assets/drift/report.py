"""A day's full report as one HTML file: the verdict column by column, and Evidently's charts below it.

Add here what a person should read of a day. Keep out figures, which the verdict holds, and charts (`charts`). Values
come from users' requests: whatever is put into the page is escaped, and the page may load nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mlops_assets.drift import charts, shown
from mlops_assets.drift.facts import ColumnDrift, Monitored, Status, Verdict
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.sample import Sample

# The page works from a file and from any server; a script of it can't fetch or send anything.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "base-uri 'none'; form-action 'none'"
)
SAID = {
    Status.OK: "No drift",
    Status.DRIFTED: "Drift",
    Status.INSUFFICIENT: "Too few rows to tell",
    Status.NO_REFERENCE: "No reference to compare with",
}
ROLES = {"feature": "", "prediction": "what the model answered", "error": "its error where the actual value is known"}

STYLE = """
.drift { font: 14px/1.45 system-ui, sans-serif; color: #1f2933; max-width: 1240px; margin: 24px auto; padding: 0 20px; }
.drift h1 { font-size: 22px; margin: 0 0 4px; }
.drift p { margin: 4px 0; max-width: 90ch; }
.drift .quiet, .drift .p { color: #52606d; }
.drift .scroll { overflow-x: auto; }
.drift table { border-collapse: collapse; width: 100%; margin: 16px 0; }
.drift th, .drift td { text-align: left; padding: 6px 10px; border-bottom: 1px solid #cbd2d9; vertical-align: top; }
.drift th { font-weight: 600; white-space: nowrap; }
.drift td { overflow-wrap: anywhere; }
.drift .figure { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.drift .said { min-width: 22em; }
.drift .status { display: inline-block; padding: 1px 9px; border-radius: 9px; font-weight: 600; white-space: nowrap; }
.drift .ok { background: #def2e6; color: #22543d; }
.drift .drifted { background: #fbd9d9; color: #822727; }
.drift .insufficient, .drift .no_reference { background: #e4e7eb; color: #323f4b; }
"""


def render(
    verdict: Verdict,
    reference: Sample,
    current: Sample,
    monitored: Sequence[Monitored],
    policy: DriftPolicy,
    title: str,
    note: str = "",
) -> bytes:
    """The page in UTF-8, about 4 MB with charts. `note` is a sentence of the caller's.

    A column without values on a side has no chart; it is in the table all the same.
    """
    snapshot = charts.drawn(verdict, reference, current, monitored)
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        f"<title>{escape(title)}: drift {verdict.day}</title><style>{STYLE}</style>"
    )
    body = _verdict(verdict, policy, title, note, has_charts=snapshot is not None)
    if snapshot is None:
        page = f'<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8">{head}</head><body>{body}</body></html>'
    else:
        page = _inserted(charts.page(snapshot), head, body)
    return page.encode()


def _inserted(page: str, head: str, body: str) -> str:
    """Evidently's page with ours first: the security policy must come before every script."""
    before, mark, after = page.partition("<head>")
    if not mark or "<body>" not in after:
        raise RuntimeError("Evidently's page has no head or no body: the report can't be put into it")
    after = after.replace("<body>", f"<body>{body}", 1)
    return f"{before.lstrip()}<head>{head}{after}"


def _verdict(verdict: Verdict, policy: DriftPolicy, title: str, note: str, *, has_charts: bool) -> str:
    facts = (
        f"{verdict.day} (UTC) against the training data of release {verdict.release} · "
        f"{verdict.current_rows:,} of {verdict.logged_rows:,} logged rows compared with {verdict.reference_rows:,}"
    )
    columns = "".join(_row(column) for column in shown.ordered(verdict.columns))
    table = (
        '<div class="scroll"><table><thead><tr><th>column</th><th>verdict</th><th class="figure">distance</th>'
        '<th class="figure">limit</th><th class="figure">p</th><th>in training</th><th>that day</th><th>in words</th>'
        f"</tr></thead><tbody>{columns}</tbody></table></div>"
    )
    said = [
        f'<h1>{escape(title)} <span class="status {verdict.status}">{SAID[verdict.status]}</span></h1>',
        f'<p class="quiet">{escape(facts)}</p>',
        *(f"<p>{escape(reason)}</p>" for reason in verdict.reasons),
        f"<p>{escape(note)}</p>" if note else "",
        table if columns else "",
        f'<p class="quiet">{escape(_rule(verdict, policy))}</p>',
        f'<p class="quiet">{escape(_charts(policy))}</p>' if has_charts else "",
    ]
    return f'<main class="drift">{"".join(said)}</main>'


def _row(column: ColumnDrift) -> str:
    role = ROLES[column.role]
    name = escape(column.name) + (f'<br><span class="quiet">{role}</span>' if role else "")
    unit = " sd" if column.distance == "wasserstein" and column.effect is not None else ""
    return (
        f'<tr><td>{name}</td><td><span class="status {column.status}">{column.status}</span></td>'
        f'<td class="figure">{shown.number(column.effect)}{unit}</td>'
        f'<td class="figure">{shown.number(column.floor)}</td>'
        f'<td class="figure">{escape(shown.p_value(column.p_value))}</td>'
        f"<td>{escape(shown.side(column, column.reference))}</td><td>{escape(shown.side(column, column.current))}</td>"
        f'<td class="said">{escape(" ".join(column.reasons))}</td></tr>'
    )


def _rule(verdict: Verdict, policy: DriftPolicy) -> str:
    alpha = f"p below {verdict.columns[0].alpha:.2g} here" if verdict.columns else f"p below {policy.alpha:g} / columns"
    return (
        f"A column drifts only if its change is both certain ({alpha}) and large (at least the limit), or if the share "
        "of missing, unknown or out-of-range values has risen by more than its limit. Distances: numbers in standard "
        "deviations of the training data, categories as the share of rows that has moved, beyond chance. Numbers are "
        "given as median (middle half)."
    )


def _charts(policy: DriftPolicy) -> str:
    return (
        "Charts: Evidently, with the verdicts of the table above. Numbers beyond the 0.1-99.9 % range of the training "
        f"data are drawn at its ends, categories beyond the {charts.MOST_CATEGORIES - 1} commonest as one; the "
        "distance it prints for categories is Jensen-Shannon. The index under 'data drift' runs with the time of day. "
        f"At most {policy.sample_rows:,} rows a side are drawn."
    )
