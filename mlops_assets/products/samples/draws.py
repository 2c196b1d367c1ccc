"""Random numbers for sample data that are the same on every machine and with every NumPy.

Add a distribution here when a generator needs one. Keep out NumPy's Generator, whose streams may change
with a release, and functions whose last digit depends on the processor: only the raw 64 bits of PCG64, which
NumPy keeps the same for ever, and exact arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Draws:
    """A stream of random numbers. Raises ValueError for a negative seed."""

    def __init__(self, seed: int) -> None:
        import numpy as np

        self._bits = np.random.PCG64(seed)

    def uniform(self, count: int) -> np.ndarray:
        """float64 in [0, 1)."""
        return (self._bits.random_raw(count) >> 11) * 2.0**-53

    def normal(self, count: int) -> np.ndarray:
        """Nearly normal, mean 0 and standard deviation 1: twelve 16-bit integers summed, which is exact."""
        import numpy as np

        parts = self._bits.random_raw(3 * count).astype("<u8").view("<u2").reshape(count, 12)
        return (parts.astype(np.int64).sum(axis=1) - 393_210) / 65_536.0

    def pick(self, weights: np.ndarray, count: int) -> np.ndarray:
        """Indices drawn in proportion to whole weights."""
        import numpy as np

        ends = np.cumsum(weights.astype(np.int64))
        return np.searchsorted(ends, (self.uniform(count) * ends[-1]).astype(np.int64), side="right")

    def pick_by(self, group: np.ndarray, weights: tuple[tuple[int, ...], ...]) -> np.ndarray:
        """For each row an index drawn with the weights of the row's group."""
        import numpy as np

        every = np.stack([self.pick(np.array(w), len(group)) for w in weights])
        picked: np.ndarray = every[group, np.arange(len(group))]
        return picked
