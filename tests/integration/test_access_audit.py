"""The audit on a real PostgreSQL: nothing is rewritten, and nothing that comes from outside makes an act fail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mlops_assets.access import audit
from mlops_assets.access.audit import Act, Filters, Outcome
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.storage.database import Database

BY = Caller("cli", "kim", Role.OPERATOR, Kind.CLI)


@pytest.mark.parametrize(
    "statement", ["UPDATE mlops.audit SET who = 'x'", "DELETE FROM mlops.audit", "TRUNCATE mlops.audit"]
)
def test_the_database_itself_refuses_to_rewrite_an_act(database: Database, statement: str) -> None:
    audit.record(database, Act(BY, "thing.create", "a"))
    with pytest.raises(DBAPIError, match="append-only"), database.engine.begin() as connection:
        connection.execute(text(statement))
    assert [act.who for act in audit.page(database, Filters(), 10)] == ["kim"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"a": "x\0y", "b": ["\ud800"]}, {"a": "x\ufffdy", "b": ["?"]}),
        ({"a": float("nan"), "b": float("-inf")}, {"a": "NaN", "b": "-Infinity"}),
        ({"a": timedelta(seconds=1)}, {"a": "0:00:01"}),
        ({"a": "é" * 5000}, {"too_large_bytes": 10_009}),
    ],
)
def test_details_that_can_not_be_kept_do_not_make_an_act_fail(
    database: Database, given: dict[str, Any], kept: dict[str, Any]
) -> None:
    audit.record(database, Act(BY, "thing.create", "n\0\ud800" + "x" * 1000, Outcome.REFUSED, "r\0", given))
    found = audit.page(database, Filters(), 1)[0]
    assert found.details == kept
    assert found.object.startswith("n\ufffd?x")
    assert found.request_id == "r\ufffd"
