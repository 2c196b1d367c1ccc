"""The platform's self-test: a two-stage run that proves that runs really happen.

Keep out what watches the platform while it works (`health`) and what watches one product.
"""

from typing import Any

import dagster as dg

GROUP = "platform"
SELF_TEST_JOB = "platform_self_test"


class SelfTestComponent(dg.Component, dg.Model, dg.Resolvable):
    """Two small assets, pandas then scikit-learn, and the job `platform_self_test` over them."""

    rows: int = 200

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        rows = self.rows
        common: dict[str, Any] = {
            "key_prefix": GROUP,
            "group_name": GROUP,
            "owners": ["team:platform"],
            "io_manager_key": "mem_io_manager",
        }

        @dg.asset(**common, kinds={"pandas"}, description="A straight line with known slope, as a table.")
        def self_test_data() -> Any:
            import numpy as np
            import pandas as pd

            x = np.arange(rows, dtype=float)
            return pd.DataFrame({"x": x, "y": 3.0 * x + 1.0})

        @dg.asset(
            **common,
            kinds={"scikitlearn"},
            # A MaterializeResult that carries a value and checks has no annotation that Dagster can read.
            dagster_type=dg.Any,
            description="A linear model that must find the slope again.",
            check_specs=[dg.AssetCheckSpec("slope_gate", asset=[GROUP, "self_test_model"], description="slope is 3")],
        )
        def self_test_model(self_test_data: Any) -> dg.MaterializeResult:
            from sklearn.linear_model import LinearRegression

            slope = float(
                LinearRegression().fit(self_test_data[["x"]].to_numpy(), self_test_data["y"].to_numpy()).coef_[0]
            )
            passed = abs(slope - 3.0) < 1e-6
            return dg.MaterializeResult(
                value=slope,
                metadata={"slope": slope, "rows": len(self_test_data)},
                check_results=[dg.AssetCheckResult(passed=passed, metadata={"slope": slope})],
            )

        job = dg.define_asset_job(
            SELF_TEST_JOB,
            selection=[self_test_data, self_test_model],
            description="Data, then a model: seconds that show whether runs start, share data and are recorded.",
        )
        return dg.Definitions(
            assets=[self_test_data, self_test_model],
            jobs=[job],
            resources={"mem_io_manager": dg.mem_io_manager},
        )
