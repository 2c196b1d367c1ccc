"""The two-stage pipeline as an Airflow user writes it: `airflow_peer` puts this file into the folder of DAGs.

The same work as `pipeline_runs.TWO_STAGE`: a table made with pandas, a line fitted with scikit-learn, the model kept.
It runs in Airflow's own environment, never in this project's.
"""

from __future__ import annotations

from airflow.sdk import dag, task


@dag(schedule=None, catchup=False)
def two_stage() -> None:
    """Two tasks; the table goes from one to the other as JSON, through XCom."""

    @task
    def prepare() -> str:
        import pandas as pd

        return pd.DataFrame({"x": [1, 2, 3], "y": [2, 4, 6]}).to_json(orient="records")

    @task
    def train(table: str) -> float:
        import os
        from io import StringIO
        from pathlib import Path

        import joblib
        import pandas as pd
        from sklearn.linear_model import LinearRegression

        frame = pd.read_json(StringIO(table), orient="records")
        model = LinearRegression().fit(frame[["x"]], frame["y"])
        joblib.dump(model, Path(os.environ["AIRFLOW_HOME"]) / "model.joblib")
        return float(model.coef_[0])

    train(prepare())


two_stage()
