"""Pipelines in the store, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from mlops_assets.pipelines import store
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.pipelines.validate import checked
from mlops_assets.storage.database import Database
from mlops_assets.storage.pipeline_tables import Pipeline
from tests.unit.pipelines.made_pipelines import pipeline, stage


def spec(name: str = "made", **fields: Any) -> PipelineSpec:
    """Two stages."""
    return checked(pipeline(stage("load"), stage("train", ["load"]), **{"name": name} | fields))


@contextmanager
def changing(database: Database) -> Iterator[Session]:
    """A transaction that is committed at the end."""
    with database.session() as session, session.begin():
        yield session


def created(database: Database, name: str = "made", deploy: bool = True, **fields: Any) -> Pipeline:
    """A new pipeline of two stages."""
    with changing(database) as session:
        return store.create(session, spec(name, **fields), "kim", deploy=deploy)


def found(database: Database, name: str = "made") -> Pipeline:
    """The pipeline as it is now."""
    with database.session() as session:
        return store.find(session, name)
