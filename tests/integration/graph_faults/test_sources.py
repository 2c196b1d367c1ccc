"""Sources that never end, hold too much or the wrong things: refused in time and in words, and production stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from mlops_assets.training import assets
from mlops_assets.training.data import watch
from mlops_assets.training.spec import Product
from tests.integration.conftest import Materialize
from tests.integration.graph_faults.loans_run import told
from tests.integration.test_sources import Handler


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
