"""The page that tells and draws what triggers what: Markdown with Mermaid charts, made from the loaded definitions.

Add here a column or a table. Keep out the facts (`facts`), the drawing (`chart`) and the wording of times (`words`).
Nothing on the page is written by hand: a description belongs to the definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_assets.observability.automation.chart import chart
from mlops_assets.observability.automation.facts import Asset, Automation, Job, Trigger, read
from mlops_assets.observability.automation.words import cron_words, duration_words, interval_words
from mlops_assets.settings import PROJECT

if TYPE_CHECKING:
    import dagster as dg

INSTANCE = PROJECT / "dagster_home" / "dagster.yaml"
HEAD = """# What triggers what

Made from the definitions by `mlops automation`; a test fails when this page is out of date.

In the charts a round box is a schedule, a hexagon a sensor or a condition, a frame a job with its assets in order,
a cylinder what lies outside Dagster. A thin line starts or feeds, a dotted line is read, a thick line writes. A red
asset has blocking gates: if one fails, what comes after it is not made. Jobs that stand alone (housekeeping) are in
the tables only."""


def project_page(definitions: dg.Definitions) -> str:
    """The page of this project's definitions with the limits of its `dagster.yaml`."""
    import yaml

    return page(definitions, yaml.safe_load(INSTANCE.read_text(encoding="utf-8")))


def page(definitions: dg.Definitions, instance: Mapping[str, Any]) -> str:
    """The page, with a newline at its end. `instance` is the content of a `dagster.yaml`."""
    automation = read(definitions)
    parts = [HEAD]
    for group in automation.groups:
        parts += [f"## {group}", f"```mermaid\n{chart(automation, group)}\n```", *_group_tables(automation, group)]
    parts += ["## Jobs", _jobs(automation, instance), "## Retries and limits of every run", *_house_rules(instance)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _group_tables(automation: Automation, group: str) -> Iterable[str]:
    triggers = [trigger for trigger in automation.triggers if trigger.group == group]
    assets = [asset for asset in automation.assets if asset.group == group]
    yield _schedules(group, [trigger for trigger in triggers if trigger.kind == "schedule"])
    yield _sensors(group, [trigger for trigger in triggers if trigger.kind == "sensor"])
    yield _assets(group, assets)
    yield _checks(group, assets)


def _schedules(group: str, schedules: Sequence[Trigger]) -> str:
    rows = [
        (
            _code(one.name, one.on),
            "; ".join(f"{cron_words(cron)} (`{cron}`)" for cron in one.cron),
            one.zone,
            _codes(one.jobs),
            one.description,
        )
        for one in schedules
    ]
    return _table(f"Schedules of {group}", ("schedule", "when", "time zone", "starts", "why"), rows)


def _sensors(group: str, sensors: Sequence[Trigger]) -> str:
    rows = [
        (
            _code(one.name, one.on),
            interval_words(one.seconds),
            ", ".join(one.watches),
            _codes(one.jobs) or "no run",
            ", ".join(one.writes),
            one.description,
        )
        for one in sensors
    ]
    return _table(f"Sensors of {group}", ("sensor", "looks", "watches", "starts", "writes", "why"), rows)


def _assets(group: str, assets: Sequence[Asset]) -> str:
    rows = [
        (
            f"`{asset.key.removeprefix(f'{group}/')}`",
            asset.partitions or "",
            asset.condition or "",
            str(asset.retries or ""),
            "" if asset.seconds is None else duration_words(asset.seconds),
            ", ".join(asset.writes),
            asset.description,
        )
        for asset in assets
    ]
    head = ("asset", "partitions", "made by itself when", "tries again", "time limit", "writes", "what it is")
    return _table(f"Assets of {group}", head, rows)


def _checks(group: str, assets: Sequence[Asset]) -> str:
    rows = [
        (
            f"`{asset.key.removeprefix(f'{group}/')}`",
            f"`{check.name}`",
            "blocks" if check.blocking else "tells",
            check.description,
        )
        for asset in assets
        for check in asset.checks
    ]
    return _table(f"Checks of {group}", ("asset", "check", "when it fails", "about"), rows)


def _jobs(automation: Automation, instance: Mapping[str, Any]) -> str:
    started: dict[str, list[str]] = {}
    for trigger in automation.triggers:
        for name in trigger.jobs:
            started.setdefault(name, []).append(f"`{trigger.name}`")
    rows = [
        (
            f"`{job.name}`",
            ", ".join(started.get(job.name, ["a person"])),
            " → ".join(key.rpartition("/")[2] for key in job.assets),
            "" if job.seconds is None else duration_words(job.seconds),
            "; ".join(_limits_of(job, instance)),
            job.description,
        )
        for job in automation.jobs
    ]
    head = ("job", "started by", "assets", "time limit", "at the same time", "what it does")
    return _table("", head, rows)


def _tag_limits(instance: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    coordinator = instance.get("run_coordinator", {}).get("config", {})
    limits: Sequence[Mapping[str, Any]] = coordinator.get("tag_concurrency_limits") or ()
    return limits


def _limits_of(job: Job, instance: Mapping[str, Any]) -> Iterable[str]:
    for limit in _tag_limits(instance):
        value = job.tags.get(limit["key"])
        if value is None:
            continue
        wanted = limit.get("value")
        if isinstance(wanted, Mapping) and wanted.get("applyLimitPerUniqueValue"):
            yield f"{_number(limit['limit'])} with `{limit['key']}: {value}`"
        elif wanted in (None, value):
            yield f"{_number(limit['limit'])} with `{limit['key']}`"


def _house_rules(instance: Mapping[str, Any]) -> Iterable[str]:
    coordinator = instance.get("run_coordinator", {}).get("config", {})
    launcher = instance.get("run_launcher", {}).get("config", {})
    retries = instance.get("run_retries", {})
    rows = [
        ("runs in progress", _number(coordinator.get("max_concurrent_runs", "")), "further ones wait in the queue"),
        ("time limit of a run", f"{_number(launcher.get('run_timeout_seconds', ''))} s", "unless its job says another"),
        (
            "grace after a stage's time limit",
            f"{launcher.get('stage_grace_seconds', '')} s",
            "then its process is killed; it is not tried again",
        ),
        (
            "new runs for one whose process died",
            str(retries.get("max_retries", 0) if retries.get("enabled") else 0),
            f"after about {coordinator.get('retry_delay_seconds', '')} s, doubled for each; done assets stay",
        ),
    ]
    rows += [(f"runs with `{limit['key']}`", _number(limit["limit"]), _per(limit)) for limit in _tag_limits(instance)]
    yield _table("", ("limit", "value", "what happens"), rows)


def _per(limit: Mapping[str, Any]) -> str:
    wanted = limit.get("value")
    if isinstance(wanted, Mapping):
        return "for each value; the next one waits, all other runs start at once"
    return f"with the value {wanted}" if wanted else "all values together; the next one waits"


def _number(value: Any) -> str:
    """A number, or the setting that holds it."""
    return f"`{value['env']}`" if isinstance(value, Mapping) else str(value)


def _code(name: str, on: bool) -> str:
    return f"`{name}`" if on else f"`{name}` (off until switched on)"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table under its title, without columns that are empty in every row; nothing for no rows."""
    if not rows:
        return ""
    kept = [index for index in range(len(head)) if any(row[index] for row in rows)]
    lines = [[head[index] for index in kept], ["---"] * len(kept)]
    lines += [[_cell(row[index]) for index in kept] for row in rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"### {title}\n\n{table}" if title else table


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
