"""Users that are played: what they ask, whether they rate an answer, and how. Pure, seeded.

Add a habit here when a rollout should be seen to cope with it. Keep out how requests are sent (`player`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Truth = Literal["better", "equal", "worse", "slow", "failing"]
Body = dict[str, Any]

# Ratings of a real service: mean 3.93, standard deviation 1.13; half of the variance is the user's own taste.
MEAN_RATING, RATING_SD, TASTE_SHARE = 3.93, 1.13, 0.5
SMALLEST_SIZE = 100


@dataclass(frozen=True)
class Crowd:
    """Who plays. `effect` in stars is what the candidate is better or worse by, as users feel it.

    `rated` and `priced` are shares of the answers that get a rating or the actual price; with `repeat_raters` a
    tenth of the users gives most of the ratings. `drift` moves the asked sizes by that many times their own value.
    """

    truth: Truth = "better"
    users: int = 400
    rated: float = 0.5
    priced: float = 0.05
    effect: float = 0.6
    repeat_raters: bool = False
    drift: float = 0.0
    seed: int = 7

    @property
    def lift(self) -> float:
        """Stars that an answer of the candidate gets more."""
        return {"better": self.effect, "worse": -self.effect}.get(self.truth, 0.0)


class People:
    """Draws users, their questions and their ratings; the same seed plays the same game."""

    def __init__(self, crowd: Crowd, listings: Sequence[tuple[Body, float | str]]) -> None:
        if not listings:
            raise ValueError("there is nothing to ask about")
        self.crowd = crowd
        self._random = random.Random(crowd.seed)  # noqa: S311 (a game)
        self._listings = listings
        self._waiting: list[tuple[Body, float | str]] = []
        self._tastes: dict[str, float] = {}

    def user(self) -> str:
        """Somebody who asks now."""
        return f"player-{self.crowd.seed}-{self._random.randrange(self.crowd.users)}"

    def question(self) -> tuple[Body, float | str]:
        """A request body and what the actual value turns out to be. Every listing comes once before any comes again:
        the same few over and over would be a change of the requests by themselves."""
        if not self._waiting:
            self._waiting = self._random.sample(list(self._listings), len(self._listings))
        body, actual = self._waiting.pop()
        if self.crowd.drift:
            body = {name: self._drifted(value) for name, value in body.items()}
        return body, actual

    def _drifted(self, value: Any) -> Any:
        # Sizes move; small whole numbers such as counts of rooms stay what they are.
        large = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= SMALLEST_SIZE
        return round(value * (1 + self.crowd.drift), 2) if large else value

    def rates(self, user: str) -> bool:
        """Whether this user rates this answer."""
        eager = self.crowd.rated
        if self.crowd.repeat_raters:
            eager = min(1.0, eager * 8) if self._number(user) % 10 == 0 else eager * 0.2
        return self._random.random() < eager

    def rating(self, user: str, answer: Mapping[str, Any]) -> int:
        """1 to 5 stars for an answer, by the user's taste, the answer's variant and its speed."""
        taste = self._tastes.setdefault(user, self._random.gauss(0, RATING_SD * TASTE_SHARE**0.5))
        felt = MEAN_RATING + taste + self._random.gauss(0, RATING_SD * (1 - TASTE_SHARE) ** 0.5)
        if answer.get("variant") == "candidate":
            felt += self.crowd.lift
        return min(5, max(1, round(felt)))

    def tells_price(self) -> bool:
        """Whether somebody comes back to say what it really was."""
        return self._random.random() < self.crowd.priced

    def opinion(self, estimate: float, actual: float) -> str:
        """How the estimate compares with what it really was."""
        if abs(estimate - actual) <= 0.1 * abs(actual):
            return "accurate"
        return "too_high" if estimate > actual else "too_low"

    @staticmethod
    def _number(user: str) -> int:
        return int(user.rpartition("-")[2])
