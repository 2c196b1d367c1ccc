"""Made scored records: as many as a test needs, the first of them anomalies."""

from __future__ import annotations

import numpy as np
import pandas as pd


def scored(rows: int, anomalies: int = 0, start: str = "2024-01-01", days: int = 90) -> pd.DataFrame:
    """Records spread evenly over these days; anomalies are spread too."""
    at = pd.Timestamp(start) + pd.to_timedelta(np.arange(rows) * days * 24 / max(rows, 1), unit="h")
    odd = np.zeros(rows, dtype=bool)
    odd[np.linspace(0, rows - 1, anomalies).astype(int)] = True
    score = np.where(odd, -0.01 - 0.0001 * np.arange(rows), 0.05 + 0.0001 * (np.arange(rows) % 700))
    return pd.DataFrame(
        {
            "crash_date": pd.Series(at, dtype="datetime64[ns]"),
            "weather_condition": np.where(np.arange(rows) % 4 == 0, "RAIN", "CLEAR").astype(object),
            "prim_contributory_cause": np.full(rows, "UNABLE TO DETERMINE", dtype=object),
            "crash_hour": at.hour.to_numpy(dtype=float),
            "crash_day_of_week": (at.dayofweek.to_numpy(dtype=float) + 1) % 7 + 1,
            "anomaly_score": score.astype(float),
            "anomaly_pred": np.where(odd, -1, 1),
        }
    )


CASES = {
    "no rows": scored(0),
    "one row": scored(1),
    "one anomaly": scored(1, 1),
    "two rows": scored(2, 1),
    "one month": scored(300, 5, days=20),
    "no anomaly": scored(500),
    "only anomalies": scored(120, 120),
    "ordinary": scored(2000, 40, days=400),
    "no date": scored(60, 3).assign(crash_date=pd.NaT),
    "all equal": scored(60).assign(anomaly_score=0.0),
}
