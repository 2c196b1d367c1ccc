"""What a product declares in its YAML file: frozen, strict, with the defaults in one place.

Add a field here when a team should be able to set something per product without writing code.
Keep out anything that acts: these are facts that the rest of `training` reads. A typo in the YAML is
refused by these models, and the component loader adds the file and the line.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.training.data.spec import Contract, Features, Name, Source, Spec, Target
from mlops_assets.training.objectives import Objectives


class Detector(Spec):
    """How anomalies are found where no row has a label: an isolation forest (Liu, Ting, Zhou, 2008).

    Rows are divided in time: whole months of the column `time`, the newest that make about `holdout_share` of the rows
    are never trained on. `twins` further forests, which differ by the seed only, tell how steady the scores are.
    `contamination` is the share of training rows to call anomalies; "auto" leaves it to the paper's limit. Months with
    fewer than `month_rows` rows say nothing about steadiness. `groups` maps the columns that charts divide rows by to
    what people call them.
    """

    family: Literal["isolation_forest"] = "isolation_forest"
    time: Name
    holdout_share: float = Field(default=0.2, gt=0, lt=0.9)
    trees: int = Field(default=1000, ge=10, le=10_000)
    samples: int | Literal["auto"] = "auto"
    contamination: Annotated[float, Field(gt=0, le=0.5)] | Literal["auto"] = "auto"
    seed: int = 42
    twins: int = Field(default=2, ge=1, le=10)
    month_rows: int = Field(default=500, ge=20)
    groups: dict[Name, str] = Field(default_factory=dict)


Family = Literal["linear", "ridge", "lasso", "tree", "forest", "boosting", "ensemble"]


class Candidate(Spec):
    """One model family in the search and the grid of its parameters (every combination is tried)."""

    family: Family
    grid: dict[str, list[Any]] = Field(default_factory=dict)


class Search(Spec):
    """How the best model is looked for: families, folds, the score, seeds, processes."""

    candidates: tuple[Candidate, ...]
    folds: int = Field(default=3, ge=2, le=20)
    holdout_share: float = Field(default=0.2, gt=0, lt=0.9)
    seed: int = 42
    score: str = "median_ape"
    workers: int = Field(default=2, ge=1, le=64)
    timeout_seconds: float = Field(default=1800, gt=0)

    @model_validator(mode="after")
    def _not_empty(self) -> Search:
        if not self.candidates:
            raise ValueError("search.candidates: declare at least one model family")
        return self


class Interval(Spec):
    """The quantiles that come with every regression answer.

    They are learnt on the winner's errors in `folds`-fold cross-validation: the more folds, the closer those
    models are to the one that serves, which has seen all rows, and the closer the coverage to what is promised.
    """

    low: float = Field(default=0.1, gt=0, lt=0.5)
    high: float = Field(default=0.9, gt=0.5, lt=1)
    folds: int = Field(default=10, ge=2, le=50)


class Gate(Spec):
    """One quality limit on a metric of the untouched hold-out.

    Either `minimum` and/or `maximum`, or `worse_than_production`: the largest share by which the metric may be
    worse than production's on the same hold-out. `segment` applies the limit to each value of that column with
    at least `segment_min_rows` rows.
    """

    metric: str
    maximum: float | None = None
    minimum: float | None = None
    worse_than_production: float | None = Field(default=None, ge=0)
    segment: Name | None = None
    segment_min_rows: int = Field(default=30, ge=1)
    blocking: bool = True

    @model_validator(mode="after")
    def _one_kind(self) -> Gate:
        absolute = self.minimum is not None or self.maximum is not None
        if absolute == (self.worse_than_production is not None):
            raise ValueError(f"gate {self.metric}: give minimum and/or maximum, or worse_than_production")
        if self.segment is not None and not absolute:
            raise ValueError(f"gate {self.metric}: a segment is limited by minimum or maximum")
        return self

    @property
    def name(self) -> str:
        """The asset check's name: `<metric>_gate`, with what makes it differ from the metric's other gates."""
        if self.segment is not None:
            return f"{self.metric}_by_{self.segment}_gate"
        return f"{self.metric}_vs_production_gate" if self.worse_than_production is not None else f"{self.metric}_gate"


class Vocabulary(Spec):
    """A GET route that lists the values of one categorical column that the production model knows."""

    route: Name
    column: Name
    key: Name


class Serving(Spec):
    """HTTP inference of an online product: its route, its vocabulary routes and its slot of ports.

    `slot` 0 is ports 6001/6002, slot 1 is 6011/6012, and so on. `batch_key` names the list of records in the body of a
    batch.
    """

    route: Name
    slot: int = Field(ge=0, le=99)
    answer: Name = "estimate"
    batch_key: Name = "records"
    vocabularies: tuple[Vocabulary, ...] = ()
    batch_limit: int = Field(default=1000, ge=1, le=10_000)
    objectives: Objectives = Objectives()


class Limits(Spec):
    """How long one try of a stage may take, in seconds. A stage that takes longer is ended and fails."""

    dataset: int = Field(default=600, ge=1)
    features: int = Field(default=600, ge=1)
    model: int = Field(default=1800, ge=1)
    metrics: int = Field(default=900, ge=1)
    release: int = Field(default=900, ge=1)


SCORE = "anomaly_score"


class Product(Spec):
    """One ML product, from source to served model. `functions` is the module of its pure functions.

    A regression or classification has a `target` and a `search`, an anomaly product a `detector` instead of both.
    `experiment` is the name of its MLflow experiment, if it isn't the product's.
    """

    name: Name
    title: str
    functions: str = Field(pattern=r"^[A-Za-z_][\w.]*$")
    owner: str
    task: Literal["regression", "classification", "anomaly"] = "regression"
    experiment: Name | None = None
    source: Source = Source()
    contract: Contract
    # What is answered of an anomaly is its score; all others declare theirs.
    target: Target = Target(column=SCORE, decimals=6)
    features: Features
    # None to try: a detector isn't searched for; all others declare theirs.
    search: Search = Search.model_construct(candidates=())
    detector: Detector | None = None
    interval: Interval | None = None
    gates: tuple[Gate, ...]
    serving: Serving | None = None
    rollout: RolloutPolicy = RolloutPolicy()
    drift: DriftPolicy = DriftPolicy()
    schedule: str = "0 3 * * 1"
    limits: Limits = Limits()
    run_timeout_seconds: int = Field(default=3600, ge=60)
    parity_tolerance: float = Field(default=1e-4, gt=0)

    @property
    def experiment_name(self) -> str:
        """The product's MLflow experiment."""
        return self.experiment or self.name

    @model_validator(mode="after")
    def _consistent(self) -> Product:
        names = [gate.name for gate in self.gates]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"gates: declared twice: {', '.join(doubled)}")
        if self.task != "regression" and self.interval is not None:
            raise ValueError("interval: only a regression has one")
        detects = self.task == "anomaly"
        for name, given, wanted in (
            ("target", self.target.column != SCORE, not detects),
            ("search", bool(self.search.candidates), not detects),
            ("detector", self.detector is not None, detects),
        ):
            if given != wanted:
                raise ValueError(f"{name}: task {self.task} {'needs it' if wanted else 'has none'}")
        return self

    @model_validator(mode="after")
    def _detected(self) -> Product:
        if self.detector is None:
            return self
        times = [column.name for column in self.contract.columns if column.type == "time"]
        unknown = sorted(self.detector.groups.keys() - {column.name for column in self.contract.columns})
        if unknown:
            raise ValueError(f"detector.groups: no column of the contract: {', '.join(unknown)}")
        if self.detector.time not in times:
            raise ValueError(f"detector.time: {self.detector.time} is no time column of the contract")
        if self.serving is not None and self.serving.answer != SCORE:
            raise ValueError(f"serving.answer: a detector answers {SCORE}")
        if self.features.optional:
            raise ValueError("features.optional: a detector learns what is usual from whole rows")
        for gate in self.gates:
            if gate.segment is not None:
                raise ValueError(f"gate {gate.metric}: an anomaly product has no metrics by segment")
        return self
