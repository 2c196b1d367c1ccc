"""The picture of a rollout: the title in words for each situation, and a real PNG for each."""

from __future__ import annotations

import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.rollout import chart
from mlops_assets.rollout.facts import Arm, Effect, Evidence
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.story import End, Look, Story

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
POLICY = RolloutPolicy()
BETTER, WORSE, SURE_BETTER, SURE_WORSE = (0.2, 0.5), (-0.2, 0.5), (0.6, 0.3), (-0.6, 0.3)


def story(*effects: tuple[float, float] | None, end: str | None = None, actor: str = "platform") -> Story:
    """A rollout of candidate 7, with one look an hour; each effect is (theta, half)."""
    looks = []
    for hour, effect in enumerate(effects):
        found = Effect(effect[0], effect[1] / 3, effect[1], 60, 4.0) if effect else None
        seen = Evidence(hour, hour, candidate=Arm(raters=10 * hour), effect=found)
        looks.append(Look(NOW + timedelta(hours=hour), seen, 0.05 if hour < 2 else 0.2))
    ended = End(NOW + timedelta(hours=len(effects)), end, actor, "because", actor == "platform") if end else None
    return Story(3, 7, tuple(looks), ended)


@pytest.mark.parametrize(
    ("told", "title"),
    [
        (story(), "Candidate 7: no ratings of both yet"),
        (story(None, None), "Candidate 7: no ratings of both yet"),
        (story(None, BETTER), "Candidate 7 looks better, not certain yet"),
        (story(SURE_BETTER, WORSE), "Candidate 7 looks worse, not certain yet"),
        (story(SURE_BETTER), "Candidate 7 is better; it is promoted once the other conditions hold"),
        (story(SURE_WORSE), "Candidate 7 is worse; it is rolled back once enough people have rated it"),
        (story(SURE_BETTER, end="promoted"), "Candidate 7 is better: promoted"),
        (story(SURE_WORSE, end="rolled_back"), "Candidate 7 is worse: rolled back"),
        (story(BETTER, end="rolled_back"), "Candidate 7 was rolled back: it broke a limit"),
        (story(BETTER, end="expired"), "Candidate 7 showed no clear difference in time: production stays"),
        (story(WORSE, end="promoted", actor="kim"), "Candidate 7 was promoted by kim: because"),
        (story(end="rolled_back", actor="kim"), "Candidate 7 was rolled back by kim: because"),
    ],
)
def test_the_title_says_in_words_where_it_stands(told: Story, title: str) -> None:
    assert chart.headline(told, POLICY) == title
    image = chart.draw(told, POLICY)
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", image[16:24]) == (900, 600)


def test_a_margin_is_drawn_and_named() -> None:
    told = story((0.03, 0.02))
    assert "is better" in chart.headline(told, POLICY)
    wanted = POLICY.model_copy(update={"margin": 0.05})
    assert chart.headline(told, wanted) == "Candidate 7 looks better, not certain yet"
    allowed = POLICY.model_copy(update={"margin": -0.02})
    assert chart.headline(story((-0.01, 0.05)), allowed).startswith("Candidate 7 is not worse")
    assert chart.headline(story((-0.01, 0.5)), allowed) == "Candidate 7 looks not worse, not certain yet"
    assert chart.headline(story((-0.1, 0.5)), allowed) == "Candidate 7 looks worse, not certain yet"
    assert len({chart.draw(told, p) for p in (POLICY, wanted, allowed)}) == 3


def test_a_name_with_signs_of_formulas_is_shown_as_it_is() -> None:
    assert chart.draw(story(BETTER, end="promoted", actor="kim $x_1$" * 20), POLICY).startswith(b"\x89PNG")


def test_the_picture_stands_in_markdown() -> None:
    assert chart.inline(b"abc") == "![chart](data:image/png;base64,YWJj)"


def test_drawing_leaves_no_pyplot_behind() -> None:
    code = (
        "import sys; from mlops_assets.rollout import chart; from mlops_assets.rollout.story import Story;"
        "from mlops_assets.rollout.policy import RolloutPolicy;"
        "chart.draw(Story(1, 2), RolloutPolicy()); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
