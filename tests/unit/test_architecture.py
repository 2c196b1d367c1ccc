"""Which part may import which, as DESIGN draws it; every offender is printed with where it belongs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "mlops_assets"

# Capability → what of ours it may import besides itself. A capability that isn't here may import nothing.
ALLOWED = {
    "products": set(),
    "sandbox": set(),
    "settings": set(),
    "storage": {"settings"},
    "access": {"storage"},
    "compute": {"settings"},
    "runs": {"settings", "storage"},
    "rollout": {"runs", "storage", "settings"},
    "prediction_log": {"rollout", "runs", "storage", "settings"},
    "drift": {"prediction_log", "rollout", "runs", "storage", "settings"},
    "notifications": {"drift", "rollout", "storage", "settings"},
    "explanations": set(),
    "anomaly_report": set(),
    "training": {
        *("compute", "products", "drift", "prediction_log", "rollout", "runs", "storage", "settings", "inference"),
        *("explanations", "anomaly_report"),
    },
    "batch": {"training", "explanations", "anomaly_report", "rollout", "runs", "storage", "settings"},
    "observability": {
        *("drift", "notifications", "pipelines", "prediction_log", "rollout", "runs", "storage", "settings"),
        "inference",
    },
    "api": {
        *("access", "batch", "drift", "notifications", "observability", "pipelines", "rollout", "runs", "sandbox"),
        *("settings", "storage", "training"),
    },
    "export": {"backup", "installation", "pipelines", "settings", "storage", "training"},
    "retention": {
        *("batch", "observability", "pipelines", "prediction_log", "runs", "sandbox", "settings", "storage"),
        "training",
    },
    "client": {"api", "settings"},
    "resources": {"storage", "settings", "training"},
    "definitions": {"resources", "runs"},
    "installation": {
        "access",
        "api",
        "compute",
        "notifications",
        "observability",
        "rollout",
        "settings",
        "storage",
        "training",
    },
    "backup": {"installation", "settings", "storage"},
    "rehearsal": {"installation", "rollout", "settings", "storage", "training"},
    "cli": {
        *("api", "definitions", "drift", "installation", "notifications", "observability", "rehearsal", "rollout"),
        *("access", "backup", "batch", "client", "export", "pipelines", "retention", "settings", "storage", "training"),
    },
    "pipelines": {"runs", "sandbox", "settings", "storage"},
    "defs": set(),
}
# Pure files: maths, rules and specs that must stay free of Dagster, MLflow and servers.
PURE = [
    *(f"training/{name}.py" for name in ("spec", "gates", "scores", "split", "search", "families")),
    *(f"training/{name}.py" for name in ("trials", "trial_order", "trial_places")),
    *(f"compute/{name}.py" for name in ("cluster", "installed", "place")),
    *(f"training/data/{name}.py" for name in ("spec", "contract", "contract_facts", "live_labels")),
    *("training/objectives.py", "notifications/from_alerts.py"),
    *(f"training/{name}.py" for name in ("interval", "evaluate", "graph", "released")),
    *(f"rollout/{name}.py" for name in ("policy", "phases", "facts", "state", "confidence", "guardrails", "decide")),
    *(
        f"rollout/{name}.py"
        for name in ("sample_ratio", "simulate", "evidence", "looking", "gateway", "ledger", "ledger_rows")
    ),
    *(f"rollout/{name}.py" for name in ("counting", "ratings", "replay", "story", "chart", "archive", "retraining")),
    *(f"rollout/{name}.py" for name in ("simulated_rollouts", "simulated_traffic", "running_effect", "registry")),
    *(f"rollout/{name}.py" for name in ("gateway_api", "kubernetes_api", "route_commands")),
    *(f"rollout/envoy/{name}.py" for name in ("routes", "bootstrap", "clusters", "listener", "users", "access_log")),
    *(f"rollout/envoy/{name}.py" for name in ("tracing", "door", "door_replies")),
    *(f"observability/trace/{name}.py" for name in ("tracer", "facts", "records", "files", "tree")),
    *(f"drift/{name}.py" for name in ("policy", "facts", "sample", "judge", "two_key", "shares", "effects", "shown")),
    *(f"drift/{name}.py" for name in ("daily", "days", "recent", "references", "report", "store", "retraining")),
    *(f"drift/{name}.py" for name in ("keyed", "hour_files", "charts", "heatmap", "values", "summary", "reasons")),
    *(
        f"notifications/{name}.py"
        for name in ("notice", "links", "from_ledger", "from_drift", "from_runs", "grouping", "message", "channels")
    ),
    *(
        f"notifications/{name}.py"
        for name in ("outbox", "telling", "collect", "deliver", "probes", "outage", "notifier", "sender", "tables")
    ),
    *(f"training/{name}.py" for name in ("isolation", "isolation_encoder", "isolation_graph", "isolation_metrics")),
    *(f"explanations/{name}.py" for name in ("reference", "reasons", "explainer", "wording")),
    *(f"anomaly_report/{name}.py" for name in ("summary", "canvas", "charts", "interactive", "page_tables")),
    *(f"batch/{name}.py" for name in ("policy", "months", "figures", "files", "groups", "store", "scoring")),
    *(f"batch/{name}.py" for name in ("scorer", "compared", "presented", "shown")),
    *(
        f"products/{name}.py"
        for name in ("house_prices", "house_prices_cells", "traffic_anomalies", "traffic_cleaning")
    ),
    *(f"access/{name}.py" for name in ("roles", "tokens", "known", "audit", "idempotency", "rate_limit")),
    *(f"access/{name}.py" for name in ("dagster_rules", "mlflow_rules")),
    *("access/provider.py", "api/next_page.py", "api/id_token.py"),
    *(f"pipelines/{name}.py" for name in ("spec", "stage_types", "problem", "structure", "graph", "source_text")),
    *(f"pipelines/{name}.py" for name in ("parameters", "validate", "yaml_file", "templates", "naming", "stage_facts")),
    *(f"pipelines/{name}.py" for name in ("store", "store_queries", "store_deployed")),
    *(f"pipelines/{name}.py" for name in ("artifacts", "artifact_facts", "artifact_records", "artifact_content")),
    *(f"pipelines/{name}.py" for name in ("previews", "preview_tables", "preview_process", "retention", "stage_logs")),
    *(f"pipelines/{name}.py" for name in ("functions", "git_checkout", "git_program", "stage_folders")),
    *(f"export/{name}.py" for name in ("tables", "columns", "record", "readme", "make")),
    *(f"retention/{name}.py" for name in ("policy", "declared", "measure", "shown", "log_files")),
    "retention/rollout_counts.py",
    *(f"observability/usage/{name}.py" for name in ("queries", "figures", "changes", "compared")),
    *(f"runs/{name}.py" for name in ("usage", "usage_rows")),
    *(f"observability/health/{name}.py" for name in ("judge", "facts", "issues", "policy", "rules", "resources")),
    *(f"observability/health/{name}.py" for name in ("words", "errors", "checks", "shown", "chart", "store")),
    *(f"observability/health/{name}.py" for name in ("runs", "machinery", "programs")),
    *(f"observability/exporter/{name}.py" for name in ("__main__", "server", "metrics", "metric_docs", "families")),
    "observability/supervisor_socket.py",
    *(f"observability/exporter/{name}.py" for name in ("collector", "rising", "watching", "scraping")),
    *(f"observability/exporter/collectors/{name}.py" for name in ("source", "runs", "settled_runs", "stages", "drift")),
    *(f"observability/exporter/collectors/{name}.py" for name in ("automation", "schedules", "locations", "assets")),
    *(f"observability/exporter/collectors/{name}.py" for name in ("rollouts", "prediction_log", "pipelines")),
    *(f"observability/exporter/collectors/{name}.py" for name in ("storage", "machine", "programs", "notices")),
    "observability/exporter/collectors/daemons.py",
    "notifications/from_health.py",
    "rehearsal/people.py",
]
BANNED_WHEN_PURE = {"dagster", "mlflow", "dagster_mlflow", "bentoml", "fastapi"}


SERVING_MAY_USE = (
    *("mlops_assets.products", "mlops_assets.explanations"),
    *("mlops_assets.storage.files", "mlops_assets.storage.folders"),
)


def imported(path: Path) -> set[str]:
    """Dotted names of every module that a file imports, at any depth of the code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def capability(name: str) -> str | None:
    """`mlops_assets.training.spec` → `training`; `inference.x` → `inference`; None for what isn't ours."""
    parts = name.split(".")
    if parts[0] == "inference":
        return "inference"
    return parts[1] if parts[0] == "mlops_assets" and len(parts) > 1 else None


def test_capabilities_import_only_what_the_design_allows() -> None:
    offenders = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for name in imported(path):
            other = capability(name)
            if other is not None and other != own and other not in ALLOWED.get(own, set()):
                offenders.append(f"{path.relative_to(PROJECT)} imports {name}: {own} may not know {other}")
    assert not offenders, "\n".join(offenders)


def test_every_capability_has_a_rule() -> None:
    present = {p.name.removesuffix(".py") for p in PACKAGE.iterdir() if p.name not in ("__init__.py", "__pycache__")}
    assert present == set(ALLOWED), "add the new capability to ALLOWED, with what it may import"


@pytest.mark.parametrize("name", PURE)
def test_pure_files_stay_pure(name: str) -> None:
    found = {n.split(".")[0] for n in imported(PACKAGE / name)} & BANNED_WHEN_PURE
    assert not found, f"{name} imports {', '.join(found)}: move that part to a file whose name says so"


def test_serving_imports_neither_orchestration_nor_training() -> None:
    offenders = []
    for path in sorted((PROJECT / "inference").rglob("*.py")):
        for name in imported(path):
            wrong = name.split(".")[0] in {"dagster", "mlflow", "sklearn", "pandas", "joblib", "pickle"}
            ours = name.startswith("mlops_assets.") and not name.startswith(SERVING_MAY_USE)
            if wrong or ours:
                offenders.append(f"{path.relative_to(PROJECT)} imports {name}")
    assert not offenders, "\n".join(offenders)


def test_the_environment_is_read_in_the_settings_only() -> None:
    # The sandbox reads none of it: it replaces what a stage's process has.
    allowed = {"settings", "cli", "installation", "runs", "sandbox"}
    offenders = [
        str(path.relative_to(PROJECT))
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in allowed
        and any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]
    assert not offenders, f"read the environment in mlops_assets/settings instead: {offenders}"


def test_products_import_nothing_heavy_at_module_level() -> None:
    heavy = {"pandas", "numpy", "sklearn", "scipy"}
    for path in sorted((PACKAGE / "products").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            found = {n.split(".")[0] for n in names} & heavy
            assert not found, f"{path.relative_to(PROJECT)} imports {found} at module level; serving pays for it"
