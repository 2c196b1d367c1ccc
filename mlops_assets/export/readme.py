"""What an export tells whoever opens it. Keep out the making."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from mlops_assets.export.tables import EXPORTED

_TEXT = """# Export

{what}, as it was on {made_at:%Y-%m-%d} at {made_at:%H:%M:%S} UTC. Times in tables are UTC. JSON is in columns of text.

| file | rows | what |
|---|---|---|
{tables}

| folder | what |
|---|---|
| `products/<product>/datasets` | data versions: cleaned rows as Parquet, with a manifest |
| `products/<product>/releases/<n>` | a release: the model as ONNX, `release.json` with metrics, schema and hashes |
| `products/<product>/references/<n>` | a sample of what the release was trained on, which drift is judged by |
| `products/<product>/scores` | months of records with their scores |
| `products/<product>/prediction_log` | answers and feedback, by hour, that have left the table |
| `pipelines/<name>` | each version of a declared pipeline as YAML; `mlops pipeline apply` takes it |

A folder is only there if there is something in it. `export.json` names every file with its SHA-256; it is written last,
so a folder without it isn't finished. A stage's cost is its hours of CPU, and its peak memory in GB (1e9 bytes) times
its hours, at the prices that are in there too.

    import duckdb
    duckdb.sql("SELECT product, count(*) FROM 'tables/predictions.parquet' GROUP BY 1")
    duckdb.sql("SELECT p.estimate, f.type, f.value FROM 'tables/predictions.parquet' p "
               "JOIN 'tables/feedback.parquet' f ON f.prediction_id = p.id")

    import onnxruntime
    onnxruntime.InferenceSession("products/house_prices/releases/1/model.onnx")

Users are told apart by salted hashes, as the platform keeps them; requests and comments are as users sent them. Keys,
tokens and their hashes aren't in here.
"""


def readme(made_at: datetime, product: str | None, since: date | None, rows: Mapping[str, int]) -> str:
    """Markdown."""
    what = "Everything" if product is None else f"Everything of {product}"
    if since is not None:
        what += f" (of what happens, what happened since {since}; data, releases and scores whole)"
    says = {f"tables/{exported.name}.parquet": exported.says for exported in EXPORTED}
    tables = "\n".join(f"| `{name}` | {count:,} | {says[name]} |" for name, count in rows.items())
    return _TEXT.format(what=what, made_at=made_at, tables=tables)
