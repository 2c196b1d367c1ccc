"""Sample accidents of an invented city, in the schema, the words and the rhythm of the real file.

Everything here is made up: days, hours and weather follow seasons, words and injuries follow the kind of accident,
and one accident in a thousand is odd in several ways at once. Add here what a real file does and the sample doesn't
yet. Keep out cleaning. Equal (rows, seed) give equal rows on every machine (`draws`). Weights are per 10,000 unless
a table says otherwise; the words are the public vocabulary of police crash reports.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from mlops_assets.products.samples.draws import Draws

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = (
    "crash_date", "traffic_control_device", "weather_condition", "lighting_condition", "first_crash_type",
    "trafficway_type", "alignment", "roadway_surface_cond", "road_defect", "crash_type", "intersection_related_i",
    "damage", "prim_contributory_cause", "num_units", "most_severe_injury", "injuries_total", "injuries_fatal",
    "injuries_incapacitating", "injuries_non_incapacitating", "injuries_reported_not_evident",
    "injuries_no_indication", "crash_hour", "crash_day_of_week", "crash_month",
)  # fmt: skip
REPEATED_PER_MILLION = 148
ODD_PER_MILLION = 1_000
FIRST_DAY, LAST_DAY = date(2019, 1, 1), date(2025, 12, 31)
# Relative numbers of accidents: by year, by month, by weekday (Sunday first), by hour of four kinds of day.
YEARS = {2019: 28, 2020: 23, 2021: 26, 2022: 25, 2023: 25, 2024: 26, 2025: 25}
MONTHS = (77, 75, 71, 73, 81, 86, 83, 85, 91, 93, 88, 87)
WEEKDAYS = (84, 93, 100, 101, 103, 115, 103)
HOURS = {
    "sunday": (56, 46, 38, 31, 24, 20, 16, 18, 22, 29, 38, 48, 58, 60, 59, 60, 61, 59, 54, 49, 44, 40, 36, 31),
    "weekday": (13, 9, 8, 7, 8, 14, 26, 58, 70, 50, 45, 47, 54, 54, 66, 83, 86, 88, 67, 45, 36, 32, 28, 22),
    "friday": (14, 11, 10, 7, 8, 13, 22, 47, 56, 44, 43, 50, 60, 63, 69, 81, 81, 80, 66, 49, 42, 38, 40, 38),
    "saturday": (36, 30, 24, 20, 16, 14, 15, 20, 27, 37, 46, 56, 65, 65, 63, 64, 64, 63, 59, 53, 48, 46, 47, 46),
}
KIND_OF_DAY = (0, 1, 1, 1, 1, 2, 3)
WEATHERS = (
    "CLEAR", "RAIN", "CLOUDY/OVERCAST", "SNOW", "UNKNOWN", "OTHER", "FREEZING RAIN/DRIZZLE", "FOG/SMOKE/HAZE",
    "SLEET/HAIL", "BLOWING SNOW", "SEVERE CROSS WIND GATE",
)  # fmt: skip
# Winter (December to February), spring, summer, autumn.
WEATHER_BY_SEASON = (
    (7050, 850, 420, 1080, 360, 60, 60, 40, 40, 20, 3), (7780, 1230, 380, 150, 290, 18, 18, 8, 12, 2, 2),
    (8700, 730, 250, 1, 280, 10, 1, 10, 1, 0, 1), (7830, 1260, 360, 150, 330, 28, 16, 12, 10, 2, 2),
)  # fmt: skip
SURFACES = ("DRY", "WET", "UNKNOWN", "SNOW OR SLUSH", "ICE", "OTHER", "SAND, MUD, DIRT")
SURFACE_BY_WEATHER = (
    (9100, 400, 350, 85, 40, 20, 2), (220, 9640, 90, 35, 10, 3, 1), (6200, 2800, 650, 210, 75, 60, 2),
    (190, 2950, 90, 6300, 450, 20, 0), (480, 270, 9120, 50, 20, 60, 0), (1600, 4900, 900, 700, 1300, 600, 5),
    (140, 7150, 250, 1200, 1240, 20, 0), (3200, 5700, 640, 140, 170, 120, 0), (130, 4300, 70, 3550, 1900, 50, 0),
    (160, 2500, 240, 6300, 800, 0, 0), (7200, 1600, 600, 300, 0, 300, 0),
)  # fmt: skip
LIGHTS = ("DAYLIGHT", "DARKNESS, LIGHTED ROAD", "DARKNESS", "DUSK", "UNKNOWN", "DAWN")
# Night, early morning, day, late afternoon in winter and else, evening in summer and else.
LIGHT_BY_PHASE = (
    (180, 8530, 820, 140, 210, 120), (4700, 2650, 400, 200, 200, 1850), (9640, 90, 15, 40, 160, 55),
    (3600, 4200, 680, 1150, 240, 130), (8300, 580, 100, 600, 250, 170), (3700, 3600, 850, 1450, 280, 120),
    (250, 8000, 1180, 200, 300, 70),
)  # fmt: skip
COLLISIONS = {
    "TURNING": 3060, "ANGLE": 2500, "REAR END": 2010, "SIDESWIPE SAME DIRECTION": 960, "PEDESTRIAN": 430,
    "PEDALCYCLIST": 255, "PARKED MOTOR VEHICLE": 235, "FIXED OBJECT": 227, "SIDESWIPE OPPOSITE DIRECTION": 88,
    "HEAD ON": 86, "REAR TO FRONT": 55, "REAR TO SIDE": 37, "OTHER OBJECT": 36, "OTHER NONCOLLISION": 12,
    "OVERTURNED": 5, "ANIMAL": 4, "REAR TO REAR": 2, "TRAIN": 1,
}  # fmt: skip
# Kinds of collision: crossing traffic, traffic in a line, people unprotected, one vehicle alone.
CROSSING, IN_LINE, UNPROTECTED, ALONE = 0, 1, 2, 3
KIND_OF_COLLISION = (0, 0, 1, 1, 2, 2, 1, 3, 1, 0, 1, 0, 3, 3, 3, 3, 1, 3)
# By kind of collision: units from 1, the most severe injury, and the cause.
UNITS = (
    (0, 9340, 530, 95, 24, 7, 2, 1, 1), (0, 9200, 660, 105, 25, 7, 2, 1, 0), (0, 9580, 370, 35, 12, 3, 0, 0, 0),
    (8700, 1150, 120, 25, 4, 1, 0, 0, 0),
)  # fmt: skip
SEVERITIES = (
    "NO INDICATION OF INJURY", "REPORTED, NOT EVIDENT", "NONINCAPACITATING INJURY", "INCAPACITATING INJURY", "FATAL",
)  # fmt: skip
SEVERITY_BY_KIND = (
    (7330, 810, 1555, 290, 15), (8660, 615, 600, 120, 4), (1600, 1400, 5480, 1450, 70), (7200, 480, 1810, 450, 60),
)  # fmt: skip
CAUSES = (
    "UNABLE TO DETERMINE", "FAILING TO YIELD RIGHT-OF-WAY", "FOLLOWING TOO CLOSELY", "DISREGARDING TRAFFIC SIGNALS",
    "IMPROPER TURNING/NO SIGNAL", "FAILING TO REDUCE SPEED TO AVOID CRASH", "IMPROPER OVERTAKING/PASSING",
    "DISREGARDING STOP SIGN", "IMPROPER LANE USAGE", "NOT APPLICABLE", "DRIVING SKILLS/KNOWLEDGE/EXPERIENCE",
    "WEATHER", "IMPROPER BACKING", "VISION OBSCURED (SIGNS, TREE LIMBS, BUILDINGS, ETC.)",
    "DISTRACTION - FROM INSIDE VEHICLE", "DRIVING ON WRONG SIDE/WRONG WAY", "EQUIPMENT - VEHICLE CONDITION",
    "PHYSICAL CONDITION OF DRIVER", "EXCEEDING SAFE SPEED FOR CONDITIONS", "TURNING RIGHT ON RED",
    "EXCEEDING AUTHORIZED SPEED LIMIT", "ROAD CONSTRUCTION/MAINTENANCE", "TEXTING", "ANIMAL",
)  # fmt: skip
CAUSE_BY_KIND = (
    (2640, 2780, 110, 1130, 790, 280, 210, 540, 130, 200, 220, 110, 30, 90, 40, 60, 30, 25, 15, 25, 20, 10, 3, 1),
    (2860, 400, 2400, 90, 420, 1000, 900, 40, 760, 300, 290, 190, 330, 50, 100, 40, 60, 40, 20, 10, 10, 10, 6, 1),
    (2700, 4000, 60, 420, 250, 160, 80, 250, 30, 900, 150, 60, 60, 240, 60, 30, 10, 20, 10, 60, 10, 5, 4, 1),
    (3800, 100, 60, 60, 250, 900, 90, 60, 280, 500, 700, 500, 90, 100, 150, 150, 250, 280, 180, 3, 150, 160, 9, 60),
)  # fmt: skip
CONTROLS = {
    "TRAFFIC SIGNAL": 5920, "STOP SIGN/FLASHER": 2345, "NO CONTROLS": 1410, "UNKNOWN": 213, "OTHER": 32, "YIELD": 23,
    "PEDESTRIAN CROSSING SIGN": 12, "OTHER REG. SIGN": 9, "LANE USE MARKING": 7, "FLASHING CONTROL SIGNAL": 7,
    "POLICE/FLAGMAN": 5, "OTHER WARNING SIGN": 4, "RAILROAD CROSSING GATE": 4, "SCHOOL ZONE": 2,
}  # fmt: skip
ROADS = {
    "NOT DIVIDED": 3715, "FOUR WAY": 2345, "DIVIDED - W/MEDIAN (NOT RAISED)": 1635, "ONE-WAY": 590,
    "DIVIDED - W/MEDIAN BARRIER": 512, "T-INTERSECTION": 441, "OTHER": 227, "CENTER TURN LANE": 137,
    "UNKNOWN INTERSECTION TYPE": 90, "FIVE POINT, OR MORE": 53, "UNKNOWN": 51, "Y-INTERSECTION": 46,
    "TRAFFIC ROUTE": 37, "ALLEY": 35, "NOT REPORTED": 28, "PARKING LOT": 21, "RAMP": 18, "ROUNDABOUT": 7,
    "DRIVEWAY": 7, "L-INTERSECTION": 6,
}  # fmt: skip
ALIGNMENTS = {
    "STRAIGHT AND LEVEL": 9775, "STRAIGHT ON GRADE": 143, "CURVE, LEVEL": 48, "STRAIGHT ON HILLCREST": 23,
    "CURVE ON GRADE": 9, "CURVE ON HILLCREST": 3,
}  # fmt: skip
DEFECTS = {
    "NO DEFECTS": 8205, "UNKNOWN": 1645, "WORN SURFACE": 48, "OTHER": 44, "RUT, HOLES": 35, "SHOULDER DEFECT": 17,
    "DEBRIS ON ROADWAY": 7,
}  # fmt: skip
TOWED, DRIVEN = "INJURY AND / OR TOW DUE TO CRASH", "NO INJURY / DRIVE AWAY"
DAMAGES = ("OVER $1,500", "$501 - $1,500", "$500 OR LESS")
DAMAGE_BY_TOW = ((6030, 2850, 1120), (8330, 840, 830))
# How many more people share an injury, and people unhurt from 0 on by units (1, 2, 3, 4 and more).
FURTHER = (7900, 1450, 440, 140, 50, 20)
UNHURT = (
    (2030, 6490, 1070, 250, 120, 30, 10), (240, 1620, 5570, 1560, 600, 250, 100, 40, 20),
    (350, 1400, 2190, 3480, 1350, 650, 330, 150, 100), (550, 1700, 1850, 1800, 2000, 1000, 600, 300, 200),
)  # fmt: skip


def generate(rows: int, seed: int) -> pd.DataFrame:
    """Raw sample accidents, not sorted: `rows` × 24 columns of text as the real file writes it.

    They lie in 2019-2025. Shares of words, injuries and repeated rows are those of the real file, which has neither
    blanks nor other date formats. Raises ValueError.
    """
    import numpy as np
    import pandas as pd

    if rows < 1:
        raise ValueError(f"rows is {rows}; at least 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}; at least 0")
    draws = Draws(seed)
    repeated = rows * REPEATED_PER_MILLION // 1_000_000
    accidents = _accidents(draws, rows - repeated)
    again = (draws.uniform(repeated) * (rows - repeated)).astype(np.int64)
    order = np.concatenate([np.arange(rows - repeated), again])
    order = order[np.argsort(draws.uniform(rows), kind="stable")]
    return pd.DataFrame({name: accidents[name][order] for name in COLUMNS}, dtype=object)


def _accidents(draws: Draws, rows: int) -> dict[str, np.ndarray]:
    """Columns of accidents as arrays of text."""
    import numpy as np

    dates, month, weekday, hour = _times(draws, rows)
    odd = draws.uniform(rows) * 1_000_000 < ODD_PER_MILLION
    weather = draws.pick_by(month % 12 // 3, WEATHER_BY_SEASON)
    collision = draws.pick(np.array([*COLLISIONS.values()]), rows)
    kind = np.array(KIND_OF_COLLISION)[collision]
    units = 1 + draws.pick_by(kind, UNITS)
    # An odd accident is a large one: more vehicles, many hurt, on a road where little happens.
    units = units + np.where(odd, 2 + draws.pick(np.array((4, 3, 2, 1)), rows), 0)
    severity, parts = _injuries(draws, draws.pick_by(kind, SEVERITY_BY_KIND), odd)
    unhurt = draws.pick_by(np.minimum(units, 4) - 1, UNHURT)
    tow = (severity > 0) | (draws.uniform(rows) < 0.24)
    alignment = _words(draws, ALIGNMENTS, rows)
    return {
        "crash_date": dates,
        "traffic_control_device": _words(draws, CONTROLS, rows),
        "weather_condition": np.array(WEATHERS, dtype=object)[weather],
        "lighting_condition": np.array(LIGHTS, dtype=object)[draws.pick_by(_phase(hour, month), LIGHT_BY_PHASE)],
        "first_crash_type": np.array([*COLLISIONS], dtype=object)[collision],
        "trafficway_type": _words(draws, ROADS, rows),
        "alignment": np.where(odd, "CURVE ON HILLCREST", alignment),
        "roadway_surface_cond": np.array(SURFACES, dtype=object)[draws.pick_by(weather, SURFACE_BY_WEATHER)],
        "road_defect": _words(draws, DEFECTS, rows),
        "crash_type": np.where(tow, TOWED, DRIVEN).astype(object),
        "intersection_related_i": np.where(draws.uniform(rows) < 0.952, "Y", "N").astype(object),
        "damage": np.array(DAMAGES, dtype=object)[draws.pick_by(tow.astype(np.int64), DAMAGE_BY_TOW)],
        "prim_contributory_cause": np.array(CAUSES, dtype=object)[draws.pick_by(kind, CAUSE_BY_KIND)],
        "num_units": _texts(units),
        "most_severe_injury": np.array(SEVERITIES, dtype=object)[severity],
        "injuries_total": _texts(parts.sum(axis=0), ".0"),
        "injuries_reported_not_evident": _texts(parts[0], ".0"),
        "injuries_non_incapacitating": _texts(parts[1], ".0"),
        "injuries_incapacitating": _texts(parts[2], ".0"),
        "injuries_fatal": _texts(parts[3], ".0"),
        "injuries_no_indication": _texts(unhurt, ".0"),
        "crash_hour": _texts(hour),
        "crash_day_of_week": _texts(weekday + 1),
        "crash_month": _texts(month),
    }


def _times(draws: Draws, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Text, month (from 1), weekday (Sunday 0) and hour of each accident."""
    import numpy as np

    days = [FIRST_DAY + timedelta(days=n) for n in range((LAST_DAY - FIRST_DAY).days + 1)]
    weights = [YEARS[day.year] * MONTHS[day.month - 1] * WEEKDAYS[day.isoweekday() % 7] for day in days]
    day = draws.pick(np.array(weights), rows)
    weekday = np.array([d.isoweekday() % 7 for d in days])[day]
    hour = draws.pick_by(np.array(KIND_OF_DAY)[weekday], tuple(HOURS.values()))
    # Reported times are rounded: the full hour most, then fives.
    minute = draws.pick(np.array([1300 if m == 0 else 500 if m % 5 == 0 else 66 for m in range(60)]), rows)
    texts = np.empty(rows, dtype=object)
    texts[:] = [
        f"{days[d]:%m/%d/%Y} {(h + 11) % 12 + 1:02}:{m:02}:00 {'AM' if h < 12 else 'PM'}"
        for d, h, m in zip(day.tolist(), hour.tolist(), minute.tolist(), strict=True)
    ]
    return texts, np.array([d.month for d in days])[day], weekday, hour


def _phase(hour: np.ndarray, month: np.ndarray) -> np.ndarray:
    """The row of `LIGHT_BY_PHASE` for each hour: the days are short from November to February."""
    import numpy as np

    late = np.where((month >= 11) | (month <= 2), 3, 4)
    evening = np.where((month >= 5) & (month <= 8), 5, 6)
    limits = [(hour < 5) | (hour >= 21), hour < 7, hour < 16, hour < 19]
    return np.select(limits, [np.zeros_like(hour), np.ones_like(hour), np.full_like(hour, 2), late], evening)


def _injuries(draws: Draws, severity: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most severe injury (0 none … 4 fatal) and people by injury from 1 to 4, as [4, rows]."""
    import numpy as np

    rows = len(severity)
    severity = np.where(odd, 2 + draws.pick(np.array((5, 3, 2)), rows), severity)
    many = 3 + (draws.uniform(rows) * 14).astype(np.int64)
    parts = []
    for level in range(1, len(SEVERITIES)):
        further = draws.pick(np.array(FURTHER), rows)
        # Others in the accident are hurt as badly at most.
        hurt = np.where(severity == level, 1 + further, np.where(severity > level, further, 0))
        parts.append(np.where(odd & (level == 2), many, hurt))
    return severity, np.stack(parts)


def _words(draws: Draws, weights: dict[str, int], rows: int) -> np.ndarray:
    import numpy as np

    picked: np.ndarray = np.array([*weights], dtype=object)[draws.pick(np.array([*weights.values()]), rows)]
    return picked


def _texts(numbers: np.ndarray, ending: str = "") -> np.ndarray:
    import numpy as np

    every = np.array([f"{n}{ending}" for n in range(int(numbers.max()) + 1)], dtype=object)
    texts: np.ndarray = every[numbers]
    return texts
