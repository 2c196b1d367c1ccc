"""Looks that work, fail, hang and grow old; nobody's trouble is another's."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from mlops_assets.observability.exporter.collector import Collector, Look, of_group
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.observability.exporter.rising import Rising
from mlops_assets.observability.exporter.watching import LONGEST_LOOK_SECONDS, OLD_SECONDS, Lookout

SECRET = "postgresql://kim:s3cr3t@db.example/platform"


def cores(sheet: Sheet) -> None:
    sheet.put("mlops_machine_cpus", 4)


def fails(sheet: Sheet) -> None:
    sheet.put("mlops_machine_cpus", 99)
    raise ConnectionError(SECRET)


def collector(look: Look, name: str = "cores") -> Collector:
    return Collector(name, of_group("machine", only=("mlops_machine_cpus",)), 0.01, look)


class Clock:
    """A monotonic clock that a test can put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@contextmanager
def looking(*collectors: Collector, clock: Callable[[], float] = time.monotonic) -> Iterator[Lookout]:
    lookout = Lookout(collectors, Rising(), clock)
    lookout.start()
    try:
        yield lookout
    finally:
        lookout.stop()


def samples(lookout: Lookout) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(lookout.text(False).decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_what_was_found_is_told_with_how_the_look_went() -> None:
    with looking(collector(cores)) as lookout:
        assert lookout.ready(20)
        found = samples(lookout)
    assert found["mlops_machine_cpus",] == 4
    assert found["mlops_collector_success", "cores"] == 1
    assert found["mlops_collector_last_success_timestamp_seconds", "cores"] == pytest.approx(time.time(), abs=60)
    assert found["mlops_collector_duration_seconds", "cores"] >= 0


def test_both_formats_can_be_read_and_say_the_same() -> None:
    with looking(collector(cores)) as lookout:
        assert lookout.ready(20)
        lookout.stop()
        plain = {s.name for f in text_string_to_metric_families(lookout.text(False).decode()) for s in f.samples}
        open_text = lookout.text(True).decode()
        openmetrics = {s.name for family in parse_openmetrics(open_text) for s in family.samples}
    assert plain == openmetrics
    assert open_text.count("# EOF") == 1
    assert open_text.endswith("# EOF\n")


def test_a_failed_look_keeps_the_words_to_itself_and_leaves_the_others_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO), looking(collector(fails, "broken"), collector(cores)) as lookout:
        assert lookout.ready(20)
        text = lookout.text(False).decode()
        found = samples(lookout)
    assert found["mlops_machine_cpus",] == 4
    assert (found["mlops_collector_success", "broken"], found["mlops_collector_success", "cores"]) == (0, 1)
    assert ("mlops_collector_last_success_timestamp_seconds", "broken") not in found
    assert "s3cr3t" not in text + caplog.text
    assert "broken can't be looked at (ConnectionError)" in caplog.text


def test_one_failure_after_another_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    looks = []

    def sometimes(sheet: Sheet) -> None:
        looks.append(1)
        if len(looks) < 4:
            raise ConnectionError(SECRET)

    with caplog.at_level(logging.INFO), looking(collector(sometimes)):
        until(lambda: len(looks) > 5)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_after_a_failure_the_last_good_look_stays_until_it_is_old() -> None:
    going = threading.Event()

    def once(sheet: Sheet) -> None:
        if going.is_set():
            raise ConnectionError(SECRET)
        cores(sheet)
        going.set()

    clock = Clock()
    with looking(collector(once), clock=clock) as lookout:
        until(lambda: samples(lookout).get(("mlops_collector_success", "cores")) == 0)
        assert samples(lookout)["mlops_machine_cpus",] == 4
        clock.ahead = OLD_SECONDS + 1
        assert ("mlops_machine_cpus",) not in samples(lookout)
        assert samples(lookout)["mlops_collector_success", "cores"] == 0


def test_a_look_that_hangs_is_no_success_and_holds_nobody_up() -> None:
    release, hanging, clock = threading.Event(), threading.Event(), Clock()

    def hangs(sheet: Sheet) -> None:
        cores(sheet)
        if hanging.is_set():
            release.wait(30)
        hanging.set()

    with looking(collector(hangs, "hangs"), clock=clock) as lookout:
        assert lookout.ready(20)
        hanging.wait(20)
        until(lambda: lookout.watches[0].began is not None)
        assert samples(lookout)["mlops_collector_success", "hangs"] == 1
        clock.ahead = LONGEST_LOOK_SECONDS + 1
        found = samples(lookout)
        assert (found["mlops_collector_success", "hangs"], found["mlops_machine_cpus",]) == (0, 4)
        release.set()


def test_nothing_is_ready_before_a_look_has_found_something() -> None:
    with looking(collector(fails)) as lookout:
        assert not lookout.ready(20)
    release = threading.Event()
    with looking(collector(lambda sheet: [release.wait(30), cores(sheet)][1])) as lookout:
        assert not lookout.ready(0.05)
        release.set()
        assert lookout.ready(20)


def test_what_is_left_out_is_counted_over_all_looks() -> None:
    looks = []

    def many(sheet: Sheet) -> None:
        looks.append(1)
        for n in range(8):
            sheet.put("mlops_machine_memory_bytes", n, use=f"use_{n}")

    metrics = of_group("machine", only=("mlops_machine_memory_bytes",))
    with looking(Collector("memory", metrics, 60, many)) as lookout:
        assert lookout.ready(20)
        found = samples(lookout)
    assert found["mlops_series_dropped_total", "mlops_machine_memory_bytes"] == 3
    assert sum(name == "mlops_machine_memory_bytes" for name, *_ in found) == 5
