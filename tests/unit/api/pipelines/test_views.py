"""How pipelines are told: when they run next, whether Dagster shows them, their stages in order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from mlops_assets.api.pipelines.next_run import NextRuns
from mlops_assets.api.pipelines.views import detail_view, pipeline_view, stage_summaries, template_view, version_view
from mlops_assets.pipelines.spec import digest
from mlops_assets.pipelines.store import Head
from mlops_assets.pipelines.templates import templates
from mlops_assets.pipelines.validate import checked
from mlops_assets.storage.pipeline_tables import Pipeline, PipelineVersion
from tests.unit.pipelines.made_pipelines import pipeline, stage

NOW = datetime(2026, 3, 28, 12, 0, 30, tzinfo=UTC)
HEAD = Head(None, "", None, "0 1 * * *", "UTC", {"a": "b"}, 2, "30 2 * * *", "Europe/Berlin")


def row(**fields: Any) -> Pipeline:
    defaults = {
        **{"id": uuid4(), "name": "made", "revision": 4, "version": 3, "deployed_version": 2, "deployed_at": NOW},
        **{"active": True, "loaded_version": 2, "loaded_active": True, "load_error": None, "created_by": "kim"},
        **{"created_at": NOW, "updated_at": NOW, "deleted_at": None},
    }
    return Pipeline(**defaults | fields)


@pytest.mark.parametrize(
    ("schedule", "timezone", "now", "expected"),
    [
        ("* * * * *", "UTC", NOW, datetime(2026, 3, 28, 12, 1, tzinfo=UTC)),
        ("0 13 * * *", "UTC", datetime(2026, 3, 28, 13, tzinfo=UTC), datetime(2026, 3, 29, 13, tzinfo=UTC)),
        ("@daily", "Asia/Tokyo", NOW, datetime(2026, 3, 28, 15, tzinfo=UTC)),
        # The hour that the clocks leave out in spring: as soon as there is one again.
        ("30 2 * * *", "Europe/Berlin", NOW, datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("0 0 29 2 *", "UTC", NOW, datetime(2028, 2, 29, tzinfo=UTC)),
        ("every day", "UTC", NOW, None),
        ("0 1 * * *", "Europe/Berln", NOW, None),
    ],
)
def test_a_schedule_comes_next_in_its_own_time_zone(
    schedule: str, timezone: str, now: datetime, expected: datetime | None
) -> None:
    assert NextRuns().after(schedule, timezone, now) == expected


def test_what_is_known_of_a_schedule_ends_when_it_is_past() -> None:
    runs = NextRuns()
    at = [NOW + timedelta(minutes=minutes) for minutes in (0, 20, 40, 60, 120, 30)]
    found = [runs.after("30 * * * *", "UTC", now) for now in at]
    assert [one.hour for one in found if one is not None] == [12, 12, 13, 13, 14, 13]


def test_a_pipeline_runs_next_when_what_is_deployed_says_and_only_while_it_is_active() -> None:
    assert pipeline_view(row(), HEAD, NOW).next_run_at == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert pipeline_view(row(active=False), HEAD, NOW).next_run_at is None
    without = replace(HEAD, deployed_schedule=None, deployed_timezone=None)
    view = pipeline_view(row(deployed_version=None), without, NOW)
    assert (view.next_run_at, view.schedule, view.timezone) == (None, "0 1 * * *", "UTC")


@pytest.mark.parametrize(
    ("fields", "loaded"),
    [
        ({}, True),
        ({"loaded_version": 1}, False),
        ({"loaded_version": None, "loaded_active": None}, False),
        ({"active": False}, False),
        ({"active": False, "loaded_active": False}, True),
        ({"load_error": "can't be loaded"}, False),
        ({"deployed_version": None, "loaded_version": None, "loaded_active": None}, False),
    ],
)
def test_a_pipeline_is_loaded_when_dagster_shows_what_is_deployed(fields: dict[str, Any], loaded: bool) -> None:
    view = pipeline_view(row(**fields), HEAD, NOW)
    assert (view.loaded, view.load_error) == (loaded, fields.get("load_error"))


def test_a_detail_has_the_stages_of_its_spec_in_the_order_they_run_in() -> None:
    spec = checked(
        pipeline(
            stage("last", ["first", "middle"], stage_type="CUSTOM", custom_name="Report"),
            stage("middle", order=2),
            stage("first", order=1),
        )
    )
    stored = PipelineVersion(version=1, spec=spec.model_dump(mode="json"), digest=digest(spec), created_by="kim")
    view = detail_view(row(), HEAD, stored, NOW)
    assert [one.name for one in view.stages] == ["first", "middle", "last"]
    assert (view.stages[2].custom_name, view.stages[2].dependencies) == ("Report", ["first", "middle"])
    assert (view.spec_version, view.spec, view.version) == (1, spec.model_dump(mode="json"), 3)


def test_a_version_says_whether_it_is_the_deployed_one() -> None:
    found = [
        version_view(PipelineVersion(version=version, digest="0" * 64, created_by="kim", created_at=NOW), row())
        for version in (1, 2, 3)
    ]
    assert [one.deployed for one in found] == [False, True, False]


def test_templates_have_what_a_form_needs() -> None:
    for template in templates():
        view = template_view(template)
        assert {one.name for one in view.parameters} == template.parameters.keys()
        assert view.stages
    assert stage_summaries([]) == []
