"""What a product declares about drift: how sure and how large a change must be, and what follows from one.

Add a field here when a team should be able to choose it in YAML. Keep out how a column is judged (`two_key`). The
defaults are those that the benchmark of false alarms and found shifts repeats.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, lt=1)]


class Spec(BaseModel):
    """Frozen; a typo is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Effects(Spec):
    """Least size of a change that counts, whatever its significance.

    `numbers`: Wasserstein distance in the reference's standard deviations, on clipped values. `categories`: total
    variation distance beyond what chance alone gives. `missing`, `unseen`, `out_of_range`: by how much the share
    of missing values, of categories that the reference lacks, and of numbers beyond its range may rise.
    """

    numbers: float = Field(default=0.1, gt=0)
    categories: Share = 0.1
    missing: Share = 0.05
    unseen: Share = 0.05
    out_of_range: Share = 0.02


class DriftPolicy(Spec):
    """How a day of live data is compared with what the production model was trained on.

    A column drifts if the change is significant and large (`effects`). `alpha` bounds how often a day without a
    change is called drifted: it is dealt out to the columns and, in each, to its distribution and shares. A day with
    fewer than `min_rows` rows has no verdict. `sample_rows` seeded rows a side are compared at most.

    Promotion is blocked after `block_days` drifted days of the newest `block_of` that have a verdict, or by one
    column at `block_strength` times its least effect. Training starts after `retrain_days` drifted days in a row,
    `retrain_cooldown_hours` after the newest release and only with new labelled data: at least `retrain_labels`
    actual values, or a version of the data that no release was trained on. The full report is kept for the newest
    `keep_reports` days, its figures for ever. Columns in `ignore` aren't compared: a day has one weekday only.
    """

    alpha: Share = 0.01
    effects: Effects = Effects()
    min_rows: int = Field(default=200, ge=20)
    sample_rows: int = Field(default=20_000, ge=200)
    seed: int = 7
    ignore: tuple[str, ...] = ()
    block_days: int = Field(default=2, ge=1)
    block_of: int = Field(default=3, ge=1)
    block_strength: float = Field(default=2, gt=1)
    retrain_days: int = Field(default=3, ge=1)
    retrain_cooldown_hours: float = Field(default=72, ge=0)
    retrain_labels: int = Field(default=200, ge=1)
    keep_reports: int = Field(default=30, ge=1)
