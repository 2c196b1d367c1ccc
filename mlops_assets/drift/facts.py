"""What is known of one day's drift: plain facts that the judge makes, the store keeps and pages show. Pure.

Add a fact here when a verdict or a page needs one more. Keep out how columns are judged (`two_key`, `judge`) and what
follows from a verdict (`effects`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Literal

Kind = Literal["number", "category"]
Role = Literal["feature", "prediction", "error"]
Distance = Literal["wasserstein", "total_variation"]


class Status(StrEnum):
    """A verdict, of a column or of a day; one line of meaning each."""

    OK = "ok"  # no change that is both significant and large
    DRIFTED = "drifted"  # at least one change that is both
    INSUFFICIENT = "insufficient"  # too few rows to say anything
    NO_REFERENCE = "no_reference"  # the release that served has no reference to compare with


@dataclass(frozen=True)
class Monitored:
    """A column that is compared. Missing values of an `optional` one are shown and never counted as drift."""

    name: str
    kind: Kind
    role: Role = "feature"
    optional: bool = False


@dataclass(frozen=True)
class Summary:
    """A column on one side. `missing` is a share of the rows; the rest is of the values that are there.

    Numbers have `mean`, `std`, `minimum`, `maximum` and `quantiles` ({"0.05": …, "0.25", "0.5", "0.75", "0.95"});
    categories have `top`, the commonest values of both sides with their share on this one.
    """

    rows: int
    missing: float
    mean: float | None = None
    std: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    quantiles: dict[str, float] = field(default_factory=dict)
    top: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ShareRise:
    """A share that must not rise: of missing values, unseen categories or numbers out of range.

    `expected` is what the reference says of it, `limit` the least rise that counts; `examples` are values seen.
    """

    name: Literal["missing", "unseen", "out_of_range"]
    expected: float
    seen: float
    limit: float
    p_value: float
    risen: bool
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class ColumnDrift:
    """One column of one day. `strength` is effect / floor where significant, else 0; from 1 on it is drift.

    `reasons` are sentences for people: what changed, from what to what, how sure; for a column that is ok, one that
    says so.
    """

    name: str
    kind: Kind
    role: Role
    status: Status
    reference: Summary
    current: Summary
    distance: Distance
    p_value: float | None
    alpha: float
    effect: float | None
    floor: float
    strength: float
    shares: tuple[ShareRise, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """One day of a product against the reference of release `release`.

    `reference_rows` and `current_rows` were compared, out of `logged_rows` that day.
    """

    product: str
    day: date
    release: int
    status: Status
    reference_rows: int
    current_rows: int
    logged_rows: int
    columns: tuple[ColumnDrift, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that drifted, strongest first."""
        found = [column for column in self.columns if column.status is Status.DRIFTED]
        return tuple(column.name for column in sorted(found, key=lambda column: -column.strength))

    @property
    def strength(self) -> float:
        """The strongest column's strength; 0 without one."""
        return max((column.strength for column in self.columns), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives an equal verdict."""
        return asdict(self) | {"day": self.day.isoformat()}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Verdict:
        """The verdict that `to_json` wrote."""
        columns = tuple(_column(column) for column in kept["columns"])
        return cls(
            **{
                **kept,
                "day": date.fromisoformat(kept["day"]),
                "status": Status(kept["status"]),
                "columns": columns,
                "reasons": tuple(kept["reasons"]),
            }
        )


def _column(kept: dict[str, Any]) -> ColumnDrift:
    return ColumnDrift(
        **{
            **kept,
            "status": Status(kept["status"]),
            "reference": Summary(**kept["reference"]),
            "current": Summary(**kept["current"]),
            "shares": tuple(ShareRise(**{**share, "examples": tuple(share["examples"])}) for share in kept["shares"]),
            "reasons": tuple(kept["reasons"]),
        }
    )
