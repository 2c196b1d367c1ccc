"""A change is made only from the version that its sender has read."""

from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException

from mlops_assets.api.preconditions import etag, require_match


@pytest.mark.parametrize("header", ['"7"', ' "7" ', '"6", "7"', '"6","7","8"', "*", " * "])
def test_the_version_that_was_read_passes(header: str) -> None:
    require_match(header, 7)


@pytest.mark.parametrize("header", ['"8"', "7", 'W/"7"', '"77"', '"7', '7"', '"6", W/"7"', '""', "**", '"7" x', 'x"7"'])
def test_another_version_is_refused_and_the_present_one_named(header: str) -> None:
    with pytest.raises(HTTPException) as refused:
        require_match(header, 7)
    assert refused.value.status_code == 412
    assert refused.value.headers == {"ETag": etag(7)}


@pytest.mark.parametrize("header", [None, "", "  "])
def test_a_change_without_a_version_is_refused(header: str | None) -> None:
    with pytest.raises(HTTPException) as refused:
        require_match(header, 7)
    assert refused.value.status_code == 428
    assert '"7"' in refused.value.detail
