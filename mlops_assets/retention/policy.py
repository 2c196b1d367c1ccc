"""What it means that something is kept, and which line of the list (`declared`) is that of a table or folder.

Keep out the lines themselves and the removal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mlops_assets.settings import Settings

FOR_EVER = "for ever"


@dataclass(frozen=True)
class Kept:
    """What is kept where, and for how long.

    `tables` are `schema.table`, `home` paths below `MLOPS_HOME`, `storage` paths below the storage root; `*` stands for
    any name. `days` is a number or the setting that holds it; else `until` says in words how long, and if it doesn't
    either, it is for ever, for a reason that `why` tells. `oldest` is a column of one of the tables that tells its
    rows' age. `sweep` names the removal, if it is one that `mlops retention` can do.
    """

    what: str
    why: str
    days: int | str | None = None
    until: str = ""
    tables: tuple[str, ...] = ()
    home: tuple[str, ...] = ()
    storage: tuple[str, ...] = ()
    oldest: str | None = None
    sweep: str | None = None

    def how_long(self, settings: Settings) -> str:
        """In words for people: how long, or for ever."""
        if self.days is None:
            return self.until or FOR_EVER
        days = getattr(settings, self.days) if isinstance(self.days, str) else self.days
        return f"{days} day" if days == 1 else f"{days} days"

    @property
    def variable(self) -> str | None:
        """The variable that says how long, if one does."""
        return f"MLOPS_{self.days.upper()}" if isinstance(self.days, str) else None


def of_table(lines: Sequence[Kept], name: str) -> Kept | None:
    """The line of a table, `schema.table`: by its own name, else by the first pattern; None without."""
    return _found([(kept, kept.tables) for kept in lines], name)


def of_home(lines: Sequence[Kept], name: str) -> Kept | None:
    """The line of a file or folder below `MLOPS_HOME`, or of what it is in; None without."""
    return _below([(kept, kept.home) for kept in lines], name)


def of_storage(lines: Sequence[Kept], name: str) -> Kept | None:
    """The line of a file or folder below the storage root, or of what it is in; None without."""
    return _below([(kept, kept.storage) for kept in lines], name)


def _found(lines: list[tuple[Kept, tuple[str, ...]]], name: str) -> Kept | None:
    exact = (kept for kept, patterns in lines if name in patterns)
    like = (kept for kept, patterns in lines if any(fnmatchcase(name, pattern) for pattern in patterns))
    return next(exact, None) or next(like, None)


def _below(lines: list[tuple[Kept, tuple[str, ...]]], name: str) -> Kept | None:
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        # `*` is one name, not a path.
        level = [(kept, tuple(p for p in patterns if p.count("/") == depth - 1)) for kept, patterns in lines]
        found = _found(level, "/".join(parts[:depth]))
        if found is not None:
            return found
    return None
