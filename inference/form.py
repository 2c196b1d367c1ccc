"""GET /api/form: what a page must ask for one product's estimate, made from the product's own request schema.

Add here another kind of field that a page can show. Keep out the page itself (`frontend`) and validation,
which stays with the schema. Every URL is relative, since the page may live under a prefix.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from inference.served import Served
from inference.settings import ServingSettings

KINDS: dict[str, Literal["number", "integer", "text", "boolean"]] = {
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
}


class FormField(BaseModel):
    """One field, with the limits of its schema."""

    name: str
    title: str
    type: Literal["number", "integer", "choice", "text", "boolean"]
    required: bool
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    max_length: int | None = None
    choices: list[Any] | None = None
    vocabulary_url: str | None = None
    vocabulary_key: str | None = None
    description: str | None = None
    example: Any = None


class Form(BaseModel):
    """The fields in the schema's order, where to POST them as JSON, and which key of the answer is the estimate.

    `kind` says what the page is about: an estimate, or whether a record is an anomaly.
    """

    title: str
    kind: Literal["estimate", "anomaly"]
    fields: list[FormField]
    answer: str
    route: str
    unit: str | None


def form_of(settings: ServingSettings, request: type[BaseModel], served: Served) -> Form:
    """The form of the product; `unit` is that of the release that serves."""
    schema = request.model_json_schema()
    required = set(schema.get("required", ()))
    vocabularies = {v.column: v for v in settings.vocabularies}
    fields = []
    for name, declared in schema["properties"].items():
        field = _field(name, declared, name in required)
        if (vocabulary := vocabularies.get(name)) is not None:
            url = {"vocabulary_url": f"api/{vocabulary.route}", "vocabulary_key": vocabulary.key}
            field = field.model_copy(update=url)
        fields.append(field)
    serving = served.current
    return Form(
        title=settings.title or settings.product.replace("_", " ").capitalize(),
        kind="anomaly" if settings.detects else "estimate",
        fields=fields,
        answer=settings.answer,
        route=f"api/{settings.route}",
        unit=serving.model.manifest.target.unit if serving is not None else None,
    )


def _field(name: str, declared: dict[str, Any], required: bool) -> FormField:
    """One property of a JSON schema; `X | None` is an X that isn't required."""
    options = [option for option in declared.get("anyOf", [declared]) if option.get("type") != "null"]
    facts = (options[0] if len(options) == 1 else {}) | declared
    choices = facts.get("enum")
    examples = facts.get("examples") or [None]
    return FormField(
        name=name,
        title=facts.get("title", name),
        type="choice" if choices else KINDS.get(str(facts.get("type", "")), "text"),
        required=required,
        minimum=facts.get("minimum"),
        maximum=facts.get("maximum"),
        exclusive_minimum=facts.get("exclusiveMinimum"),
        exclusive_maximum=facts.get("exclusiveMaximum"),
        max_length=facts.get("maxLength"),
        choices=[choice for choice in choices if choice is not None] if choices else None,
        description=facts.get("description"),
        example=examples[0],
    )
