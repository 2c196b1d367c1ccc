"""How an S3 store is asked: with limits on time and tries. Needs the library when it is used, not before.

Keep out what is asked (`files`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

# Two tries of s3fs round two of botocore: a store that hangs is given up after about 80 s.
TRIES = 2
LIMITS = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 2, "mode": "standard"}}


def s3_filesystem(options: Mapping[str, Any]) -> Any:
    """The fsspec file system of an S3 store."""
    import fsspec

    fs = fsspec.filesystem("s3", **s3_options(options))
    fs.retries = TRIES
    return fs


def s3_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What fsspec is given for it: these options, and the limits that they don't name."""
    given = dict(options)
    limits = LIMITS | dict(given.pop("config_kwargs", {}))
    return {"use_listings_cache": False, "session": _session(os.getpid()), **given, "config_kwargs": limits}


@cache
def _session(process: int) -> Any:
    """This process's own, which never asks whether a store would take what it is about to send.

    No limit ends the wait for the answer to that: a store that hangs would never be given up.
    """
    from aiobotocore.session import AioSession
    from botocore.handlers import add_expect_header

    session = AioSession()
    session.unregister("before-call.s3", add_expect_header)
    return session
