"""The thresholds in YAML: what is declared counts, and what can't be is refused by its name and file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.observability.health.policy import DEFS, HealthPolicy, PolicyError, declared_policy

HEAD = "type: mlops_assets.observability.health.component.HealthComponent\n"


def declared(folder: Path, text: str, name: str = "platform") -> HealthPolicy:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "defs.yaml").write_text(text)
    return declared_policy(folder)


def test_the_shipped_declaration_holds_the_thresholds_that_are_asked_for() -> None:
    found = declared_policy(DEFS)
    limits = (found.max_failure_rate, found.max_failures, found.heartbeat_seconds, found.stage_failures_warning)
    assert limits == (0.2, 10, 60, 3)


def test_without_a_declaration_the_defaults_hold(tmp_path: Path) -> None:
    assert declared_policy(tmp_path) == HealthPolicy()
    assert declared(tmp_path, "type: something.else\nattributes: {max_failures: 3}\n") == HealthPolicy()


def test_what_is_declared_counts_among_other_documents(tmp_path: Path) -> None:
    text = f"type: something.else\n---\n{HEAD}attributes:\n  max_failures: 3\n  least_free_disk: 0.3\n"
    assert declared(tmp_path, text) == HealthPolicy(max_failures=3, least_free_disk=0.3)
    assert declared(tmp_path, HEAD) == HealthPolicy()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("max_failure_rate: 1.5", "max_failure_rate"),
        ("max_failure_rate: .nan", "max_failure_rate"),
        ("max_failures: -1", "max_failures"),
        ("max_failures: many", "max_failures"),
        ("heartbeat_seconds: 0", "heartbeat_seconds"),
        ("heartbeat_seconds: .inf", "heartbeat_seconds"),
        ("hours: 0", "hours"),
        ("max_failurs: 3", "max_failurs"),
        ("critical_free_disk: 0.5", "critical_free_disk (0.5) must not be more than least_free_disk (0.1)"),
    ],
)
def test_a_bad_value_is_named_with_its_file(tmp_path: Path, line: str, named: str) -> None:
    with pytest.raises(PolicyError, match=r"defs\.yaml") as refused:
        declared(tmp_path, f"{HEAD}attributes:\n  {line}\n")
    assert named in str(refused.value)


def test_two_declarations_and_no_yaml_are_refused(tmp_path: Path) -> None:
    declared(tmp_path, HEAD)
    with pytest.raises(PolicyError, match="declared twice"):
        declared(tmp_path, HEAD, "other")
    with pytest.raises(PolicyError, match=r"defs\.yaml"):
        declared(tmp_path, "a: [", "other")
