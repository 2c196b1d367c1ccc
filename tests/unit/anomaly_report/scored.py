"""Made scored records: as many as a test needs, the first of them anomalies."""

from __future__ import annotations

import numpy as np
import pandas as pd

GROUPS = {"sky": "weather", "why": "cause"}


def scored(rows: int, anomalies: int = 0, start: str = "2024-01-01", days: int = 90) -> pd.DataFrame:
    """Records spread evenly over these days; anomalies are spread too."""
    at = pd.Timestamp(start) + pd.to_timedelta(np.arange(rows) * days * 24 / max(rows, 1), unit="h")
    odd = np.zeros(rows, dtype=bool)
    odd[np.linspace(0, rows - 1, anomalies).astype(int)] = True
    score = np.where(odd, -0.01 - 0.0001 * np.arange(rows), 0.05 + 0.0001 * (np.arange(rows) % 700))
    return pd.DataFrame(
        {
            "at": pd.Series(at, dtype="datetime64[ns]"),
            "sky": np.where(np.arange(rows) % 4 == 0, "RAIN", "CLEAR").astype(object),
            "why": np.full(rows, "UNABLE TO DETERMINE", dtype=object),
            "anomaly_score": score.astype(float),
            "anomaly_pred": np.where(odd, -1, 1),
        }
    )


def trained(frame: pd.DataFrame, until: str) -> pd.DataFrame:
    """The frame after a model that was trained on the months to this one."""
    return frame.assign(in_training=frame["at"].dt.strftime("%Y-%m") <= until)


CASES = {
    "no rows": scored(0),
    "one row": scored(1),
    "one anomaly": scored(1, 1),
    "two rows": scored(2, 1),
    "one month": scored(300, 5, days=20),
    "no anomaly": scored(500),
    "only anomalies": scored(120, 120),
    "ordinary": scored(2000, 40, days=400),
    "no date": scored(60, 3).assign(at=pd.Series(pd.NaT, index=range(60), dtype="datetime64[ns]")),
    "all equal": scored(60).assign(anomaly_score=0.0),
    "trained on the first months": trained(scored(2000, 40, days=400), "2024-07"),
    "trained on all": trained(scored(300, 5), "2024-12"),
    "trained on none": trained(scored(300, 5), "2023-12"),
    "no rows after training": trained(scored(0), "2024-12"),
}
