"""The platform's self-test: it runs, and its gate can fail."""

from __future__ import annotations

from unittest.mock import patch

import dagster as dg

from mlops_assets.definitions import defs
from mlops_assets.observability.component import SELF_TEST_JOB


def run() -> dg.ExecuteInProcessResult:
    return defs().resolve_job_def(SELF_TEST_JOB).execute_in_process(raise_on_error=False)


def test_the_job_succeeds_and_its_gate_passes() -> None:
    result = run()
    assert result.success
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]


def test_a_model_that_is_wrong_fails_the_gate() -> None:
    with patch("sklearn.linear_model.LinearRegression.fit", lambda self, *_: setattr(self, "coef_", [2.0]) or self):
        result = run()
    assert [check.passed for check in result.get_asset_check_evaluations()] == [False]
