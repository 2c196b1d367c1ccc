"""The heat map: what is drawn where, read from the figure's cells, and a picture for every kind of history."""

from __future__ import annotations

import io
import random
from datetime import date, timedelta

import matplotlib.image
import numpy as np
import pytest

from mlops_assets.drift import heatmap
from mlops_assets.drift.facts import Status, Verdict
from tests.unit.drift.made_verdict import column, verdict

FIRST = date(2026, 2, 16)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(matplotlib.image.imread(io.BytesIO(image), format="png"))


def has(image: bytes, colour: str) -> bool:
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return bool((np.round(pixels(image)[..., :3] * 255) == wanted).all(axis=-1).sum() > 400)


def drawn(*verdicts: Verdict) -> bytes:
    return heatmap.draw(verdicts, "Homes: drift")


@pytest.mark.parametrize(
    ("strength", "colour"),
    [(0.0, heatmap.SAME), (0.7, heatmap.NEAR), (1.0, heatmap.DRIFT), (1.9, heatmap.DRIFT), (2.0, heatmap.STRONG)],
)
def test_a_cell_has_the_colour_of_its_strength(strength: float, colour: str) -> None:
    image = drawn(verdict(column("area", strength)))
    shown = [one for one in (heatmap.SAME, heatmap.NEAR, heatmap.DRIFT, heatmap.STRONG) if has(image, one)]
    assert shown == [colour]


def test_too_little_to_tell_is_neither_ok_nor_drifted() -> None:
    image = drawn(verdict(column("area", None), status=Status.INSUFFICIENT))
    assert not any(has(image, one) for one in (heatmap.SAME, heatmap.NEAR, heatmap.DRIFT, heatmap.STRONG))
    nothing = Verdict("homes", FIRST, 1, Status.NO_REFERENCE, 0, 5, 5)
    assert pixels(drawn(nothing)).shape[2] == 4


def test_more_days_and_columns_make_a_larger_picture_with_cells_of_one_size() -> None:
    chance = random.Random(1)
    days = [
        verdict(*(column(f"column_{place}", chance.random() * 3) for place in range(15)), day=day(number))
        for number in range(30)
    ]
    large, small = pixels(heatmap.draw(days, "x" * 300)), pixels(drawn(*days[:2]))
    assert large.shape[1] > 30 * heatmap.CELL_WIDTH
    assert large.shape[0] > 15 * heatmap.CELL_HEIGHT
    assert small.shape[1] == heatmap.LEAST_WIDTH
    assert large.shape[0] < 1000


def test_only_the_newest_days_of_a_long_history_are_drawn() -> None:
    """Verdicts a year apart: the day between is drawn blank for two months at most."""
    image = drawn(verdict(column("area")), verdict(column("area"), day=date(2025, 3, 9)))
    assert pixels(image).shape[1] < 100 + heatmap.LABELS_WIDTH + heatmap.MOST_DAYS * heatmap.CELL_WIDTH


def test_the_order_of_verdicts_does_not_count() -> None:
    days = [verdict(column("area", number / 2), day=day(number)) for number in range(5)]
    assert drawn(*days) == drawn(*reversed(days))


def test_names_with_signs_of_formulas_and_new_columns_are_drawn() -> None:
    days = [verdict(column("$x^"), day=day(0)), verdict(column("y$"), column("a_long_name" * 9), day=day(1))]
    assert has(heatmap.draw(days, "$\\frac"), heatmap.SAME)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one verdict"):
        heatmap.draw([], "Homes")


def test_the_headline_says_where_things_stand() -> None:
    ok, weak = verdict(column("area"), day=day(0)), verdict(column("area", None), status=Status.INSUFFICIENT)
    bad = verdict(column("a", 1.1), column("b", 3), column("c", 2), column("d", 1.2), column("e"), day=day(1))
    assert heatmap.headline([ok]) == "0 of 1 judged days drifted; the newest, 16 February, is like training"
    assert heatmap.headline([ok, bad, weak]) == (
        "1 of 2 judged days drifted; the newest, 17 February: b, c, d and 1 more"
    )
    assert heatmap.headline([weak]) == "no day had enough rows and a reference to be judged"
