"""Lists that the API gives in pages, counted from their beginning, read to their end.

Keep out which lists there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

PAGE = 200


class Identified(Protocol):
    """One of a list."""

    id: str


Item = TypeVar("Item", bound=Identified)
Item_co = TypeVar("Item_co", bound=Identified, covariant=True)


class Page(Protocol[Item_co]):
    """Some of a list, and how many there are in all."""

    @property
    def items(self) -> Sequence[Item_co]: ...

    @property
    def total(self) -> int: ...


def every(page: Callable[[Mapping[str, int]], Page[Item]]) -> Iterator[Item]:
    """All of a list, each once; `page` asks for the part that its parameters say."""
    seen: set[str] = set()
    while True:
        found = page({"limit": PAGE, "offset": len(seen)})
        # What was added in between moves others to the next page: nothing is told twice.
        fresh = [one for one in found.items if one.id not in seen]
        yield from fresh
        seen |= {one.id for one in fresh}
        if not fresh or len(seen) >= found.total:
            return
