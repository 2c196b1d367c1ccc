"""Chores go on after one of them failed, and end when told."""

from __future__ import annotations

import threading

from inference.ticker import Ticker


def test_a_failing_chore_stops_neither_itself_nor_the_others() -> None:
    bad, good = threading.Semaphore(0), threading.Semaphore(0)

    def fails() -> None:
        bad.release()
        raise ZeroDivisionError

    ticker = Ticker(fails, lambda: good.release() and None, seconds=0.01)
    ticker.start()
    assert all(bad.acquire(timeout=5) and good.acquire(timeout=5) for _ in range(3))
    ticker.stop()
    assert [thread.name for thread in threading.enumerate()].count("ticker") == 0
