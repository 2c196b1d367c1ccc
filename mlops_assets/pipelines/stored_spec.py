"""A spec as PostgreSQL keeps it: as JSON whose numbers it writes in its own way.

Add here what a spec needs to come back as it went in. Keep out rows and versions (`store`). JSONB writes numbers out in
full, so that 1e16 comes back as a whole number, and knows no -0.0: a spec is brought into the form that survives
before its digest is taken, or a pipeline that is read and sent again unchanged would be another one.
"""

from __future__ import annotations

import math
from typing import Any

from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.pipelines.structure import INTEGERS


def lasting(spec: PipelineSpec) -> PipelineSpec:
    """The spec as it will be read again: equal to what `read` makes of its JSON after the database had it."""
    return PipelineSpec.model_validate(_written(spec.model_dump(mode="json")))


def read(stored: dict[str, Any]) -> PipelineSpec:
    """The spec of a stored version. ValidationError: it was stored by another version of the platform."""
    return PipelineSpec.model_validate(_unwritten(stored))


def _written(value: Any) -> Any:
    """Floats that JSONB writes as whole numbers as such, if 64 bits hold them; a zero without a sign."""
    if isinstance(value, dict):
        return {key: _written(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_written(inner) for inner in value]
    if isinstance(value, float) and ("e+" in repr(value) or (value == 0 and math.copysign(1, value) < 0)):
        return int(value) if int(value) in INTEGERS and value != 0 else value + 0.0
    return value


def _unwritten(value: Any) -> Any:
    """Whole numbers of more than 64 bits, which no spec may hold, as the floats that they were."""
    if isinstance(value, dict):
        return {key: _unwritten(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_unwritten(inner) for inner in value]
    return float(value) if isinstance(value, int) and value not in INTEGERS else value
