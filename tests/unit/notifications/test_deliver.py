"""When a failing channel is tried again."""

from __future__ import annotations

from mlops_assets.notifications.deliver import retry_after


def test_a_failing_channel_is_tried_at_longer_and_longer_distances() -> None:
    assert [retry_after(n) for n in (1, 2, 3, 7, 8, 5000)] == [30, 60, 120, 1920, 3600, 3600]
