"""What the fork server holds before it forks: imported modules and evaluated Dagster definitions.

Add here what every run would otherwise pay for again. Keep out anything that opens a connection or starts a
thread: the server must be single-threaded and free of connections when it forks. A module that can't be
preloaded is reported and left to the run, where its error reaches the run's own log.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

log = logging.getLogger(__name__)

# What the execution of every run imports, found by diffing sys.modules of a run that started without them.
EXECUTION = (
    "dagster",
    "dagster._cli.api",
    "dagster._core.execution.api",
    "dagster._core.execution.compute_logs",
    "dagster._core.executor.in_process",
    "dagster._core.executor.multiprocess",
    "dagster._core.instance.factory",
    "dagster._core.instance.ref",
    "dagster._core.run_coordinator.queued_run_coordinator",
    "dagster._core.storage.fs_io_manager",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.root",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.system_config.composite_descent",
    "dagster._core.utility_ops",
    "dagster._core.workspace.autodiscovery",
    "dagster._utils.hosted_user_process",
    "dagster._utils.test.definitions",
    "dagster_postgres",
    "fsspec.implementations.local",
    "mlops_assets.runs.compute_logs",
    "mlops_assets.runs.coordinator",
    "mlops_assets.runs.execution",
    "mlops_assets.runs.launcher",
    "mlops_assets.runs.measured_steps",
    "psycopg2.extras",
    "sqlalchemy.dialects.postgresql",
    "upath.implementations.local",
)
LIBRARIES = (
    "pandas",
    "pyarrow.parquet",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.tree",
    # scikit-learn 1.9 looks at data frames through narwhals, and imports it at the first fit.
    "narwhals.stable.v2",
    "narwhals._pandas_like.namespace",
)
# Libraries that start threads while they load: BLAS makes its pool, Arrow's jemalloc a background thread.
# Threads don't survive a fork. A run's BLAS therefore uses one thread; OpenMP (boosting, forests) still
# uses all cores.
_NO_THREADS = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


@dataclass
class Preloaded:
    """What came of a preload: module names, errors by module, the modules whose definitions are warm."""

    modules: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    warm: list[str] = field(default_factory=list)


def preload(names: Iterable[str]) -> Preloaded:
    """Import the modules and evaluate the definitions that they hold. Never raises for a broken module."""
    result = Preloaded()
    with no_library_threads():
        for name in names:
            try:
                module = importlib.import_module(name)
            except Exception as error:
                log.exception("can't preload %s; runs that need it import it themselves", name)
                result.failed[name] = f"{type(error).__name__}: {error}"
                continue
            result.modules.append(name)
            if warm_definitions(module):
                result.warm.append(name)
    return result


def warm_definitions(module: ModuleType) -> bool:
    """Evaluate a module's definitions once and keep them, so that forked runs find jobs already built.

    `@dg.definitions` functions are replaced in this process by the Definitions that they return, unless
    those depend on stored state (state-backed components), whose version is each run's own. True when
    anything is warm.
    """
    import dagster as dg

    warmed = False
    for name, value in list(vars(module).items()):
        if isinstance(value, dg.Definitions):
            definitions: dg.Definitions | None = value
        elif _is_lazy(value):
            definitions = _evaluated(value, f"{module.__name__}.{name}")
        else:
            continue
        if definitions is None:
            continue
        try:
            _build(definitions)
        except Exception:
            log.exception("can't build the jobs of %s.%s ahead of its runs", module.__name__, name)
            continue
        setattr(module, name, definitions)
        warmed = True
    return warmed


def preload_roots(names: Iterable[str]) -> frozenset[Path]:
    """Where the named modules' top-level packages live, also of those whose import fails."""
    roots: set[Path] = set()
    for name in {name.partition(".")[0] for name in names}:
        spec = importlib.util.find_spec(name)
        if spec is None:
            continue
        if spec.submodule_search_locations:
            roots.update(Path(place).resolve() for place in spec.submodule_search_locations)
        elif spec.origin and spec.has_location:
            roots.add(Path(spec.origin).resolve())
    return frozenset(roots)


@contextmanager
def no_library_threads() -> Iterator[None]:
    """Keep libraries that load inside from starting threads; the environment is as before afterwards."""
    before = {name: os.environ.get(name) for name in _NO_THREADS}
    os.environ.update(_NO_THREADS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _is_lazy(value: object) -> bool:
    from dagster.components.definitions import LazyDefinitions

    return isinstance(value, LazyDefinitions) and not value.has_context_arg


def _evaluated(lazy: object, name: str) -> dg.Definitions | None:
    """The definitions behind a `@dg.definitions` function; None when they fail or depend on stored state."""
    import dagster as dg
    from dagster._core.definitions.definitions_load_context import (
        DefinitionsLoadContext,
        DefinitionsLoadType,
    )

    assert callable(lazy)
    try:
        context = DefinitionsLoadContext(load_type=DefinitionsLoadType.INITIALIZATION)
        with DefinitionsLoadContext.scoped(context):
            definitions = lazy()
            definitions.get_repository_def()
    except Exception:
        log.exception("can't evaluate %s ahead of its runs", name)
        return None
    state = context.accessed_defs_state_info
    if context.get_pending_reconstruction_metadata() or (state and state.info_mapping):
        log.info("%s depends on stored state: every run evaluates it", name)
        return None
    return definitions if isinstance(definitions, dg.Definitions) else None


def _build(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    repository.get_all_jobs()
    _ = repository.asset_graph
