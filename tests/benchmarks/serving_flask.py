"""What the serving benchmark must beat: Flask under gunicorn, with a pickled scikit-learn pipeline."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
from flask import Flask, request

from mlops_assets.products.house_prices import Request, features

model = pickle.loads(Path(os.environ["BENCHMARK_PICKLE"]).read_bytes())
app = Flask(__name__)


@app.post("/api/predict_home_price")
def predict() -> dict[str, Any]:
    home = Request.model_validate(request.get_json())
    estimate = float(model.predict(pd.DataFrame([features(home.model_dump())]))[0])
    return {"estimated_price": round(estimate, 2)}
