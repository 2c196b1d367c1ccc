"""What one serving process is told: the only module of `inference` that reads the environment.

Add a field here when an operator must be able to change it; the variable is MLOPS_SERVING_<NAME>.
Keep out what belongs to a release (its manifest says it) and BentoML's own options (`service.py`).
A built Bento carries its values in `serving.json` beside this package; the environment wins over that file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

SERVING_FILE = "serving.json"
PRODUCTS = "mlops_assets.products."
# What a detector answers: its score, and -1 for an anomaly or 1 for any other record.
SCORE, PREDICTION = "anomaly_score", "anomaly_pred"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Module = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
PageUrl = Annotated[str, Field(pattern=r"^https?://[^\s?#]+$", max_length=500)]
Variant = Literal["production", "candidate"]


class VocabularyRoute(BaseModel):
    """GET /api/<route> answers {<key>: known values of <column>}."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    route: Name
    column: Name
    key: Name


class ServingSettings(BaseSettings):
    """One product, one variant. Times are seconds, limits of bodies are bytes.

    `pinned` names a release folder that is served for ever; without it the ledger in `database_url` says
    which release this variant serves. `module` may be left out only when a release is pinned. `batch_key` names the
    list of records in the body of a batch. `answer` is anomaly_score for a detector, else any name. `key_file` and
    `journal_dir` come together: with them every answer is logged and feedback is taken. `token_file` opens the
    log to who holds the token, `drill_file` is where an operator orders faults for a demonstration. `report_url` is
    where operators find the drift pages; answers link to them. `otlp_endpoint` is the collector of traces (OTLP over
    HTTP); without it none are sent.
    """

    model_config = SettingsConfigDict(env_prefix="MLOPS_SERVING_", frozen=True, extra="forbid")

    product: Name
    module: Module | None = None
    route: Name
    answer: Name = "estimate"
    batch_key: Name = "records"
    vocabularies: tuple[VocabularyRoute, ...] = ()
    variant: Variant = "production"
    pinned: Path | None = None
    database_url: SecretStr | None = None
    cache_dir: Path | None = None
    keep_releases: int = Field(default=3, ge=1, le=50)
    poll_seconds: float = Field(default=0.5, gt=0, le=60)
    batch_limit: int = Field(default=1000, ge=1, le=10_000)
    body_limit: int = Field(default=64 * 1024, ge=256)
    batch_body_limit: int = Field(default=4 * 1024 * 1024, ge=256)
    max_concurrency: int = Field(default=256, ge=1)
    title: str | None = Field(default=None, max_length=120)
    key_file: Path | None = None
    journal_dir: Path | None = None
    token_file: Path | None = None
    drill_file: Path | None = None
    report_url: PageUrl | None = None
    otlp_endpoint: PageUrl | None = None
    feedback_days: int = Field(default=90, ge=1)
    feedback_body_limit: int = Field(default=16 * 1024, ge=256)

    @property
    def detects(self) -> bool:
        """Whether what is answered is an anomaly's score, so that nobody can know a true value."""
        return self.answer == SCORE

    @model_validator(mode="after")
    def _complete(self) -> ServingSettings:
        if (self.key_file is None) != (self.journal_dir is None):
            raise ValueError("give both MLOPS_SERVING_KEY_FILE and MLOPS_SERVING_JOURNAL_DIR, or neither")
        if self.pinned is not None:
            return self
        needed = {"module": self.module, "database_url": self.database_url, "cache_dir": self.cache_dir}
        missing = [f"MLOPS_SERVING_{name.upper()}" for name, value in needed.items() if value is None]
        if missing:
            raise ValueError(f"without MLOPS_SERVING_PINNED give {', '.join(missing)}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values given in code, then the environment, then those a Bento carries."""
        return init_settings, env_settings, _BentoFile(settings_cls)


class _BentoFile(PydanticBaseSettingsSource):
    """The values in `serving.json`, with `pinned` relative to it; nothing when there is no such file."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = Path(__file__).resolve().parent.parent / SERVING_FILE
        if not path.is_file():
            return {}
        values: dict[str, Any] = json.loads(path.read_text())
        if values.get("pinned"):
            values["pinned"] = str(path.parent / values["pinned"])
        return values
