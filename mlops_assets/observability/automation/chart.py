"""One product's automation as a Mermaid flowchart: what is watched, what triggers, jobs with assets, what is written.

Jobs that touch nothing else of it (housekeeping) are left to the tables. Add here how a fact is drawn. Keep out the
facts (`facts`) and the tables (`page`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlops_assets.observability.automation.facts import Asset, Automation, Job, Trigger
from mlops_assets.observability.automation.words import cron_words, interval_words

STYLES = (
    "classDef data fill:#fff3d6,stroke:#b58105,color:#3d2c00",
    "classDef trigger fill:#e0ecff,stroke:#2f6fd0,color:#0b2a57",
    "classDef asset fill:#ffffff,stroke:#6b7280,color:#111827",
    "classDef gated fill:#fde8e8,stroke:#c53030,color:#5b1313",
)


def chart(automation: Automation, group: str) -> str:
    """The flowchart of one group, without the code fence."""
    alone = {job.name for job in standing_alone(automation, group)}
    jobs = [job for job in automation.jobs if job.group == group and job.name not in alone]
    left_out = {key for job in automation.jobs if job.name in alone for key in job.assets}
    triggers = [
        one for one in automation.triggers if one.group == group and not (one.jobs and alone.issuperset(one.jobs))
    ]
    assets = [asset for asset in automation.assets if asset.group == group and asset.key not in left_out]
    home = _homes(jobs)
    lines = ["flowchart LR"]
    lines += [f'  {_id("data", name)}[("{name}")]:::data' for name in _data(triggers, assets)]
    for trigger in triggers:
        lines.append(f"  {_trigger(trigger, group)}:::trigger")
    for job in jobs:
        lines += _job(job, [asset for asset in assets if home.get(asset.key) == job.name], group)
    lines += [f"  {_node(asset, group)}" for asset in assets if asset.key not in home]
    lines += _condition_nodes(assets)
    lines += sorted(set(_edges(triggers, jobs, assets, home)))
    return "\n".join([*lines, *(f"  {style}" for style in STYLES)])


def standing_alone(automation: Automation, group: str) -> list[Job]:
    """The group's jobs of one asset that nothing depends on, that depends on nothing, and that no sensor starts."""
    assets = {asset.key: asset for asset in automation.assets}
    needed = {dep for asset in automation.assets for dep in asset.deps}
    watched = {name for trigger in automation.triggers if trigger.kind == "sensor" for name in trigger.jobs}
    return [
        job
        for job in automation.jobs
        if job.group == group
        and len(job.assets) == 1
        and job.name not in watched
        and job.assets[0] not in needed
        and not (one := assets[job.assets[0]]).deps
        and not (one.watches or one.writes)
    ]


def _homes(jobs: Iterable[Job]) -> dict[str, str]:
    """The job in whose frame an asset is drawn: the first one that makes it."""
    home: dict[str, str] = {}
    for job in jobs:
        for key in job.assets:
            home.setdefault(key, job.name)
    return home


def _data(triggers: Iterable[Trigger], assets: Iterable[Asset]) -> list[str]:
    used = [(one.watches, one.writes) for one in triggers] + [(one.watches, one.writes) for one in assets]
    return sorted({name for watches, writes in used for name in (*watches, *writes)})


def _trigger(trigger: Trigger, group: str) -> str:
    short = _short(trigger.name, group)
    node = _id(trigger.kind, trigger.name)
    if trigger.kind == "schedule":
        when = "<br/>".join(cron_words(cron) for cron in trigger.cron)
        return f'{node}(["{when}<br/>{trigger.zone}"])'
    return f'{node}{{{{"{short}<br/>{interval_words(trigger.seconds)}"}}}}'


def _job(job: Job, assets: list[Asset], group: str) -> Iterator[str]:
    title = _short(job.name, group)
    if not assets:
        yield f'  {_id("job", job.name)}["job {title}"]:::asset'
        return
    yield f'  subgraph {_id("job", job.name)}["job {title}"]'
    yield "    direction LR"
    for asset in assets:
        yield f"    {_node(asset, group)}"
    yield "  end"


def _node(asset: Asset, group: str) -> str:
    gates = sum(check.blocking for check in asset.checks)
    warnings = len(asset.checks) - gates
    told = [f"{gates} blocking gate{_plural(gates)}"] if gates else []
    told += [f"{warnings} check{_plural(warnings)}"] if warnings else []
    label = "<br/>".join([asset.key.removeprefix(f"{group}/"), *told])
    return f'{_id("asset", asset.key)}["{label}"]:::{"gated" if gates else "asset"}'


def _plural(count: int) -> str:
    return "s" if count > 1 else ""


def _condition_nodes(assets: Iterable[Asset]) -> Iterator[str]:
    for asset in assets:
        if asset.condition is not None:
            node = _id("condition", asset.key)
            yield f'  {node}{{{{"condition of {asset.key.rpartition("/")[2]}"}}}}:::trigger'


def _edges(
    triggers: Iterable[Trigger], jobs: Iterable[Job], assets: Iterable[Asset], home: dict[str, str]
) -> Iterator[str]:
    own = {asset.key for asset in assets}
    for trigger in triggers:
        node = _id(trigger.kind, trigger.name)
        yield from (f"  {_id('data', name)} -.-> {node}" for name in trigger.watches)
        yield from (f"  {node} ==> {_id('data', name)}" for name in trigger.writes)
        yield from (f"  {node} --> {_id('job', job)}" for job in trigger.jobs)
    for job in jobs:
        elsewhere = (key for key in job.assets if home.get(key) != job.name)
        yield from (f"  {_id('job', job.name)} --> {_id('asset', key)}" for key in elsewhere)
    for asset in assets:
        node = _id("asset", asset.key)
        yield from (f"  {_id('data', name)} -.-> {node}" for name in asset.watches)
        yield from (f"  {node} ==> {_id('data', name)}" for name in asset.writes)
        for dep in asset.deps:
            if dep in own:
                same = home.get(dep) == home.get(asset.key) and dep in home
                yield f"  {_id('asset', dep)} {'-->' if same else '-.->'} {node}"
        if asset.condition is not None:
            yield f"  {_id('condition', asset.key)} --> {node}"


def _short(name: str, group: str) -> str:
    """A name without its group, as the frame already says it."""
    return name.removeprefix(f"{group}_").replace("_", " ")


def _id(kind: str, name: str) -> str:
    """A node's name for Mermaid: letters, digits and underscores."""
    return f"{kind}_" + "".join(sign if sign.isalnum() else "_" for sign in name)
