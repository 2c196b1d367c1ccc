"""What triggers what, read from the loaded definitions: triggers, jobs, assets and checks as plain records.

Add here a fact that the definitions hold and the page should tell. Keep out wording and drawing (`page`, `chart`). What
isn't in a definition of Dagster is declared on it as metadata: `mlops/watches` and `mlops/writes` name what a sensor or
an asset reads or changes outside Dagster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.runs.stages import RETRIES_TAG, TIME_LIMIT_TAG

if TYPE_CHECKING:
    import dagster as dg

WATCHES, WRITES = "mlops/watches", "mlops/writes"
RUN_LIMIT_TAG = "dagster/max_runtime"


@dataclass(frozen=True)
class Check:
    """An asset check; `blocking` ones keep the assets after theirs from being made when they fail."""

    name: str
    description: str
    blocking: bool


@dataclass(frozen=True)
class Asset:
    """An asset: `deps` are keys like its own, `seconds` the time limit of one try, `condition` in words."""

    key: str
    description: str
    deps: tuple[str, ...]
    checks: tuple[Check, ...]
    retries: int
    seconds: float | None
    condition: str | None
    partitions: str | None
    watches: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def group(self) -> str:
        """The product, or the platform: the first part of the key."""
        return self.key.partition("/")[0]


@dataclass(frozen=True)
class Job:
    """A job with its assets in the order in which they are made."""

    name: str
    group: str
    description: str
    assets: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def seconds(self) -> float | None:
        """How long a run of it may take, if it says so itself."""
        declared = self.tags.get(RUN_LIMIT_TAG)
        return None if declared is None else float(declared)


@dataclass(frozen=True)
class Trigger:
    """A schedule (`cron`, `zone`) or a sensor (`seconds` between its looks), and the jobs it may start."""

    kind: Literal["schedule", "sensor"]
    name: str
    group: str
    description: str
    jobs: tuple[str, ...]
    on: bool
    cron: tuple[str, ...] = ()
    zone: str = "UTC"
    seconds: int = 0
    watches: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Automation:
    """All of it: jobs and triggers by name, assets by job and then in the order in which they are made."""

    assets: tuple[Asset, ...]
    jobs: tuple[Job, ...]
    triggers: tuple[Trigger, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Every product, and the platform last."""
        names = {a.group for a in self.assets} | {j.group for j in self.jobs} | {t.group for t in self.triggers}
        return tuple(sorted(names, key=lambda name: (name == PLATFORM, name)))


PLATFORM = "platform"


def read(definitions: dg.Definitions) -> Automation:
    """The facts of loaded definitions. Opens no connection and evaluates no sensor."""
    repository = definitions.get_repository_def()
    graph: Any = repository.asset_graph
    order = [key for level in graph.toposorted_asset_keys_by_level for key in sorted(level)]
    assets = [_asset(graph, key) for key in order if graph.get(key).is_materializable]
    every = sorted(repository.get_all_jobs(), key=lambda job: str(job.name))
    jobs = [_job(job, assets) for job in every if not job.name.startswith("__")]
    known = {asset.group for asset in assets} | {PLATFORM}
    of_job = {job.name: job.group for job in jobs}
    triggers = [
        *(_schedule(one, of_job, known) for one in repository.schedule_defs),
        *(_sensor(one, of_job, known) for one in repository.sensor_defs),
    ]
    # Job by job; within one in the order in which they are made.
    place = {key: number for number, job in reversed(list(enumerate(jobs))) for key in job.assets}
    return Automation(
        assets=tuple(sorted(assets, key=lambda asset: place.get(asset.key, len(jobs)))),
        jobs=tuple(jobs),
        triggers=tuple(sorted(triggers, key=lambda trigger: trigger.name)),
    )


def _asset(graph: Any, key: Any) -> Asset:
    node = graph.get(key)
    op = node.assets_def.op
    tags: Mapping[str, str] = op.tags
    declared = op.retry_policy.max_retries if op.retry_policy else 0
    limit = tags.get(TIME_LIMIT_TAG)
    checks = sorted(graph.get_check_keys_for_assets({key}), key=lambda check: str(check.name))
    return Asset(
        key=key.to_user_string(),
        description=node.description or "",
        deps=tuple(sorted(parent.to_user_string() for parent in node.parent_keys)),
        checks=tuple(_check(graph.get(check)) for check in checks),
        retries=int(tags.get(RETRIES_TAG, declared)),
        seconds=None if limit is None else float(limit),
        condition=None if node.automation_condition is None else condition_words(node.automation_condition),
        partitions=None if node.partitions_def is None else _partitions(node.partitions_def),
        watches=_named(node.metadata, WATCHES),
        writes=_named(node.metadata, WRITES),
    )


def _check(node: Any) -> Check:
    return Check(node.key.name, node.description or "", node.blocking)


def _partitions(definition: Any) -> str:
    return type(definition).__name__.removesuffix("PartitionsDefinition").lower()


def _job(job: Any, assets: Iterable[Asset]) -> Job:
    chosen = {key.to_user_string() for key in job.asset_layer.executable_asset_keys} if job.asset_layer else set()
    made = tuple(asset.key for asset in assets if asset.key in chosen)
    group = made[0].partition("/")[0] if made else PLATFORM
    return Job(job.name, group, job.description or "", made, dict(job.run_tags))


def _schedule(schedule: Any, of_job: Mapping[str, str], known: set[str]) -> Trigger:
    cron = schedule.cron_schedule
    return Trigger(
        kind="schedule",
        name=schedule.name,
        group=of_job.get(schedule.job_name) or _group_by_name(schedule.name, known),
        description=schedule.description or "",
        jobs=(schedule.job_name,) if schedule.job_name in of_job else (),
        on=schedule.default_status.value == "RUNNING",
        cron=(cron,) if isinstance(cron, str) else tuple(cron),
        zone=schedule.execution_timezone or "UTC",
        watches=_named(schedule.metadata, WATCHES),
        writes=_named(schedule.metadata, WRITES),
    )


def _sensor(sensor: Any, of_job: Mapping[str, str], known: set[str]) -> Trigger:
    jobs = tuple(target.job_name for target in sensor.targets if target.job_name in of_job)
    return Trigger(
        kind="sensor",
        name=sensor.name,
        group=of_job[jobs[0]] if jobs else _group_by_name(sensor.name, known),
        description=sensor.description or "",
        jobs=jobs,
        on=sensor.default_status.value == "RUNNING",
        seconds=sensor.minimum_interval_seconds or 30,
        watches=_named(sensor.metadata, WATCHES),
        writes=_named(sensor.metadata, WRITES),
    )


def _group_by_name(name: str, known: set[str]) -> str:
    """`<group>_<what it does>` is how everything is named; else it is the platform's."""
    return max((group for group in known if name.startswith(f"{group}_")), key=len, default=PLATFORM)


def _named(metadata: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = metadata.get(key, "")
    text = str(getattr(value, "value", value))
    return tuple(part.strip() for part in text.split(",") if part.strip())


def condition_words(condition: Any) -> str:
    """An automation condition as a person would say it: its label, else its parts joined."""
    name = type(condition).__name__
    if condition.get_label():
        return str(condition.get_label()).replace("_", " ")
    if name == "SinceCondition":
        return f"{condition_words(condition.trigger_condition)} since {condition_words(condition.reset_condition)}"
    if name == "NotAutomationCondition":
        return f"not {condition_words(condition.operand)}"
    if name in ("AndAutomationCondition", "OrAutomationCondition"):
        joint = " and " if name.startswith("And") else " or "
        return joint.join(condition_words(operand) for operand in condition.operands)
    return str(condition.name).replace("_", " ")
