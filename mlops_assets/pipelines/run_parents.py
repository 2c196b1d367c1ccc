"""The runs that a run takes up: what it doesn't run again was done in one of them.

Keep out what was done there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

# More than anybody retries; a chain that is longer, or goes in a circle, ends here.
LONGEST_CHAIN = 50


def with_parents(instance: DagsterInstance, run: DagsterRun) -> list[str]:
    """The ids of the run and of those that it takes up, newest first."""
    found = [run.run_id]
    parent = run.parent_run_id
    while parent is not None and parent not in found and len(found) < LONGEST_CHAIN:
        found.append(parent)
        earlier = instance.get_run_by_id(parent)
        parent = earlier.parent_run_id if earlier is not None else None
    return found
