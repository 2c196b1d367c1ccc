"""Where somebody goes on to after signing in: a path of this site, whatever was asked for.

Keep out everything else about addresses.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

FIRST_PAGE = "/overview"
LONGEST = 2000
# Printable ASCII beginning with one slash: browsers take `//` and `/\` for another host, and drop control characters.
_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
# `/./` and the like go away before a browser looks for a host.
_DOTS = re.compile(r"/\.{1,2}(?:/|$)")


def next_page(wanted: str | None) -> str:
    """The path with its query and fragment if it is one of this site, else the first page; never the sign-in itself."""
    if wanted is None or len(wanted) > LONGEST or not _PATH.fullmatch(wanted):
        return FIRST_PAGE
    path = unquote(re.split(r"[?#]", wanted, maxsplit=1)[0])
    if path == "/" or "//" in path or "\\" in path or _DOTS.search(path):
        return FIRST_PAGE
    return FIRST_PAGE if re.match(r"/sign-in(?:/|$)", path) else wanted
