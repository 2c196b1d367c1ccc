"""What is wrong with a declared pipeline, named by stage and field.

Add here how a problem is worded for people. Keep out the rules (`validate` and the files it asks).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

MAX_NAME = 80
MAX_MESSAGE = 500
MAX_PROBLEMS = 1000


def shown(text: str, limit: int) -> str:
    """A text as it may be stored, logged and sent: no surrogates, nothing unprintable, at most `limit` characters."""
    # One character more than is shown, so that a cut is seen.
    words = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1])
    return words if len(words) <= limit else f"{words[: limit - 1]}…"


@dataclass(frozen=True)
class Problem:
    """One reason to refuse a pipeline. `stage` is the stage's name, `stages[3]` if it has none, None if it is in none.

    `field` is a dotted path inside the stage or the pipeline, "" where the whole of it is meant.
    """

    stage: str | None
    field: str
    message: str

    def __post_init__(self) -> None:
        # All three repeat what a caller sent, which may be of any length and hold any character.
        if self.stage is not None:
            object.__setattr__(self, "stage", shown(self.stage, MAX_NAME))
        object.__setattr__(self, "field", shown(self.field, 2 * MAX_NAME))
        object.__setattr__(self, "message", shown(self.message, MAX_MESSAGE))

    def __str__(self) -> str:
        places = [f"stage {self.stage}"] if self.stage is not None else []
        return ": ".join([*places, *([self.field] if self.field else []), self.message])


class ProblemError(ValueError):
    """A pipeline, or what a run of it was given, is refused; `problems` holds every reason."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def at_most(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The first thousand problems, and then one that says that there are more."""
    more = (Problem(None, "", "and more problems"),) if len(problems) > MAX_PROBLEMS else ()
    return (*problems[:MAX_PROBLEMS], *more)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean a or b?`, or nothing if no known name is close."""
    close = get_close_matches(name, list(known), n=3) if len(name) <= MAX_NAME else []
    return f"; did you mean {' or '.join(close)}?" if close else ""


def place(raw: Any, path: Sequence[str | int]) -> tuple[str | None, str]:
    """The stage and the field that a path into a raw pipeline points at."""
    if len(path) > 1 and path[0] == "stages" and isinstance(path[1], int):
        return label(raw["stages"][path[1]], path[1]), _dotted(path[2:])
    return None, _dotted(path)


def label(stage: Any, position: int) -> str:
    """What a raw stage is called in problems."""
    name = stage.get("name") if isinstance(stage, dict) else None
    return name if isinstance(name, str) and name else f"stages[{position}]"


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(shown(str(part), MAX_NAME) for part in path)
