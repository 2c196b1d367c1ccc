"""What /docs and /openapi.json say: request bodies in each content type, answers and errors, with examples.

Add here the description of a new body or answer. Keep out behaviour. The page works without internet: the
Swagger files are the ones BentoML brings along.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from inference.contract import FORMS, JSON
from inference.reasons import MOST_EXPLAINED
from inference.settings import PREDICTION, SCORE

REF = "#/components/schemas/{model}"
CALLER = [
    {
        "name": "x-user-id",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "maxLength": 256},
        "description": "Who asks, so that answers stay on one variant; kept only as a keyed hash",
    }
]


class Interval(BaseModel):
    """The range the true value lies in with the probability that the product declares."""

    low: float
    high: float


class FieldProblem(BaseModel):
    """One thing wrong with a body: where, what, and a name of the kind of error."""

    loc: list[str | int]
    msg: str
    type: str


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str | list[FieldProblem]


class RowProblem(BaseModel):
    """What is wrong with one row of a batch."""

    field: str
    message: str


class RowError(BaseModel):
    """Stands in a batch's answer in place of an estimate."""

    error: RowProblem


def answer_models(answer: str) -> tuple[type[BaseModel], type[BaseModel]]:
    """Schemas of the answer to one record, whose estimate is called `answer`, and to a batch."""
    return _models({
        answer: (float | str | int, Field(description="The estimate, in `unit`")),
        "interval": (Interval | None, None),
        "probabilities": (dict[str, float] | None, None),
        "unit": (str, ...),
    })  # fmt: skip


def score_models() -> tuple[type[BaseModel], type[BaseModel]]:
    """Schemas of a detector's answer to one record and to a batch."""
    return _models({
        PREDICTION: (Literal[-1, 1], Field(description="-1: an anomaly; 1: none", examples=[-1])),
        SCORE: (
            float, Field(description="Below 0: an anomaly. The lower, the more unusual", examples=[-0.021374]),
        ),
        "reasons": (
            list[str],
            Field(
                description="The values that lower the score most, strongest first, at most 3. In a batch of several "
                f"only anomalies have reasons, and of those the {MOST_EXPLAINED} with the lowest scores",
                examples=[["people killed 1 (0.1 % have 1 or more)", "hour 3 (1.6 % of records)"]],
            ),
        ),
    })  # fmt: skip


def _models(answer: dict[str, Any]) -> tuple[type[BaseModel], type[BaseModel]]:
    single: Any = create_model(
        "Prediction",
        __config__=ConfigDict(protected_namespaces=()),
        **answer,
        prediction_id=(str, Field(description="UUIDv7; name it when you send feedback")),
        response_time_ms=(float, ...),
        model_version=(int, ...),
        variant=(str, ...),
        sample_data=(bool | None, Field(default=None, description="True: learnt from generated rows, not real ones")),
        notes=(list[str] | None, Field(default=None, description="What the estimate does not rest on")),
    )
    batch = create_model("Predictions", predictions=(list[single | RowError], ...))
    return single, batch


def example_of(request: type[BaseModel]) -> dict[str, Any]:
    """A request made of the first example of each field that has one."""
    return {name: field.examples[0] for name, field in request.model_fields.items() if field.examples}


def record_body(request: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI `requestBody` of one record."""
    content = {"schema": {"$ref": REF.format(model=request.__name__)}, "example": example_of(request)}
    return {"required": True, "content": {kind: content for kind in (JSON, *FORMS)}}


def batch_body(request: type[BaseModel], limit: int, key: str) -> dict[str, Any]:
    """The OpenAPI `requestBody` of a batch, whose records are in the list `key`."""
    rows = {
        "type": "array",
        "minItems": 1,
        "maxItems": limit,
        "items": {"$ref": REF.format(model=request.__name__)},
    }
    schema = {"type": "object", "required": [key], "properties": {key: rows}}
    return {
        "required": True,
        "content": {JSON: {"schema": schema, "example": {key: [example_of(request)]}}},
    }


def add_request_schema(document: dict[str, Any], request: type[BaseModel]) -> dict[str, Any]:
    """Put the product's request schema and what it refers to among the document's components."""
    schema = request.model_json_schema(ref_template=REF)
    parts = schema.pop("$defs", {})
    document.setdefault("components", {}).setdefault("schemas", {}).update(parts | {request.__name__: schema})
    return document


def swagger_files() -> Path:
    """The folder of BentoML's own copy of Swagger UI."""
    import bentoml

    return Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"
