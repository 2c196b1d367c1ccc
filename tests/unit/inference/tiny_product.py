"""A product small enough to reason about: area and bedrooms in a town, priced in coins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Request(BaseModel):
    """One dwelling."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)

    area: float = Field(gt=0, le=20_000, description="Area in square feet", examples=[1200])
    town: str = Field(min_length=1, max_length=120, description="Where it is", examples=["Old Town"])
    rooms: int = Field(ge=1, le=50, description="Bedrooms", examples=[2])
    floor: int | None = Field(default=None, ge=0, le=200, description="Storey", examples=[3])


def features(record: Mapping[str, Any]) -> dict[str, float | str]:
    """Model columns of one record."""
    floor = record.get("floor")
    return {
        "area": float(record["area"]),
        "rooms": float(record["rooms"]),
        "floor": float("nan") if floor is None else float(floor),
        "town": " ".join(record["town"].casefold().split()),
    }
