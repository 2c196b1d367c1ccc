"""The yardstick of the serving benchmark: plain FastAPI under uvicorn, with the same ONNX and `features`.

It does what anyone would write first: no limits, metrics, swaps or health.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI

from inference.release import read_manifest
from mlops_assets.products.house_prices import Request, features

folder = Path(os.environ["BENCHMARK_RELEASE"])
manifest = read_manifest(folder)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
kinds = {i.name: np.float32 if i.type == "float" else object for i in manifest.inputs}
app = FastAPI()


@app.post("/api/predict_home_price")
async def predict(home: Request) -> dict[str, Any]:
    columns = features(home.model_dump())
    feed = {name: np.array([[columns[name]]], dtype=kind) for name, kind in kinds.items()}
    estimate, low, high = (round(float(v[0, 0]), 2) for v in session.run(list(manifest.outputs), feed))
    return {
        "estimated_price": estimate,
        "interval": {"low": low, "high": high},
        "prediction_id": str(uuid.uuid4()),
        "model_version": manifest.version,
    }
