"""Errors' first lines as people may see them, and which errors are the same. Pure.

Whatever a stage raised may be in an error: passwords, ten thousand characters, Markdown. Add here what makes such a
text safe to show. Keep out where errors come from (`runs`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from mlops_assets.notifications.notice import one_line
from mlops_assets.observability.health.facts import ErrorLine

LONGEST_LINE = 200
LONGEST_READ = 2000
MOST_CAUSES = 20
MOST_GROUPS = 3
UNREADABLE = "an error that can't be read"
HIDDEN = "***"

# `password=…`, `"api_key": "…"`, `Authorization: Bearer …`, and long random words.
# Every repetition is bounded: an error's text must not keep the search busy.
NAMED_SECRET = re.compile(
    r"(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|credential|signature)"
    r"[\w-]{0,40}[\"']?\s{0,3}[=:]\s{0,3})(\"[^\"]*\"?|'[^']*'?|[^\s,;&|)}\]]+)"
)
AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}")
# Both of a kind that a service hands out, and three parts with a dot between each: a JSON web token.
RANDOM = re.compile(
    r"\b(?:AKIA|ASIA|gh[pousr]_|glpat-|sk-|xox[abprs]-|mlops_[0-9a-f]{16}_)[\w-]{8,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
)
# A user without a password inside an address may be a token as well.
USER = re.compile(r"(?<=://)[^/\s@:]+@")
# What differs between two errors that are the same: ids, numbers, places in memory, quoted values.
VARIABLE = re.compile(
    r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b0x[0-9a-f]+\b|\b[0-9a-f]{16,}\b|\d+(?:[.,:]\d+)*"
)
# Also an underscore, unless it is inside a word, and what could make an address.
MARKDOWN = re.compile(r"[\\`*{}\[\]<>#!|~$&]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=\bwww)\.|@(?=\w)")


def first_line(text: str) -> str:
    """The first line that says something: cleaned, without credentials, at most 200 characters."""
    lines = (line.strip() for line in text[:LONGEST_READ].splitlines())
    plain = one_line(next((line for line in lines if line), ""), LONGEST_READ)
    return one_line(without_secrets(plain), LONGEST_LINE)


def without_secrets(text: str) -> str:
    """`text` with stars for what looks like a password, a key or a token."""
    plain = AUTHORIZATION.sub(lambda found: f"{found[1]} {HIDDEN}", text)
    plain = NAMED_SECRET.sub(lambda found: f"{found[1]}{HIDDEN}", plain)
    return USER.sub(f"{HIDDEN}@", RANDOM.sub(HIDDEN, plain))


def line_of_event(event: str) -> str:
    """The first line of the cause of causes in one of Dagster's failure events, as it is stored (JSON)."""
    try:
        told = json.loads(event)["dagster_event"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return UNREADABLE
    if not isinstance(told, dict):
        return UNREADABLE
    said = _deepest((told.get("event_specific_data") or {}).get("error")) or str(told.get("message") or "")
    return first_line(said) or "no error was recorded"


def _deepest(error: Any) -> str:
    said = ""
    for _ in range(MOST_CAUSES):
        if not isinstance(error, dict):
            break
        said = str(error.get("message") or "").strip() or said
        error = error.get("cause")
    return said


def alike(line: str) -> str:
    """The same text for errors that differ in ids and numbers only."""
    return VARIABLE.sub("…", line)


def groups(errors: Iterable[tuple[str, str, datetime]], most: int = MOST_GROUPS) -> tuple[ErrorLine, ...]:
    """The commonest of errors, each (line, run id, when), most first; each by its newest one's line."""
    found: dict[str, list[tuple[datetime, str, str]]] = {}
    for line, run_id, at in errors:
        found.setdefault(alike(line), []).append((at, line, run_id))
    by_count = sorted(found.values(), key=lambda same: (-len(same), -max(same)[0].timestamp()))
    newest = [(max(same), len(same)) for same in by_count[:most]]
    return tuple(ErrorLine(line=line, count=count, run_id=run_id, at=at) for (at, line, run_id), count in newest)


def cell(text: str) -> str:
    """`text` as the content of a cell of a Markdown table, where none of it is Markdown, HTML or a link."""
    return MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", one_line(text, LONGEST_READ))
