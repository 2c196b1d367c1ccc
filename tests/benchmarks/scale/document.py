"""The tables of deploy/SCALE.md, and how they are put between its marks.

Add a table here when the document needs one. Keep out what the tables say (`model`, `queueing`, `validation`) and all
sentences: they are the document's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.benchmarks.scale import model, money, queueing
from tests.benchmarks.scale.costs import SOURCES, Costs
from tests.benchmarks.scale.model import Resource
from tests.benchmarks.scale.scenario import Plan, Scenario, Setup
from tests.benchmarks.scale.validation import Point

FILE = Path(__file__).resolve().parents[3] / "deploy" / "SCALE.md"
MARK = re.compile(r"(<!-- scale: (?P<name>[a-z_ ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NEXT = 3
QUEUE_SEED, QUEUE_SLOTS, QUEUE_WORK, QUEUE_SECONDS = 1, 5, 60.0, 20 * 86_400.0
QUEUE_LOADS = (0.5, 0.7, 0.8, 0.9, 0.95)


class DocumentError(ValueError):
    """The document asks for a table that there is none of; the message names it."""


@dataclass(frozen=True)
class Tables:
    """All that the document shows, from one reading of the results."""

    costs: Costs
    plan: Plan
    points: Sequence[Point]
    loads: Mapping[str, float | None]

    def named(self) -> dict[str, Callable[[], str]]:
        """A table for each mark."""
        found: dict[str, Callable[[], str]] = {
            "costs": self._costs, "queue": self._queue, "days": self._days, "validation": self._validation,
            "sizes": self._sizes, "prices": self._prices, "summary": self._summary, "loads": self._loads,
        }  # fmt: skip
        for scenario in self.plan.scenarios:
            found[f"steps {scenario.name}"] = partial(self._steps, scenario)
            found[f"load {scenario.name}"] = partial(_load, scenario)
            found[f"resources {scenario.name}"] = partial(self._resources, scenario)
        return found

    def _summary(self) -> str:
        rows = []
        for scenario in self.plan.scenarios:
            load, ends = scenario.load, (scenario.setups()[0], scenario.setups()[-1])
            asked = f"{load.predictions_per_second:,.0f}/s, {load.pipelines:,} pipelines, {volume(load.data_tb * 1e12)}"
            told = [said(model.first(model.resources(self.costs, load, setup))) for _, setup in ends]
            prices = [f"{self._monthly(scenario, setup):,.0f}" for _, setup in ends]
            millions = load.predictions_per_second * model.DAY * 365 / 12 / 1e6
            each = f"{self._monthly(scenario, ends[-1][1]) / millions:.2f}" if millions else "–"
            rows.append((f"**{scenario.name}**: {asked}", *told, " → ".join(dict.fromkeys(prices)), each))
        currency = self.plan.prices.currency
        header = (
            "load",
            "ends first, as it begins",
            "after the last change",
            f"{currency} a month",
            "a million answers",
        )
        return table(header, rows)

    def _monthly(self, scenario: Scenario, setup: Setup) -> float:
        return money.monthly(money.bought(setup, model.sizes(self.costs, scenario.load, setup)), self.plan.prices)

    def _costs(self) -> str:
        rows = [
            (source.said, f"{number(getattr(self.costs, name))} {source.unit}", f"`{source.file}.json` {source.path}")
            for name, source in SOURCES.items()
        ]
        return table(("what", "measured", "kept in"), rows)

    def _loads(self) -> str:
        known = {name: load for name, load in self.loads.items() if load is not None}
        told = [f"`{name}` {load:.1f}" for name, load in sorted(known.items(), key=lambda entry: entry[1])]
        return f"{', '.join(told)}; not kept: {', '.join(f'`{name}`' for name in self.loads if name not in known)}."

    def _steps(self, scenario: Scenario) -> str:
        rows = []
        for turn, (step, setup) in enumerate(scenario.setups()):
            found = model.resources(self.costs, scenario.load, setup)
            ends, *then = [resource for resource in found if resource.kind == "limit"][:NEXT]
            missed = [resource for resource in found if resource.kind == "goal" and resource.share > 1]
            told = step.change if step.today else f"{step.change} (**needs code**)"
            goals = "; ".join(map(said, missed)) or "–"
            price = f"{self._monthly(scenario, setup):,.0f}"
            rows.append((str(turn), told, said(ends), "; ".join(map(said, then)), goals, price))
        currency = self.plan.prices.currency
        return table(("", "change", "first to end", "then", "goals missed", f"{currency} a month"), rows)

    def _resources(self, scenario: Scenario) -> str:
        ends = [scenario.setups()[0], scenario.setups()[-1]]
        before, after = ({r.name: r for r in model.resources(self.costs, scenario.load, s)} for _, s in ends)
        names = sorted(before | after, key=lambda name: -(before.get(name) or after[name]).share)
        rows = [(name, _of(before.get(name)), _of(after.get(name)), (before | after)[name].kind) for name in names]
        return table(("resource", "as it begins", "after the last change", "kind"), rows)

    def _sizes(self) -> str:
        rows = []
        for scenario in self.plan.scenarios:
            for when, (_, setup) in (("first", scenario.setups()[0]), ("last", scenario.setups()[-1])):
                kept = model.sizes(self.costs, scenario.load, setup)
                log = (kept.predictions, kept.feedback, kept.users, kept.parquet)
                parts = (*log, kept.runs, kept.artifacts, kept.archive, kept.data)
                rows.append((f"{scenario.name}, {when} setup", *(volume(size) for size in parts)))
        of_runs = ("runs", "results of runs", "archived WAL", "data")
        return table(("", "predictions", "ratings", "users", "Parquet", *of_runs), rows)

    def _queue(self) -> str:
        queue = queueing.Queue(QUEUE_SLOTS, start_seconds=self.costs.launch_seconds)
        rows = []
        for busy in QUEUE_LOADS:
            rate = busy * QUEUE_SLOTS / QUEUE_WORK
            runs = list(queueing.poisson(rate, QUEUE_SECONDS, QUEUE_WORK, queueing.seeded(QUEUE_SEED)))
            waits = queueing.simulate(queue, runs)
            ideal = queueing.erlang_wait(QUEUE_SLOTS, rate, QUEUE_WORK)
            rows.append((f"{busy:.0%}", *map(seconds, (waits.median, waits.p95, waits.p99, waits.mean, ideal))))
        return table(("slots busy", "median", "95 %", "99 %", "mean", "mean by Erlang"), rows)

    def _days(self) -> str:
        rows = []
        for scenario in self.plan.scenarios:
            if not scenario.load.runs_per_day:
                continue
            for when, (_, setup) in (("first", scenario.setups()[0]), ("last", scenario.setups()[-1])):
                load, waits = scenario.load, self._day(scenario, setup)
                told = (f"{setup.pipeline_slots}", f"{load.runs_per_day:,.0f}, {load.due_at_once:,} at once")
                busy = load.runs_per_day / model.DAY * model.run_seconds(self.costs, load) / setup.pipeline_slots
                times = ["falls behind"] * 3 if busy >= 1 else map(seconds, (waits.median, waits.p95, waits.longest))
                rows.append((f"{scenario.name}, {when} setup", *told, *times))
        return table(("", "slots", "runs a day", "median", "95 %", "longest"), rows)

    def _day(self, scenario: Scenario, setup: Setup) -> queueing.Waits:
        load, work = scenario.load, model.run_seconds(self.costs, scenario.load)
        # The daemon orders what is due one after the other; schedules that are spread come later by themselves.
        spread = 60 * (setup.spread_minutes - 1) / max(1, load.due_at_once)
        every = max(model.tick_seconds(self.costs, load) / setup.schedule_threads, spread)
        runs = queueing.day(load.runs_per_day, load.due_at_once, every, work, QUEUE_SEED)
        return queueing.simulate(queueing.Queue(setup.pipeline_slots, start_seconds=self.costs.launch_seconds), runs)

    def _validation(self) -> str:
        rows = [
            (p.name, f"{number(p.said)} {p.unit}", f"{number(p.measured)} {p.unit}", f"{p.off:+.0%}", f"`{p.source}`")
            for p in self.points
        ]
        return table(("what", "the model says", "measured", "off", "measured in"), rows)

    def _prices(self) -> str:
        prices = self.plan.prices
        rows = [(f"an hour of a core, {prices.as_of}", f"{prices.cpu_hour} {prices.currency}")]
        rows += [("an hour of a GB of memory", f"{prices.gb_hour} {prices.currency}")]
        rows += [("a GB of disk for a month", f"{prices.disk_gb_month} {prices.currency}")]
        return table(
            ("what", "assumed"), [*rows, ("a GB of object storage", f"{prices.object_gb_month} {prices.currency}")]
        )


def refreshed(text: str, tables: Tables) -> str:
    """The document with each marked table as it is now. Raises DocumentError."""
    named = tables.named()

    def replaced(mark: re.Match[str]) -> str:
        if mark["name"] not in named:
            raise DocumentError(f"there is no table {mark['name']!r}; there are {', '.join(named)}")
        return f"{mark[1]}{named[mark['name']]()}\n{mark[3]}"

    return MARK.sub(replaced, text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def said(resource: Resource) -> str:
    """A resource with how far it is used."""
    return f"{resource.name} **{percent(resource.share)}**"


def percent(share: float) -> str:
    """Three digits of it, or how many times."""
    return f"{share:.0%}" if share < 10 else f"{share:,.0f} ×"


def _of(resource: Resource | None) -> str:
    if resource is None:
        return "–"
    used, capacity = number(resource.used), number(resource.capacity)
    return f"{used} of {capacity} {resource.unit} ({percent(resource.share)})"


def _load(scenario: Scenario) -> str:
    load = scenario.load
    rows = [(name.replace("_", " "), f"{value:,}") for name, value in load.model_dump().items()]
    return table(("load", ""), rows)


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}"


def volume(size: float) -> str:
    """Bytes in the largest unit that fits."""
    for unit, bytes_ in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_:
            return f"{number(size / bytes_)} {unit}"
    return f"{number(size / 1e3)} kB"


def seconds(value: float) -> str:
    """Of seconds, minutes or hours, whichever reads best."""
    for unit, length in (("h", 3600), ("min", 60)):
        if value >= 2 * length:
            return f"{number(value / length)} {unit}"
    return f"{number(round(value, 2))} s"
