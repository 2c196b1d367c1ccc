"""How a value of a record is told: a product's names for its columns, and how rare the value was in training.

Add here how people say something. Keep out what makes a value a reason (`reasons`) and what is usual (`reference`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from mlops_assets.explanations.reference import Part, Value

LONGEST = 80
MOST_NAMED = 5
NEVER = "never seen in training"


class Wording(BaseModel):
    """What a product calls things. Without it a column is told by its name with blanks.

    A label stands before the value unless it holds "{}": "hour {}", "{} vehicle|{} vehicles" (for 1, for others).
    Of columns that are told together the first is; another only if it has a label. `values` renames values:
    {"crash_day_of_week": {"1": "Sunday"}}. `untold` are the words that say no more than a missing value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Mapping[str, str] = {}
    values: Mapping[str, Mapping[str, str]] = {}
    records: str = "records"
    untold: tuple[str, ...] = ()

    def value(self, name: str, value: Value | None) -> str:
        """A value with its column: "weather SNOW", "weather not told"."""
        if value is None or value in self.untold:
            return f"{self.column(name)} not told"
        forms = self._forms(name)
        text = written(value)
        return forms[0 if text == "1" else -1].replace("{}", self.values.get(name, {}).get(text, text))

    def column(self, name: str) -> str:
        """The column without a value: "vehicles"."""
        return " ".join(self._forms(name)[-1].replace("{}", "").split()) or _named(name)

    def gaps(self, names: Sequence[str]) -> str:
        """Columns that hold nothing: "weather, light and road surface not told"."""
        told = [self.column(name) for name in names[:MOST_NAMED]]
        last = f"{len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else told.pop()
        return f"{', '.join(told)} and {last} not told"

    def _forms(self, name: str) -> list[str]:
        label = self.labels.get(name, _named(name))
        return label.split("|") if "{}" in label else [f"{label} {{}}"]


def rarity(part: Part, value: Value | None, count: int, rows: int, records: str) -> str:
    """How many of the training rows have the value: "4 % of accidents", "0.1 % have 6 or more"."""
    if value is not None and part.ordered:
        high = part.is_high(value)
        if not count:
            end = written(part.values[-1 if high else 0])
            return f"{NEVER}, where the {'highest' if high else 'lowest'} is {end}"
        # Nothing is lower than the lowest, so the rows have the very value.
        if high or value != part.values[0]:
            return f"{share(count, rows)} have {written(value)} or {'more' if high else 'fewer'}"
    return share(count, rows, records) if count else NEVER


def written(value: Value) -> str:
    """A value as text of one line, cut when it is very long."""
    # As float32, which the value is: 0.1 rather than 0.10000000149.
    text = np.format_float_positional(np.float32(value), trim="-") if isinstance(value, float) else value
    # Databases take no NUL, and nobody wants to read control characters.
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def share(count: int, rows: int, records: str = "") -> str:
    """As people say it: very few as how many, else per cent; of `records` if they are named."""
    percent = 100 * count / rows
    if percent < 0.01:
        return f"{count:,} of {rows:,} {records}".strip()
    if count < rows and percent >= 99.5:
        said = "over 99 %"
    else:
        said = f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.2g} %" if percent >= 1 else f"{percent:.1g} %"
    return f"{said} of {records}" if records else said


def _named(name: str) -> str:
    return name.replace("_", " ")
