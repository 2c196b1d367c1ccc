"""What counts as a change of a stage from one week to the next, what doesn't, and how it is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from mlops_assets.observability.usage.changes import Change, Compared, amount, changes, compared, holm

STAGE = ("product", "house_prices", "model")
MB = 1e6


def spread(middle: float, count: int, seed: int = 1) -> list[float]:
    """So many values round a middle, a few percent away at most."""
    draw = random.Random(seed)
    return [middle * draw.uniform(0.95, 1.05) for _ in range(count)]


def found(before: dict[str, Sequence[float]], after: dict[str, Sequence[float]]) -> list[Change]:
    """What changed of one stage."""
    return of_stages({STAGE: (before, after)})


def of_stages(
    weeks: dict[tuple[str, str, str], tuple[dict[str, Sequence[float]], dict[str, Sequence[float]]]],
) -> list[Change]:
    """What changed of several."""
    every, samples = [], {}
    for stage, (before, after) in weeks.items():
        for one in compared(stage, before, after):
            every.append(one)
            samples[one] = (before[one.measure], after[one.measure])
    return changes(every, samples)


def test_a_slower_stage_is_told_in_words() -> None:
    (change,) = found({"wall_seconds": [3.0, 3.1, 3.2] * 3}, {"wall_seconds": [6.4, 6.6, 6.6, 6.8] * 3})
    assert change.worse
    assert change.said == "model of house_prices: 2.1 × slower (3.1 s → 6.6 s, 9 and 12 attempts)"


@pytest.mark.parametrize(
    ("measure", "before", "after", "said"),
    [
        ("wall_seconds", 600.0, 60.0, "10 × faster (10 min → 1 min"),
        ("cpu_seconds", 2.0, 5.0, "2.5 × the CPU time (2 s → 5 s"),
        ("peak_memory_bytes", 640 * MB, 320 * MB, "0.5 × the memory (640 MB → 320 MB"),
        ("read_bytes", 0.0, 50 * MB, "bytes read (0 B → 50 MB"),
        ("written_bytes", 50 * MB, 0.0, "bytes written (50 MB → 0 B"),
        ("written_bytes", 10 * MB, 1234 * MB, "123 × the bytes written (10 MB → 1.2 GB"),
    ],
)
def test_every_measure_has_its_words_and_units(measure: str, before: float, after: float, said: str) -> None:
    (change,) = found({measure: [before] * 8}, {measure: [after] * 8})
    assert said in change.said
    assert change.worse is (after > before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (spread(3.0, 2), spread(9.0, 20)),
        (spread(3.0, 20), spread(9.0, 2)),
        (spread(3.0, 20), spread(3.3, 20)),
        (spread(0.010, 20), spread(0.030, 20)),
        ([1.0, 9.0, 1.0, 9.0, 9.0, 1.0, 1.0], [9.0, 1.0, 9.0, 1.0, 1.0, 9.0, 9.0]),
        ([5.0] * 9, [5.0] * 9),
    ],
    ids=["few before", "few after", "a tenth", "milliseconds", "chance", "the same"],
)
def test_what_is_no_change(before: list[float], after: list[float]) -> None:
    assert found({"wall_seconds": before}, {"wall_seconds": after}) == []


def test_a_measure_that_is_missing_in_one_week_is_not_compared() -> None:
    assert found({"read_bytes": []}, {"read_bytes": [50 * MB] * 9}) == []
    assert found({}, {"wall_seconds": spread(9.0, 9)}) == []


def test_a_stage_of_a_day_is_compared_and_one_outlier_is_no_change() -> None:
    daily = {"wall_seconds": spread(10.0, 7)}
    assert found(daily, {"wall_seconds": spread(13.0, 7, seed=3)})
    assert not found(daily, {"wall_seconds": [*spread(10.0, 6, seed=3), 500.0]})


def noise(middle: float, scale: float) -> Callable[[random.Random], float]:
    """Draws of a stage that varies by itself."""
    return lambda draw: middle * draw.lognormvariate(0, scale)


def test_products_that_did_not_change_are_hardly_ever_told_of() -> None:
    draw = random.Random(11)
    measures = {"wall_seconds": noise(20, 0.3), "cpu_seconds": noise(15, 0.3), "read_bytes": noise(90 * MB, 0.5)}
    weeks = {
        ("product", f"p{number}", stage): (
            {name: [one(draw) for _ in range(7)] for name, one in measures.items()},
            {name: [one(draw) for _ in range(7)] for name, one in measures.items()},
        )
        for number in range(400)
        for stage in ("load", "model")
    }
    assert len(of_stages(weeks)) <= 20  # an error in twenty products is what is accepted


def test_other_products_do_not_hide_a_change() -> None:
    slower = {STAGE: ({"wall_seconds": spread(10, 7)}, {"wall_seconds": spread(13, 7, seed=5)})}
    same = {
        ("pipeline", f"p{number}", "load"): (
            {"wall_seconds": spread(10, 7, number)},
            {"wall_seconds": spread(10, 7, -number - 1)},
        )
        for number in range(500)
    }
    assert [change.compared.product for change in of_stages(slower | same)] == ["house_prices"]


def test_the_worst_comes_first_and_improvements_last() -> None:
    weeks = {
        ("product", "a", f"s{factor}"): ({"wall_seconds": spread(10, 9)}, {"wall_seconds": spread(10 * factor, 9, 4)})
        for factor in (0.2, 3, 0.5, 8)
    }
    assert [change.compared.stage for change in of_stages(weeks)] == ["s8", "s3", "s0.2", "s0.5"]


def test_the_correction_is_holms_and_keeps_their_order() -> None:
    assert holm([0.01, 0.04, 0.03], 3) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01], 100) == [1.0]
    assert holm([], 5) == []
    corrected = holm(sorted([0.001, 0.02, 0.0005, 0.9]), 10)
    assert all(first <= second for first, second in pairwise(corrected))


def test_notable_without_its_attempts_is_taken_for_chance() -> None:
    one = Compared(*STAGE, "wall_seconds", 1.0, 9.0, 9, 9)
    assert one.notable
    assert changes([one], {}) == []


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "seconds", "0 s"),
        (0.0004, "seconds", "0.4 ms"),
        (0.25, "seconds", "250 ms"),
        (59.0, "seconds", "59 s"),
        (90.0, "seconds", "1.5 min"),
        (360_000.0, "seconds", "100 h"),
        (999.0, "bytes", "999 B"),
        (1_500.0, "bytes", "1.5 kB"),
        (2.5e12, "bytes", "2.5 TB"),
        (4e15, "bytes", "4,000 TB"),
    ],
)
def test_figures_have_the_unit_that_fits(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text
