"""What a product declares of its data: where it comes from, its columns and their limits, the target, the features.

Add a field here when it is about rows, before anything is fitted. Keep out everything else that a product declares
(`spec`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Spec(BaseModel):
    """Base of every declared thing: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LiveLabels(Spec):
    """Actual values that users told of answers, as further raw rows: those of the newest `days` days.

    At most `max_share` times as many as the source has rows and `per_user` of each user; none at all below
    `min_rows`. The product's module needs `as_raw(record, actual)`. Users leave optional fields out more often than
    a source does: the contract's shares hold for all rows together.
    """

    days: int = Field(default=90, ge=1, le=3650)
    min_rows: int = Field(default=200, ge=1)
    max_share: float = Field(default=0.5, gt=0, le=1)
    per_user: int = Field(default=20, ge=1)


class Source(Spec):
    """Where raw rows come from: a local path, an http(s) URL or an object store's URL (s3, gs, abfs) of a CSV file.

    `location` None means the product's bundled generator, whose rows are labelled sample data. `live_labels` adds
    what users told of the answers they got; off unless it is declared (`live_labels: {}` for the defaults).

    With `rows_in_memory`, about so many rows are in memory at once: a larger file is cleaned and turned into features
    in pieces, and a model is fitted to and measured on as many of its rows, any as likely as any other. What cleaning
    decides from several rows it then decides within a piece; rows that are equal are in the same one.
    """

    location: str | None = None
    timeout_seconds: float = Field(default=30, gt=0, le=3600)
    max_megabytes: float = Field(default=512, gt=0)
    max_rows: int = Field(default=1_000_000, ge=1)
    rows_in_memory: int | None = Field(default=None, ge=1000)
    sample_rows: int = Field(default=13_320, ge=1)
    sample_seed: int = 20_18
    live_labels: LiveLabels | None = None

    @model_validator(mode="after")
    def _labels_need_all_rows(self) -> Source:
        if self.live_labels is not None and self.rows_in_memory is not None:
            raise ValueError("source.rows_in_memory: with live_labels all rows are in memory; leave one of them out")
        return self


class Column(Spec):
    """The contract of one cleaned column; `required` columns may hold no nulls at all after cleaning.

    A `time` holds local times without a zone, none of them after the day of the check. Its limits are the data's own.
    """

    name: Name
    type: Literal["number", "category", "time"]
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] | None = None
    max_null_share: Share = 0.05


class Contract(Spec):
    """What the data must keep: raw columns present, cleaned columns in range, enough rows, few duplicates."""

    raw_columns: tuple[str, ...]
    columns: tuple[Column, ...]
    min_rows: int = Field(default=500, ge=1)
    max_dropped_share: Share = 0.25
    max_null_share: Share = 0.05
    max_duplicate_share: Share = 0.01
    max_unseen_share: Share = 0.10


class Target(Spec):
    """The column that is predicted. `transform: log` trains on log(target); answers are in target units."""

    column: Name
    unit: str = ""
    decimals: int = Field(default=2, ge=0, le=10)
    transform: Literal["none", "log"] = "none"


class Features(Spec):
    """Model columns, by kind, as `features(record)` of the product's module returns them.

    The order of `categorical` matters: from coarse to fine, each learns what the ones before it leave.
    `optional` names request fields that sharpen the estimate but may be missing; training hides them in a
    copy of the rows, so that one model answers both kinds of request well.
    """

    numeric: tuple[Name, ...] = ()
    categorical: tuple[Name, ...] = ()
    optional: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Features:
        names = self.numeric + self.categorical
        if not names:
            raise ValueError("features: declare at least one numeric or categorical column")
        doubled = {n for n in names if names.count(n) > 1}
        if doubled:
            raise ValueError(f"features: declared twice: {', '.join(sorted(doubled))}")
        return self
