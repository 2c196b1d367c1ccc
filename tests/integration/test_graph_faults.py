"""The graph, broken on purpose at every stage: what it says, what goes on serving, and what the next run makes of it.

Add a fault here that one process can show. Keep out faults of the platform's programs, which are end-to-end.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import resource
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from mlflow import MlflowClient

from mlops_assets.rollout.ledger import Ledger, LedgerError
from mlops_assets.rollout.registry import Registry
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.storage.io_managers import ReferenceIOManager
from mlops_assets.training import assets, releasing, watch
from mlops_assets.training.assets import product_assets
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.datasets import DatasetVersions
from mlops_assets.training.released import RELEASE_FILE, read_release
from mlops_assets.training.spec import Product
from mlops_assets.training.tracking import Tracking
from tests.integration.conftest import SHOP, Materialize, write_loans
from tests.integration.test_sources import Handler

PLACE = "LOANS_TEST_PLACE"


class KilledError(BaseException):
    """Stands for the end of the process: nothing in the code under test may catch it as an error of its own."""


def loans_job() -> dg.JobDefinition:
    """The job of the loans product with all that it needs taken from the variable `PLACE`; any process can build it."""
    place = json.loads(os.environ[PLACE])
    product = declared_products(SHOP)[0]
    product = product.model_copy(update={"source": product.source.model_copy(update={"location": place["source"]})})
    settings = Settings(home=Path(place["home"]))
    storage = Storage(settings.storage)
    shared = {
        "settings": settings,
        "database": Database.connect(place["database"]),
        "storage": storage,
        "tracking": Tracking(place["mlflow"]),
        "io_manager": ReferenceIOManager(storage),
    }
    job = dg.define_asset_job("loans_train", selection=dg.AssetSelection.groups("loans"))
    definitions = dg.Definitions(
        assets=product_assets(product), jobs=[job], resources=shared, executor=dg.in_process_executor
    )
    return definitions.resolve_job_def("loans_train")


def run_in_child(place: str, largest_file: int | None = None) -> tuple[str, bool, str]:
    """Train once in this process: run id, success, and what failed. For processes of their own."""
    os.environ[PLACE] = place
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    result = loans_job().execute_in_process(raise_on_error=False, instance=dg.DagsterInstance.ephemeral())
    return result.run_id, result.success, told(result)


def told(result: Any) -> str:
    """Every error of a run's steps and the description of each failed check."""
    events = result.all_events
    errors = [e.event_specific_data.error.to_string() for e in events if e.is_step_failure]
    checks = [
        e.asset_check_evaluation_data for e in events if e.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    return "\n".join([*errors, *(f"{c.check_name}: {c.description}" for c in checks if not c.passed)])


@pytest.fixture
def place(home: Settings, loans_file: Path, postgres_url: str, mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where `loans_job` works, as the value of `PLACE`."""
    text = json.dumps(
        {"home": str(home.home), "source": str(loans_file), "database": postgres_url, "mlflow": mlflow_url}
    )
    monkeypatch.setenv(PLACE, text)
    return text


@pytest.fixture
def storage(home: Settings) -> Storage:
    return Storage(home.storage)


@pytest.fixture
def stages(resources: dict[str, Any], loans: Product, loans_file: Path) -> Callable[..., dg.ExecuteInProcessResult]:
    """Run only the named stages, each call a run of its own, on one instance."""
    located = loans.model_copy(update={"source": loans.source.model_copy(update={"location": str(loans_file)})})
    instance = dg.DagsterInstance.ephemeral()

    def run(*names: str) -> dg.ExecuteInProcessResult:
        chosen = [f"loans/{name}" for name in names] or ["*"]
        return dg.materialize(
            product_assets(located), resources=resources, instance=instance, raise_on_error=False, selection=chosen
        )

    return run


def mlflow_runs(mlflow_url: str, run_ids: list[str]) -> list[Any]:
    client = MlflowClient(mlflow_url)
    experiment = client.get_experiment_by_name("loans")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return [run for run in found if run.data.tags.get("dagster_run_id") in run_ids]


def registered(mlflow_url: str, mlflow_run_id: str) -> list[str]:
    found = MlflowClient(mlflow_url).search_model_versions(f"name='loans' and run_id='{mlflow_run_id}'")
    return [v.version for v in found]


# -- two at once -------------------------------------------------------------------------------------------------


def test_two_runs_at_once_make_one_data_version_and_two_whole_releases(
    place: str, database: Database, storage: Storage, mlflow_url: str
) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        done = [job.result(timeout=200) for job in [pool.submit(run_in_child, place) for _ in range(2)]]
    assert all(success for _, success, _ in done), done
    runs = sorted(run_id for run_id, _, _ in done)
    assert [v.version for v in DatasetVersions(database, storage).list("loans")] == [1]

    ledger = Ledger(database)
    history = ledger.history("loans")
    assert [entry.seq for entry in history] == [2, 1]
    # Neither saw the other: what the ledger says of the second is what its gates really had beside them.
    assert history[0].reason == "passed its gates beside no production to compare with"
    state = ledger.state("loans")
    assert sorted([state.production or 0, state.candidate or 0]) == [1, 2]

    made = [(ledger.release("loans", n), n) for n in (1, 2)]
    assert sorted(release.run_id for release, _ in made) == runs
    for release, number in made:
        record = read_release(Path(release.uri or ""))
        assert (record["version"], record["runs"]["dagster"]) == (number, release.run_id)
        for stage in ("features", "model", "metrics", "release"):
            assert sorted(storage.at("references", "loans", stage).names()) == [f"{run}.json" for run in runs]
        model = storage.at("references", "loans", "metrics").read_json(f"{release.run_id}.json")["model"]
        assert model["folder"] == release.run_id
        assert model["features"]["file"] == f"{release.run_id}.parquet"
        assert record["files"]["model.onnx"]["sha256"] == model["onnx_sha256"]
        assert registered(mlflow_url, record["runs"]["mlflow"]) == [(release.manifest or {})["mlflow_version"]]

    client = MlflowClient(mlflow_url)
    for alias, number in (("champion", state.production), ("challenger", state.candidate)):
        wanted = (ledger.release("loans", number or 0).manifest or {})["mlflow_version"]
        assert client.get_model_version_by_alias("loans", alias).version == wanted


def test_an_alias_written_late_is_put_right_by_whoever_wrote_it(
    materialize: Materialize, loans: Product, loans_file: Path, database: Database, mlflow_url: str
) -> None:
    for _ in range(2):
        materialize(loans, loans_file)
    ledger = Ledger(database)
    promoted = False

    class Slow(Registry):
        """Somebody promotes while the aliases are being written."""

        def point(self, name: str, production: str | None, candidate: str | None) -> None:
            nonlocal promoted
            if not promoted:
                promoted = True
                ledger.promote(name, "tester", "meanwhile")
            super().point(name, production, candidate)

    assert ledger.history("loans", 1)[0].reason == "passed its gates beside production 1"
    state = Slow(mlflow_url).align(ledger, "loans")
    assert state.production == 2
    champion = MlflowClient(mlflow_url).get_model_version_by_alias("loans", "champion")
    assert champion.version == (ledger.release("loans", 2).manifest or {})["mlflow_version"]


# -- killed in the release ---------------------------------------------------------------------------------------


def _after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """The process ends right after `owner.name` did its work."""
    real = getattr(owner, name)

    def last(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        raise KilledError(name)

    monkeypatch.setattr(owner, name, last)


def _before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise KilledError(name)

    monkeypatch.setattr(owner, name, never)


def _while_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends between the model's file and the manifest."""
    real = Storage.write_file

    def write(self: Storage, name: str, local: Path) -> None:
        if name == RELEASE_FILE:
            raise KilledError(name)
        real(self, name, local)

    monkeypatch.setattr(Storage, "write_file", write)


BOUNDARIES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "after reserve": lambda m: _after(m, Ledger, "reserve"),
    "while publishing files": _while_publishing,
    "after publishing files": lambda m: _after(m, releasing, "publish_folder"),
    "after the Bento": lambda m: _after(m, releasing, "build_bento"),
    "after registering": lambda m: _after(m, Tracking, "register"),
    "before the ledger": lambda m: _before(m, Ledger, "publish"),
}


def _execute(instance: dg.DagsterInstance, parent: str | None, whole: bool = False) -> tuple[str, bool]:
    """The job once: anew, or as the re-execution of `parent`, from its failure or whole. Run id and success."""
    options = None
    if parent is not None and whole:
        options = dg.ReexecutionOptions(parent_run_id=parent)
    elif parent is not None:
        options = dg.ReexecutionOptions.from_failure(parent, instance)
    before = {r.run_id for r in instance.get_runs()}
    success = False
    with contextlib.suppress(KilledError):
        job = dg.reconstructable(loans_job)
        with dg.execute_job(job, instance, reexecution_options=options, raise_on_error=False) as result:
            success = result.success
    run_id = next(r.run_id for r in instance.get_runs() if r.run_id not in before)
    return run_id, success


def _as_monitoring_does(instance: dg.DagsterInstance, run_id: str) -> None:
    """Mark a run whose process is gone as failed."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    if not run.is_finished:
        instance.report_run_failed(run)


@pytest.mark.timeout(400)
def test_a_release_killed_at_every_step_is_finished_once_under_one_number(
    place: str, database: Database, storage: Storage, mlflow_url: str, tmp_path: Path
) -> None:
    ledger, parent = Ledger(database), None
    first = ""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        for boundary, fault in BOUNDARIES.items():
            with pytest.MonkeyPatch.context() as patched:
                fault(patched)
                parent, success = _execute(instance, parent)
            first = first or parent
            assert not success, boundary
            _as_monitoring_does(instance, parent)
            assert ledger.state("loans").seq == 0, boundary
            with pytest.raises(LedgerError):
                ledger.release("loans", 1)

        last, success = _execute(instance, parent)
        assert success
        assert ledger.state("loans").production == 1
        assert [e.event for e in ledger.history("loans")] == ["first_release"]
        assert not storage.at("references", "loans", "model").exists(f"{last}.json"), "the model was trained again"

        release = ledger.release("loans", 1)
        record = read_release(Path(release.uri or ""))
        measured = storage.at("references", "loans", "metrics").read_json(f"{first}.json")
        assert release.run_id == first
        assert record["runs"]["mlflow"] == measured["model"]["mlflow_run_id"]
        assert record["metrics"] == pytest.approx(measured["metrics"])
        assert len(registered(mlflow_url, record["runs"]["mlflow"])) == 1
        assert storage.at("loans", "releases").names() == ("1",)

        # Re-executed whole, the same root run makes another model, which is another release.
        again, success = _execute(instance, last, whole=True)
        assert success
        state = ledger.state("loans")
        assert (state.production, state.candidate) == (1, 2)
        assert ledger.release("loans", 2).run_id == again


def test_a_release_tried_again_by_a_new_run_keeps_its_number(
    stages: Callable[..., dg.ExecuteInProcessResult], database: Database, mlflow_url: str
) -> None:
    assert stages("dataset", "features", "model", "metrics").success
    with pytest.MonkeyPatch.context() as patched:
        _after(patched, releasing, "publish_folder")
        with contextlib.suppress(KilledError):
            assert not stages("release").success
    ledger = Ledger(database)
    assert ledger.state("loans").seq == 0
    for _ in range(2):
        assert stages("release").success
        assert (ledger.state("loans").seq, ledger.state("loans").production) == (1, 1)
    record = ledger.release("loans", 1).manifest or {}
    assert registered(mlflow_url, record["runs"]["mlflow"]) == [record["mlflow_version"]]


def test_metrics_measured_again_stay_in_the_model_s_tracked_run(
    stages: Callable[..., dg.ExecuteInProcessResult], mlflow_url: str
) -> None:
    trained = stages("dataset", "features", "model")
    again = stages("metrics")
    assert trained.success
    assert again.success
    (run,) = mlflow_runs(mlflow_url, [trained.run_id, again.run_id])
    assert run.data.tags["dagster_run_id"] == trained.run_id
    assert run.data.tags["gates"] == "passed"
    assert run.info.status == "FINISHED"


# -- no space ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(home: Settings) -> Iterator[Path | None]:
    """A disk of 4 MB as the storage root; None where this process may not mount one."""
    root = Path(home.storage)
    root.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(root)], capture_output=True, check=False, timeout=20
    )
    if done.returncode != 0:
        yield None
        return
    yield root
    subprocess.run(["umount", "-l", str(root)], check=True, timeout=20)


@pytest.mark.parametrize("left_kilobytes", [0, 100])
def test_a_full_disk_is_named_and_the_next_run_works(
    small_disk: Path | None, place: str, database: Database, tmp_path: Path, left_kilobytes: int
) -> None:
    assert run_in_child(place)[1]
    # Other content, so that nothing of it is kept yet; 100 kB are enough for the raw file, not for the features.
    source = Path(json.loads(place)["source"])
    write_loans(source, 4000, seed=5)
    before = Ledger(database).state("loans")
    if small_disk is not None:
        filler = small_disk / "filler"
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        filler.write_bytes(bytes(free - left_kilobytes * 1000))
        _, success, words = run_in_child(place)
        filler.unlink()
        assert "no space left" in words
        assert "MB free" in words
    else:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            _, success, words = pool.submit(run_in_child, place, 1000 * max(left_kilobytes, 20)).result(timeout=100)
        assert "file size limit" in words
    assert not success
    # A limit on a file's size is met by the first large one, which is the fetched copy.
    assert (json.loads(place)["home"] if small_disk is not None else "/raw.csv") in words
    assert Ledger(database).state("loans") == before
    assert run_in_child(place)[1], "with space again, the same data is trained on"
    assert Ledger(database).state("loans").candidate == 2


# -- sources -----------------------------------------------------------------------------------------------------


@pytest.fixture
def bad_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads, running.stop, running.seen = True, threading.Event(), []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://user:secret@127.0.0.1:{running.server_port}"
        running.stop.set()
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/hang", "/drip", "/dripping_head", "/503"])
def test_a_url_that_never_ends_fails_in_time_and_production_stays(
    materialize: Materialize,
    loans: Product,
    loans_file: Path,
    database: Database,
    bad_server: str,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    monkeypatch.setattr(assets, "RETRY", dg.RetryPolicy(max_retries=1, delay=0.1))
    hurried = loans.model_copy(
        update={"source": loans.source.model_copy(update={"timeout_seconds": 1.0, "location": bad_server + path})}
    )
    result = materialize(hurried, None, raise_on_error=False)
    assert not result.success
    words = told(result)
    assert f"{path}" in words
    assert "secret" not in words
    assert any(word in words for word in ("timeout_seconds", "does not answer", "HTTP 503"))
    retried = [e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_RESTARTED]
    assert len(retried) == 1, "what may pass is tried again"
    assert Ledger(database).state("loans").seq == 0
    assert materialize(loans, loans_file).success


@pytest.mark.parametrize("path", ["/hang", "/dripping_head"])
def test_looking_at_a_url_that_never_ends_is_given_up(
    loans: Product, database: Database, bad_server: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(Handler, "do_HEAD", Handler.do_GET, raising=False)
    monkeypatch.setattr(watch, "ASK_SECONDS", 0.5)
    seen = watch.look(loans, bad_server + path, "before", database)
    assert (seen.run_key, seen.cursor) == (None, "before")
    assert path in seen.said
    assert "secret" not in seen.said


def test_a_file_with_too_many_rows_is_refused_at_the_line(
    materialize: Materialize, loans: Product, loans_file: Path, database: Database
) -> None:
    limited = loans.model_copy(update={"source": loans.source.model_copy(update={"max_rows": 500})})
    result = materialize(limited, loans_file, raise_on_error=False)
    assert not result.success
    words = told(result)
    assert f"{loans_file}, line 502" in words
    assert "max_rows" in words
    assert not [e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_RESTARTED]


def _broken(loans_file: Path, tmp_path: Path, amount: str, every: int) -> Path:
    header, *rows = loans_file.read_text().splitlines()
    out = []
    for number, row in enumerate(rows):
        cells = row.split(",")
        cells[1] = amount if number % every == 0 else cells[1]
        out.append(",".join(cells))
    path = tmp_path / "odd.csv"
    path.write_text("\n".join([header, *out]) + "\n")
    return path


def test_a_few_text_amounts_are_dropped_with_their_reason(
    materialize: Materialize, loans: Product, loans_file: Path, tmp_path: Path
) -> None:
    result = materialize(loans, _broken(loans_file, tmp_path, "a lot", every=30))
    shown = next(
        e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(["loans", "dataset"])
    )
    assert shown.materialization.metadata["dropped"].value == 30
    assert "a required field is missing | 30" in str(shown.materialization.metadata["dropped_by_reason"].value)


@pytest.mark.parametrize(("amount", "check"), [("a lot", "rows_contract"), ("-5", "amount_contract")])
def test_a_file_of_wrong_amounts_is_stopped_by_its_contract(
    materialize: Materialize,
    loans: Product,
    loans_file: Path,
    tmp_path: Path,
    database: Database,
    amount: str,
    check: str,
) -> None:
    result = materialize(loans, _broken(loans_file, tmp_path, amount, every=1), raise_on_error=False)
    assert not result.success
    failed = {e.check_name: e.description or "" for e in result.get_asset_check_evaluations() if not e.passed}
    assert "odd.csv" in failed[check]
    made = {e.asset_key.path[-1] for e in result.get_asset_materialization_events() if e.asset_key}
    assert made <= {"dataset"}, "a stage went on after the contract failed"
    assert Ledger(database).state("loans").seq == 0


# -- changed files -----------------------------------------------------------------------------------------------


def _flip(path: Path) -> None:
    """Change one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_a_file_changed_between_the_stages_is_refused_by_its_hash(
    stages: Callable[..., dg.ExecuteInProcessResult], home: Settings, database: Database
) -> None:
    assert stages("dataset", "features", "model", "metrics").success
    product = Path(home.storage) / "loans"
    table = next((product / "features").glob("*.parquet"))
    pickle, graph = next((product / "models").rglob("*.joblib")), next((product / "models").rglob("*.onnx"))
    rows = next((product / "datasets").rglob("rows.parquet"))
    cases = [(rows, ["features"]), (table, ["model", "metrics", "release"])]
    cases += [(pickle, ["metrics", "release"]), (graph, ["metrics", "release"])]
    for path, readers in cases:
        whole = path.read_bytes()
        for spoil in (_flip, lambda p: p.write_bytes(p.read_bytes()[:-7]), lambda p: p.unlink()):
            spoil(path)
            for stage in readers:
                result = stages(stage)
                assert not result.success, (path.name, stage)
                assert str(path) in told(result), (path.name, stage, told(result))
            path.write_bytes(whole)
    assert Ledger(database).state("loans").seq == 0
    assert stages("release").success


def test_a_damaged_production_release_stops_metrics_with_a_way_out(
    materialize: Materialize, loans: Product, loans_file: Path, home: Settings, database: Database
) -> None:
    materialize(loans, loans_file)
    before = Ledger(database).state("loans")
    folder = Path(home.storage) / "loans" / "releases" / "1"
    for name in ("model.onnx", RELEASE_FILE):
        whole = (folder / name).read_bytes()
        for content in (whole[: len(whole) // 2], b"", None):
            (folder / name).unlink()
            if content is not None:
                (folder / name).write_bytes(content)
            result = materialize(loans, loans_file, raise_on_error=False)
            assert not result.success
            words = told(result)
            assert "production's release 1 of loans" in words
            assert f"releases/1/{name}" in words
            assert "promote another" in words
        (folder / name).write_bytes(whole)
    assert Ledger(database).state("loans") == before
    assert materialize(loans, loans_file).success
