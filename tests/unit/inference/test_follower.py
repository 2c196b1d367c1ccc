"""What the follower does about each change of role, step by step, with a hand-written ledger and store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.follower import Follower
from inference.metrics import Metrics
from inference.model import Model
from inference.release import ReleaseError
from inference.roles import Role, RolesError
from inference.served import Served
from tests.unit.inference.tiny_release import PRODUCT

ONE, TWO = Role(1, "/r/1", candidate=1), Role(2, "/r/2", candidate=2)


class Ledger:
    """A role, none, or an error to raise."""

    def __init__(self, now: Role | RolesError | None) -> None:
        self.now = now
        self.closed = False

    def current(self) -> Role | None:
        if isinstance(self.now, RolesError):
            raise self.now
        return self.now

    def close(self) -> None:
        self.closed = True


class Shelf:
    """Opens any role as a stand-in model, except those in `broken`."""

    def __init__(self) -> None:
        self.broken: dict[int, Exception] = {}
        self.opened: list[int] = []
        self.remembered: list[Role | None] = []
        self.last: Callable[[], tuple[Role, Model] | None] = lambda: None

    def open(self, role: Role) -> Model:
        self.opened.append(role.version)
        if role.version in self.broken:
            raise self.broken[role.version]
        return _model(role.version)

    def remember(self, role: Role | None) -> None:
        self.remembered.append(role)

    def reopen(self) -> tuple[Role, Model] | None:
        return self.last()


def _model(version: int) -> Any:
    return type("StandIn", (), {"version": version})()


class Scene:
    def __init__(self, now: Role | RolesError | None, folder: Path) -> None:
        self.time = 0.0
        self.ledger, self.shelf, self.served = Ledger(now), Shelf(), Served("candidate")
        self.metrics = metrics = Metrics(PRODUCT, self.served, folder)
        self.follower = Follower(
            self.ledger, self.shelf, self.served, metrics, poll_seconds=0.01, clock=lambda: self.time
        )

    def step(self, now: Role | RolesError | str | None = "same") -> int | None:
        """One step after the ledger says `now`; the version that serves then."""
        if not isinstance(now, str):
            self.ledger.now = now
        self.follower.step()
        return self.served.current.model.version if self.served.current else None

    def swaps(self, outcome: str) -> float:
        """Tries that ended so, whatever the service was labelled then."""
        return sum(
            sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "model_swaps_total" and sample.labels["outcome"] == outcome
        )

    def info(self, version: int, variant: str = "candidate") -> float | None:
        labels = {"product": PRODUCT, "variant": variant, "version": str(version)}
        return self.metrics.registry.get_sample_value("model_info", labels)


def test_follows_promotion_and_rollback(tmp_path: Path) -> None:
    scene = Scene(ONE, tmp_path)
    assert [scene.step(), scene.step(), scene.step(TWO), scene.step(), scene.step(ONE)] == [1, 1, 2, 2, 1]
    assert scene.shelf.opened == [1, 2, 1]
    assert scene.shelf.remembered == [ONE, TWO, ONE]
    assert (scene.swaps("ok"), scene.swaps("failed")) == (3, 0)
    assert (scene.info(1), scene.info(2)) == (1, 0)


def test_label_alone_changes_without_loading_again(tmp_path: Path) -> None:
    scene = Scene(Role(2, "/r/2", production=1, candidate=2), tmp_path)
    assert scene.step() == 2
    before = scene.served.current
    assert before is not None
    assert (before.label, scene.info(2)) == ("candidate", 1)
    assert scene.step(Role(2, "/r/2", production=2)) == 2
    after = scene.served.current
    assert after is not None
    assert (after.model, after.label) == (before.model, "production")
    assert before.label == "candidate", "an answer on its way keeps what it began with"
    assert scene.shelf.opened == [2]
    assert (scene.info(2), scene.info(2, "production")) == (0, 1)
    last = scene.shelf.remembered[-1]
    assert last is not None
    assert last.label == "production"
    assert scene.step(Role(2, "/r/2", production=3)) == 2
    assert scene.served.label == "standby"


def test_release_that_stays_for_want_of_another_is_labelled_by_the_new_decision(tmp_path: Path) -> None:
    scene = Scene(Role(1, "/r/1", production=1), tmp_path)
    assert (scene.step(), scene.served.label) == (1, "production")
    scene.shelf.broken[2] = ReleaseError("no")
    assert scene.step(Role(2, "/r/2", production=1, candidate=2)) == 1
    assert scene.served.label == "production"
    assert scene.step(Role(2, "/r/2", production=2)) == 1
    assert scene.served.label == "standby", "what is not production any more is not counted as production"
    assert scene.served.problems() != []


def test_no_role_unloads_and_is_remembered(tmp_path: Path) -> None:
    scene = Scene(ONE, tmp_path)
    assert [scene.step(), scene.step(None), scene.step()] == [1, None, None]
    assert scene.shelf.remembered == [ONE, None]
    assert scene.info(1) == 0
    assert scene.step(ONE) == 1


def test_broken_release_leaves_the_old_one_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(ONE, tmp_path)
    scene.step()
    scene.shelf.broken[2] = ReleaseError("its hash is wrong")
    with caplog.at_level(logging.INFO, "inference"):
        assert [scene.step(TWO) for _ in range(10)] == [1] * 10
        scene.time = 1.5
        assert scene.step() == 1
    assert scene.shelf.opened == [1, 2, 2]
    assert scene.swaps("failed") == 2
    assert scene.served.problems() == ["release 2 can't serve: its hash is wrong"]
    assert [r.levelname for r in caplog.records if "hash is wrong" in r.getMessage()] == ["ERROR"]
    scene.shelf.broken.clear()
    scene.time = 10.0
    assert scene.step() == 2
    assert scene.served.problems() == []


def test_pauses_between_tries_grow_to_a_limit(tmp_path: Path) -> None:
    scene = Scene(TWO, tmp_path)
    scene.shelf.broken[2] = ReleaseError("no")
    for second in range(600):
        scene.time = float(second)
        scene.step()
    assert 10 <= len(scene.shelf.opened) <= 20


def test_role_that_goes_back_clears_the_failure(tmp_path: Path) -> None:
    scene = Scene(ONE, tmp_path)
    scene.step()
    scene.shelf.broken[2] = ReleaseError("no")
    scene.step(TWO)
    assert scene.step(ONE) == 1
    assert scene.served.problems() == []


def test_unexpected_error_of_a_release_is_one_too(tmp_path: Path) -> None:
    scene = Scene(ONE, tmp_path)
    scene.step()
    scene.shelf.broken[2] = KeyError("odd")
    assert scene.step(TWO) == 1
    assert "release 2" in scene.served.problems()[0]


def test_database_down_keeps_serving_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(ONE, tmp_path)
    scene.step()
    with caplog.at_level(logging.WARNING, "inference"):
        assert [scene.step(RolesError("refused")) for _ in range(5)] == [1] * 5
    assert len(caplog.records) == 1
    assert (scene.served.database, scene.served.problems()) == ("unreachable", ["refused"])
    assert scene.step(TWO) == 2
    assert (scene.served.database, scene.served.problems()) == ("ok", [])


def test_start_without_database_takes_the_local_copy_then_follows(tmp_path: Path) -> None:
    scene = Scene(RolesError("refused"), tmp_path)
    scene.shelf.last = lambda: (ONE, _model(1))
    assert scene.step() == 1
    assert scene.info(1) == 1
    assert scene.shelf.opened == []
    assert [scene.step(ONE), scene.step(TWO)] == [1, 2]
    assert scene.shelf.opened == [2]


def test_start_without_database_and_with_a_damaged_copy_waits(tmp_path: Path) -> None:
    scene = Scene(RolesError("refused"), tmp_path)

    def damaged() -> None:
        raise ReleaseError("damaged")

    scene.shelf.last = damaged
    assert scene.step() is None
    assert "damaged" in scene.served.problems()[0]
    assert scene.step(ONE) == 1
    assert scene.served.problems() == []


def test_pointer_that_cannot_be_written_does_not_stop_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(ONE, tmp_path)

    def full(_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(scene.shelf, "remember", full)
    assert [scene.step(), scene.step(None), scene.step(TWO)] == [1, None, 2]


def test_pointer_that_could_not_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(ONE, tmp_path)

    def full(_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(scene.shelf, "remember", full)
        assert [scene.step(), scene.step(TWO), scene.step(), scene.step()] == [1, 2, 2, 2]
    assert scene.shelf.remembered == []
    assert len([r for r in caplog.records if "restart without database" in r.message]) == 1
    # The ledger has nothing new, or can't even be read.
    assert scene.step(RolesError("gone")) == 2
    assert scene.shelf.remembered == [TWO]
    scene.step()
    assert scene.shelf.remembered == [TWO]


def test_thread_survives_a_fault_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    scene = Scene(ONE, tmp_path)
    seen = threading.Semaphore(0)
    original = scene.ledger.current

    def faulty() -> Role | None:
        seen.release()
        if scene.served.current is None and len(scene.shelf.opened) == 0 and not done.is_set():
            done.set()
            raise ZeroDivisionError
        return original()

    done = threading.Event()
    monkeypatch.setattr(scene.ledger, "current", faulty)
    scene.follower.start()
    assert all(seen.acquire(timeout=5) for _ in range(3))
    scene.follower.stop()
    assert scene.served.current is not None
    assert scene.ledger.closed
