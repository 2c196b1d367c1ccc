"""Files that stages handed on go when Dagster no longer tells of their run, unless a run that is left refers to them.

Records of `io_managers` below `references`, tables of features, trained models and charts of a product: each is named
by its run. Add here another file with a run's name. Keep out releases, data versions, what declared pipelines leave
and what runs printed (`run_logs`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from mlops_assets.retention.dagster_runs import living
from mlops_assets.retention.round import Round, Swept
from mlops_assets.runs.kept_logs import FOLDER as COPIES
from mlops_assets.sandbox.collect import remove_folder
from mlops_assets.storage.files import MissingFileError, Storage, StorageError, told

REFERENCES = "references"
OF_RUNS = ("models", "charts", "features")
# Of the storage root's folders, those that aren't a product's.
NOT_PRODUCTS = frozenset({REFERENCES, "pipelines", "mlflow", COPIES})
_PRODUCT = re.compile(r"[a-z][a-z0-9_]*")
_NAMED = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})((?:\.\w+)*)")

log = logging.getLogger(__name__)


def sweep(work: Round) -> Swept:
    """Remove old files of runs that are gone. Raises StorageError when a record that is left can't be read."""
    done = Swept()
    for product in products(work.storage):
        # Records first tell what else is referred to, and are then removed themselves.
        records = [work.storage.at(REFERENCES, product, stage) for stage in _names(work.storage, REFERENCES, product)]
        gone = {folder.url: _gone(work, folder) for folder in records}
        referred = _referred(records, gone)
        for folder in [*records, *(work.storage.at(product, name) for name in OF_RUNS)]:
            found = gone[folder.url] if folder.url in gone else _gone(work, folder)
            for run, names in found.items():
                if work.over:
                    return done + Swept(unfinished=True)
                done += Swept(kept=len(names)) if run in referred else _remove(work, folder, names)
    return done


def products(storage: Storage) -> list[str]:
    """Names of the products that have files."""
    return [name for name in _names(storage) if name not in NOT_PRODUCTS and _PRODUCT.fullmatch(name)]


def remove_old_folder(work: Round, path: Path, days: int) -> Swept:
    """Remove a folder in which nothing was written for so many days."""
    try:
        facts = [found.lstat() for found in (path, *path.rglob("*"))]
        if max(fact.st_mtime for fact in facts) >= work.before(days).timestamp():
            return Swept()
        if work.apply:
            remove_folder(path)
    except OSError as error:
        log.warning("%s can't be removed: %s", path, error)
        return Swept(failed=1)
    return Swept(removed=1, bytes=sum(fact.st_size for fact in facts))


def remove_file(work: Round, folder: Storage, name: str, days: int) -> Swept:
    """Remove a stored file that wasn't written for so many days."""
    try:
        # An object store may keep empty folders, and list them in themselves.
        with told(folder.locate(name)):
            facts = (folder.root / name).stat()
        if facts.st_mtime >= work.before(days).timestamp():
            return Swept()
        if work.apply:
            folder.remove(name)
    except MissingFileError:
        return Swept()
    except StorageError as error:
        log.warning("%s", error)
        return Swept(failed=1)
    return Swept(removed=1, bytes=facts.st_size)


def _names(storage: Storage, *below: str) -> tuple[str, ...]:
    folder = storage.at(*below) if below else storage
    try:
        return folder.names()
    except StorageError as error:
        log.warning("%s can't be listed: %s", folder.url, error)
        return ()


def _by_run(folder: Storage) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in _names(folder):
        named = _NAMED.fullmatch(name)
        if named is not None:
            found.setdefault(named[1], []).append(name)
    return found


def _gone(work: Round, folder: Storage) -> dict[str, list[str]]:
    """The names of files and folders whose run Dagster doesn't know any more, by run."""
    runs = _by_run(folder)
    known = living(work.instance, sorted(runs))
    return {run: names for run, names in sorted(runs.items()) if run not in known}


def _referred(records: list[Storage], gone: dict[str, dict[str, list[str]]]) -> set[str]:
    """Runs that the records of runs that are left name: a model may be of features that another run made."""
    return {run for text in _left(records, gone) for run, _ in _NAMED.findall(text)}


def _left(records: list[Storage], gone: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    for folder in records:
        for run, names in _by_run(folder).items():
            if run not in gone[folder.url]:
                for name in names:
                    yield folder.read_bytes(name).decode("utf-8", "replace")


def _remove(work: Round, folder: Storage, names: list[str]) -> Swept:
    done = Swept()
    for name in names:
        if name.endswith((".json", ".parquet")):
            done += remove_file(work, folder, name, work.settings.run_days)
        elif folder.folder is not None:
            done += remove_old_folder(work, folder.folder / name, work.settings.run_days)
        else:
            inside = folder.at(name)
            for file in _names(inside):
                done += remove_file(work, inside, file, work.settings.run_days)
    return done
