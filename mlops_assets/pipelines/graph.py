"""The graph that stages make: what is wrong with it, and the order in which its stages run.

Add here what follows from names, orders and dependencies alone. Keep out what stages do. Nothing recurses, so a chain
of any length is fine.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from mlops_assets.pipelines.problem import Problem, did_you_mean

SHOWN_OF_A_CYCLE = 20
SUGGESTIONS = 20


@dataclass(frozen=True)
class Node:
    """A stage as the graph sees it."""

    name: str
    order: int | None
    dependencies: tuple[str, ...]


def graph_problems(nodes: Sequence[Node]) -> list[Problem]:
    """Everything that is wrong with the graph, by the order of declaration, the cycles last.

    Of cycles that share a stage one is named; the others show when it is gone.
    """
    return [*_doubled(nodes), *_dependencies(nodes), *_cycles(nodes)]


def sorted_nodes(nodes: Sequence[Node]) -> list[int]:
    """Positions of the nodes in execution order: dependencies first, then `order`, then declaration.

    Nodes without an order come after those with one. CycleError: there is a cycle.
    """
    positions = {node.name: i for i, node in enumerate(nodes)}
    sorter = TopologicalSorter(_predecessors(nodes))
    sorter.prepare()
    ready: list[tuple[bool, int, int]] = []
    result = []
    while sorter.is_active():
        for name in sorter.get_ready():
            order = nodes[positions[name]].order
            heapq.heappush(ready, (order is None, order or 0, positions[name]))
        *_, position = heapq.heappop(ready)
        result.append(position)
        sorter.done(nodes[position].name)
    return result


def _predecessors(nodes: Iterable[Node]) -> dict[str, set[str]]:
    graph = {node.name: set(node.dependencies) for node in nodes}
    return {name: before & graph.keys() for name, before in graph.items()}


def _doubled(nodes: Sequence[Node]) -> Iterator[Problem]:
    for name, count in Counter(node.name for node in nodes).items():
        if count > 1:
            yield Problem(name, "name", f"{count} stages have this name")
    first: dict[int, str] = {}
    for node in nodes:
        if node.order is not None and (other := first.setdefault(node.order, node.name)) != node.name:
            yield Problem(node.name, "order", f"stage {other} has order {node.order} too")


def _dependencies(nodes: Sequence[Node]) -> Iterator[Problem]:
    orders = {node.name: node.order for node in nodes}
    suggestions = SUGGESTIONS
    for node in nodes:
        for name, count in Counter(node.dependencies).items():
            if count > 1:
                yield Problem(node.name, "dependencies", f"{name} is named {count} times")
            if name not in orders:
                suggestions -= 1
                close = did_you_mean(name, orders) if suggestions >= 0 else ""
                yield Problem(node.name, "dependencies", f"there is no stage {name!r}{close}")
                continue
            order = orders[name]
            if node.order is not None and order is not None and order > node.order:
                yield Problem(
                    node.name, "dependencies", f"{name} comes later: its order is {order}, this stage's {node.order}"
                )


def _cycles(nodes: Sequence[Node]) -> Iterator[Problem]:
    graph = _predecessors(nodes)
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1][:-1]
        else:
            return
        yield _cycle(cycle, [node.name for node in nodes])
        graph = {name: before - set(cycle) for name, before in graph.items() if name not in cycle}


def _cycle(cycle: list[str], declared: list[str]) -> Problem:
    if len(cycle) == 1:
        return Problem(cycle[0], "dependencies", "cycle: the stage depends on itself")
    start = min(range(len(cycle)), key=lambda i: declared.index(cycle[i]))
    turned = [*cycle[start:], *cycle[:start]]
    names = turned if len(turned) <= SHOWN_OF_A_CYCLE else [*turned[:SHOWN_OF_A_CYCLE], f"… ({len(turned)} stages)"]
    return Problem(turned[0], "dependencies", f"cycle: {' → '.join([*names, turned[0]])}")
