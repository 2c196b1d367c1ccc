"""How the benchmark of pipelines condenses what it measured.

Add here what several of its parts need to say it in the same words.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile (the value that at least so many are at most) and largest; how many there were."""
    ordered = sorted(seconds)
    at = -(-95 * len(ordered) // 100) - 1
    return {
        "median": round(statistics.median(ordered), 4),
        "p95": round(ordered[at], 4),
        "max": round(ordered[-1], 4),
        "count": len(ordered),
    }
