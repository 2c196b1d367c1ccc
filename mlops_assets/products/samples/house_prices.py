"""Sample listings of an invented city, in the schema and with the mess of the real file.

Everything here is made up: names are built from syllables, prices come from a hidden model of location, area,
society and chance. Add here what a real file does and the sample doesn't yet. Keep out cleaning, and any name
from real data. Equal (rows, seed) give equal rows on every machine (`draws`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mlops_assets.products.samples.draws import Draws

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = (
    "area_type", "availability", "location", "size", "society", "total_sqft", "bath", "balcony", "price",
)  # fmt: skip
CITY_SEED = 977
REAL_ROWS = 13_320
LOCATIONS = 1_800
# Neighbourhoods have the numbers below it, so that no society is called like one.
SOCIETY_NAMES = 10_000
SYLLABLES = (
    "ba", "bel", "cho", "dan", "dor", "el", "fa", "gim", "hal", "hes", "in", "jor", "ka", "kel", "lin", "lo",
    "mar", "mi", "nal", "no", "or", "pal", "pe", "qui", "ra", "rin", "sel", "so", "tam", "ti", "ul", "van",
    "ver", "wes", "xa", "yel", "zo", "zun",
)  # fmt: skip
ENDINGS = (
    "Nagara", "Palya", "Road", "Layout", "Gardens", "Hills", "Extension", "Main Road", "Cross", "Colony",
    "Park", "Phase I", "Phase II", "1st Stage", "2nd Block", "",
)  # fmt: skip
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
YEARS = ((17, 120), (18, 1_700), (19, 550), (20, 190), (21, 185), (22, 60))
# Square feet of one, and rows of the real file.
UNITS = (
    ("Sq. Meter", 10.7639, 12), ("Sq. Yards", 9.0, 13), ("Acres", 43_560.0, 9), ("Cents", 435.6, 2),
    ("Guntha", 1_089.0, 2), ("Perch", 272.25, 1), ("Grounds", 2_400.0, 1),
)  # fmt: skip
AREA_TYPES = ("Super built-up  Area", "Built-up  Area", "Plot  Area", "Carpet  Area")
AREA_TYPE_ROWS = (8_790, 2_418, 2_025, 87)
PLOT = 2
# By area type: rows with 1, 2, … 10 bedrooms, then the share called Bedroom, then the share with a society.
BEDROOM_ROWS = (
    (421, 4198, 3596, 479, 30, 10, 5, 5, 2, 1), (153, 1016, 779, 302, 66, 45, 18, 18, 10, 2),
    (70, 282, 451, 629, 208, 140, 65, 65, 36, 10), (12, 32, 31, 7, 1, 1, 1, 1, 1, 1),
)  # fmt: skip
CALLED_BEDROOM = (0.03, 0.10, 1.0, 0.05)
NAMED_SHARE = (0.71, 0.50, 0.154, 0.62)
# By bedrooms 1, 2, 3, 4, more: rows with 2 baths fewer than bedrooms, 1 fewer, as many, … 3 more.
BATH_ROWS = (
    (0, 0, 609, 40, 0, 0), (0, 176, 5286, 61, 4, 0), (2, 1515, 2981, 298, 35, 2), (62, 199, 779, 267, 84, 2),
    (30, 97, 250, 50, 15, 4),
)  # fmt: skip
# By bedrooms 1, 2, 3, 4, more: rows with no number of balconies, with 0, 1, 2, 3.
BALCONY_ROWS = (
    (8, 186, 425, 35, 2), (48, 355, 2735, 2062, 328), (201, 219, 1245, 2331, 861), (179, 169, 324, 458, 287),
    (157, 100, 168, 227, 194),
)  # fmt: skip
FLAT_SQFT = (640, 1_120, 1_560, 2_500, 3_300, 3_500, 3_500, 3_500, 3_700, 4_000)
PLOT_SQFT = (700, 1_150, 1_250, 1_550, 1_550, 1_350, 1_250, 1_250, 1_500, 1_800)
PLOT_SIZES = (600, 1_200, 1_500, 2_400, 4_000)
# The hidden model of log price: level of one square foot, and the standard deviations of what adds to it.
LOG_LAKH_PER_SQFT = -3.06
LOCATION_SD, PART_SD, SOCIETY_SD, FLAT_NOISE_SD, PLOT_NOISE_SD = 0.29, 0.09, 0.18, 0.07, 0.16
AREA_TYPE_LEVELS = (0.0, -0.02, 0.70, 0.08)


@dataclass(frozen=True)
class City:
    """The invented city, the same for every seed of rows. Levels are in log price.

    Society k of location i has the number `first_society[i] + k`, k < `societies[i]`.
    """

    locations: tuple[str, ...]
    weights: np.ndarray
    levels: np.ndarray
    societies: np.ndarray
    first_society: np.ndarray
    society_levels: np.ndarray


@lru_cache(maxsize=1)
def city() -> City:
    """Neighbourhoods from a few large to very many small; every third is a part of a larger area."""
    import numpy as np

    draws = Draws(CITY_SEED)
    areas = LOCATIONS * 2 // 3
    numbers = np.argsort(draws.uniform(4 * LOCATIONS), kind="stable")[:areas]
    area_levels = LOCATION_SD * draws.normal(areas)
    parts_of = (draws.uniform(LOCATIONS) ** 2 * areas).astype(np.int64)
    endings = draws.pick(np.array([1] * (len(ENDINGS) - 1) + [6]), LOCATIONS)
    own_levels = PART_SD * draws.normal(LOCATIONS)
    levels: dict[str, float] = {}
    for index in range(LOCATIONS):
        area = index // 3 * 2 + index % 3 if index % 3 < 2 else int(parts_of[index])
        name = f"{_name(int(numbers[area]))} {ENDINGS[endings[index]]}".strip()
        if index % 150 == 1:
            name = f"{name}  Road"
        levels.setdefault(name, float(area_levels[area] + own_levels[index]))
    ranks = range(len(levels))
    weights = np.array([int(1e6 / (rank + 4) / (1 + (rank / 900) ** 2)) for rank in ranks])
    societies = 1 + weights // 1_700
    first = np.cumsum(societies) - societies
    society_levels = SOCIETY_SD * draws.normal(int(societies.sum()))
    return City(tuple(levels), weights, np.array(list(levels.values())), societies, first, society_levels)


def _name(number: int) -> str:
    """A name of two to four syllables, another one for every number."""
    parts = []
    number += len(SYLLABLES)
    while number:
        number, part = divmod(number, len(SYLLABLES))
        parts.append(SYLLABLES[part])
    return "".join(parts).capitalize()


def generate(rows: int, seed: int) -> pd.DataFrame:
    """Raw sample listings: `rows` × 9 columns of text with None for an empty field. Prices in lakh INR.

    Shares of odd formats, nulls, outliers and repeated rows are those of the real file. Raises ValueError.
    """
    import numpy as np
    import pandas as pd

    if rows < 1:
        raise ValueError(f"rows is {rows}; at least 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}; at least 0")
    draws = Draws(seed)
    repeated = rows * 529 // REAL_ROWS
    listings = _listings(draws, rows - repeated)
    # Repeats lie anywhere after the first: whole rows, as a listing that is posted again.
    again = (draws.uniform(repeated) * (rows - repeated)).astype(np.int64)
    order = np.concatenate([np.arange(rows - repeated), again])
    order = order[np.argsort(draws.uniform(rows), kind="stable")]
    return pd.DataFrame({name: [listings[name][i] for i in order] for name in COLUMNS}, dtype=object)


def _listings(draws: Draws, rows: int) -> dict[str, list[str | None]]:
    """Columns of distinct listings."""
    import numpy as np

    town = city()
    location = draws.pick(town.weights, rows)
    kind = draws.pick(np.array(AREA_TYPE_ROWS), rows)
    bhk = 1 + draws.pick_by(kind, BEDROOM_ROWS)
    group = np.minimum(bhk, 5) - 1
    bath = np.maximum(1, bhk - 2 + draws.pick_by(group, BATH_ROWS))
    balcony = draws.pick_by(group, BALCONY_ROWS)
    sqft = _square_feet(draws, kind, bhk)
    named = draws.uniform(rows) < np.array(NAMED_SHARE)[kind]
    rank = (draws.uniform(rows) ** 3 * town.societies[location]).astype(np.int64)
    society = town.first_society[location] + rank
    level = (
        LOG_LAKH_PER_SQFT
        + town.levels[location]
        + town.society_levels[society]
        + np.array(AREA_TYPE_LEVELS)[kind]
        + 0.07 * (np.minimum(bhk, 6) - 2.0)
        + 0.04 * (bath - bhk)
        + 0.02 * (balcony - 2.0)
        + _noise(draws, kind)
    )
    price = [math.exp(x) * area for x, area in zip(level.tolist(), sqft.tolist(), strict=True)]
    return {
        "area_type": [AREA_TYPES[k] for k in kind],
        "availability": _availability(draws, rows),
        "location": _locations(draws, [town.locations[i] for i in location]),
        "size": _sizes(draws, bhk, kind),
        "society": [_name(SOCIETY_NAMES + s) if n else None for s, n in zip(society.tolist(), named, strict=True)],
        "total_sqft": _areas(draws, sqft),
        "bath": _with_gaps(draws, [str(n) for n in bath], 73),
        "balcony": [str(n - 1) if n else None for n in balcony],
        "price": _prices(draws, price),
    }


def _square_feet(draws: Draws, kind: np.ndarray, bhk: np.ndarray) -> np.ndarray:
    """Areas round the usual one for the bedrooms; half the plots have one of five sizes."""
    import numpy as np

    rows = len(kind)
    plot = kind == PLOT
    usual = np.where(plot, np.array(PLOT_SQFT)[bhk - 1], np.array(FLAT_SQFT)[bhk - 1]).tolist()
    spread = (draws.normal(rows) * np.where(plot, 0.35, 0.17)).tolist()
    sqft = np.array([round(size * math.exp(x), 2) for size, x in zip(usual, spread, strict=True)])
    standard = np.array(PLOT_SIZES)[draws.pick(np.array((2, 6, 3, 3, 1)), rows)]
    sqft = np.where(plot & (draws.uniform(rows) < 0.5), standard, sqft)
    return np.where(draws.uniform(rows) < 0.0066, sqft, np.maximum(1.0, np.rint(sqft)))


def _noise(draws: Draws, kind: np.ndarray) -> np.ndarray:
    """Chance in log price: more for plots, and three times as much for one listing in fourteen."""
    import numpy as np

    sd = np.where(kind == PLOT, PLOT_NOISE_SD, FLAT_NOISE_SD)
    return draws.normal(len(kind)) * sd * np.where(draws.uniform(len(kind)) < 0.07, 3.0, 1.0)


def _share(draws: Draws, rows: int, of_real: int) -> np.ndarray:
    """Rows to which something happens as often as to `of_real` rows of the real file."""
    return draws.uniform(rows) * REAL_ROWS < of_real


def _with_gaps(draws: Draws, texts: list[str], of_real: int) -> list[str | None]:
    gaps = _share(draws, len(texts), of_real)
    return [None if gap else text for text, gap in zip(texts, gaps, strict=True)]


def _availability(draws: Draws, rows: int) -> list[str | None]:
    import numpy as np

    state = draws.pick(np.array((10_581, 16, 2_723)), rows)
    year = draws.pick(np.array([w for _, w in YEARS]), rows)
    month = draws.pick(np.array([1] * len(MONTHS)), rows)
    said = ("Ready To Move", "Immediate Possession")
    return [said[s] if s < 2 else f"{YEARS[y][0]}-{MONTHS[m]}" for s, y, m in zip(state, year, month, strict=True)]


def _locations(draws: Draws, names: list[str]) -> list[str | None]:
    """Some with another case or an outer blank; hardly one is missing."""
    change = (draws.uniform(len(names)) * REAL_ROWS).astype(int)
    told: list[str | None] = []
    for name, c in zip(names, change.tolist(), strict=True):
        told.append(name.lower() if c < 20 else name.upper() if c < 40 else f" {name}" if c < 55 else name)
    gaps = _share(draws, len(names), 1)
    return [None if gap else text for text, gap in zip(told, gaps, strict=True)]


def _sizes(draws: Draws, bhk: np.ndarray, kind: np.ndarray) -> list[str | None]:
    import numpy as np

    rows = len(bhk)
    called = draws.uniform(rows) < np.array(CALLED_BEDROOM)[kind]
    room_and_kitchen = (bhk == 1) & (draws.uniform(rows) < 0.02)
    giant = np.where(_share(draws, rows, 10), bhk * 3 + 8, bhk)
    words = np.where(room_and_kitchen, "RK", np.where(called, "Bedroom", "BHK"))
    return _with_gaps(draws, [f"{n} {word}" for n, word in zip(giant, words, strict=True)], 16)


def _areas(draws: Draws, sqft: np.ndarray) -> list[str | None]:
    """Plain numbers, a few ranges, a few numbers with one of seven units glued to them; some are far off."""
    import numpy as np

    far = draws.uniform(len(sqft)) * REAL_ROWS
    sqft = np.where(far < 44, np.rint(sqft * 15.0), np.where(far > REAL_ROWS - 9, np.rint(sqft / 60.0), sqft))
    form = draws.pick(np.array([13_073, 201, *(w for *_, w in UNITS)]), len(sqft))
    wider = draws.uniform(len(sqft)).tolist()
    told: list[str | None] = []
    for f, area, w in zip(form.tolist(), sqft.tolist(), wider, strict=True):
        if f == 0:
            told.append(f"{area:.2f}".rstrip("0").rstrip("."))
        elif f == 1:
            half = max(1, int(area * (0.02 + 0.2 * w)))
            told.append(f"{max(1, int(area) - half)} - {int(area) + half}")
        else:
            unit, size, _ = UNITS[f - 2]
            told.append(f"{max(0.01, area / size):.2f}".rstrip("0").rstrip(".") + unit)
    return told


def _prices(draws: Draws, prices: list[float]) -> list[str | None]:
    """Four in five are asked as whole lakh, dear ones as whole fives."""
    whole = draws.uniform(len(prices)) < 0.8
    told: list[str | None] = []
    for price, rounded in zip(prices, whole.tolist(), strict=True):
        step = 5 if price >= 200 else 1
        value = max(step, round(price / step) * step) if rounded and price >= 10 else round(price, 2)
        told.append(f"{value:.2f}".rstrip("0").rstrip("."))
    return told
