"""A trace as a tree for a terminal, from the answer down to the data and the code.

Add a branch here when a trace has a fact more. Keep out reading it (`tracer`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from mlops_assets.observability.trace.facts import (
    Answer,
    AnswerTrace,
    DataFacts,
    DriftOfDay,
    FeedbackGiven,
    KeptIn,
    ReleaseFacts,
    Role,
    Standing,
)
from mlops_assets.observability.trace.links import TraceLinks

COLOURS = {"ok": "green", "drifted": "red"}
ROLES = {
    Role.PRODUCTION: "production",
    Role.CANDIDATE: "the candidate",
    Role.PREVIOUS: "the production before, kept to go back to",
    Role.NONE: "without a role",
}


def tree_of(trace: AnswerTrace, links: TraceLinks) -> Tree:
    """The tree; what isn't known is said at its end."""
    answer = trace.answer
    root = Tree(f"[bold]{escape(answer.product)}[/] answer [bold]{answer.id}[/]", highlight=False)
    _answer(root, answer)
    _values(root, trace)
    if trace.release is not None:
        _release(root.add(_head("release", _named(trace.release))), trace.release, trace.data, links)
    if trace.standing is not None:
        _standing(root, trace.standing, answer, links)
    if trace.drift is not None:
        _drift(root, trace.drift, links)
    _feedback(root, trace.feedback)
    if trace.missing:
        branch = root.add("[yellow]not known[/]")
        for one in trace.missing:
            branch.add(escape(one))
    root.add(f"[dim]{escape(links.trace)}[/]")
    return root


def _answer(root: Tree, answer: Answer) -> None:
    kept = "" if answer.kept_in is KeptIn.DATABASE else ", from the hourly file: the database has removed it"
    root.add(_line("answered", f"{_moment(answer.at, seconds=True)} in {answer.latency_ms:.1f} ms{kept}"))
    chosen = {None: "not through the gateway", "forced": "forced by an operator"}.get(answer.assigned)
    told = f"assigned {answer.assigned}, and {answer.variant} stood in" if answer.stood_in else chosen
    root.add(_line("variant", answer.variant + (f" ({told})" if told else "")))
    root.add(_line("trace id", answer.trace_id))
    root.add(_line("request id", answer.request_id))
    if answer.sample:
        root.add(_line("sample data", "the release was trained on generated rows"))


def _values(root: Tree, trace: AnswerTrace) -> None:
    answer = trace.answer
    said = root.add("answer" if trace.values else "answer [dim](its numbers)[/]")
    _pairs(said, answer.output)
    if not trace.values:
        root.add("[dim]request: --values shows it, and the audit notes that[/]")
        return
    _pairs(root.add("request"), answer.features or {})
    root.add(_line("user", answer.user_hash and f"{answer.user_hash} (a hash)"))


def _release(branch: Tree, release: ReleaseFacts, data: DataFacts | None, links: TraceLinks) -> None:
    branch.add(_line("published", _moment(release.published_at)))
    if release.archived_at is not None:
        branch.add(_line("archived", _moment(release.archived_at)))
    branch.add(_line("model version", release.model_version, links.mlflow_model))
    branch.add(_line("model sha256", release.model_sha256))
    if release.bento:
        branch.add(_line("bento", release.bento))
    branch.add(_line("MLflow run", release.mlflow_run_id, links.mlflow_run))
    branch.add(_line("Dagster run", release.dagster_run_id, links.dagster_run))
    branch.add(_line("code version", release.code_version))
    if release.trained_until:
        branch.add(_line("trained until", release.trained_until))
    if release.metrics:
        branch.add(_line("metrics", ", ".join(f"{k} {v:.4g}" for k, v in sorted(release.metrics.items()))))
    if data is None:
        return
    sample = ", generated sample rows" if data.sample else ""
    rows = branch.add(_head("data", f"V{data.version}, {data.rows:,} rows{sample}"))
    rows.add(_line("sha256", data.sha256))
    if data.source:
        rows.add(_line("source", data.source))
    if data.stored_at is not None:
        rows.add(_line("stored", _moment(data.stored_at)))


def _standing(root: Tree, standing: Standing, answer: Answer, links: TraceLinks) -> None:
    number = answer.rollout if answer.rollout is not None else standing.rollout
    name = "rollout" if number is None else f"rollout {number}"
    step = f", step {answer.step}" if answer.step is not None else ""
    branch = root.add(_head(name, f"{standing.phase}{step} [dim]({escape(standing.meaning)})[/]", plain=False))
    serving = f"production {standing.production}"
    if standing.candidate is not None:
        serving += f", candidate {standing.candidate} at {standing.candidate_share:.0%}"
    branch.add(_line("served then", serving + (", paused" if standing.paused else "")))
    if standing.drift_block:
        branch.add(_line("promotion", f"blocked: {standing.drift_block}"))
    role = f"{ROLES[standing.role]} then, {ROLES[standing.role_now]} now"
    branch.add(_line(f"release {answer.version}", role))
    if standing.came_by is not None:
        by = standing.came_by
        branch.add(_line("came by", f"{by.event} of {_moment(by.at)} by {by.actor}: {by.reason}"))
    branch.add(f"[dim]{escape(links.rollout)}[/]")


def _drift(root: Tree, drift: DriftOfDay, links: TraceLinks) -> None:
    colour = COLOURS.get(drift.status, "yellow")
    told = f"[{colour}]{escape(drift.status)}[/] [dim](beside what release {drift.release} was trained on)[/]"
    branch = root.add(_head(f"drift of {drift.day}", told, plain=False))
    if drift.drifted:
        branch.add(_line("drifted", ", ".join(drift.drifted)))
    for reason in drift.reasons:
        branch.add(escape(reason))
    if drift.candidate_status is not None:
        branch.add(_line(f"beside release {drift.candidate_release}", drift.candidate_status))
    if links.drift:
        branch.add(f"[dim]{escape(links.drift)}[/]")


def _feedback(root: Tree, feedback: Iterable[FeedbackGiven]) -> None:
    given = list(feedback)
    branch = root.add(_head("feedback", str(len(given)) if given else "none"))
    for one in given:
        value = "" if one.value is None else f" {one.value:g}"
        words = "" if one.text is None else f": {one.text}"
        branch.add(escape(f"{one.type}{value}{words} ({_moment(one.at)})"))


def _pairs(branch: Tree, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        branch.add(_line(name, shown))


def _named(release: ReleaseFacts) -> str:
    return f"{release.version}" + (f" ({', '.join(release.labels)})" if release.labels else "")


def _head(name: str, value: str, *, plain: bool = True) -> str:
    return f"[bold]{escape(name)}[/] {escape(value) if plain else value}"


def _line(name: str, value: str | None, link: str | None = None) -> str:
    told = "[dim]–[/]" if not value else escape(value)
    return f"[cyan]{escape(name)}[/] {told}" + (f" [dim]{escape(link)}[/]" if link and value else "")


def _moment(moment: datetime, *, seconds: bool = False) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if seconds else f"{moment:%Y-%m-%d %H:%M} UTC"
