"""Asks the exporter what it tells now, for people at a terminal.

Keep out how it is told (`server`).
"""

from __future__ import annotations

SECONDS = 10.0


class ExporterError(RuntimeError):
    """The exporter doesn't answer; the message says what to do."""


def scrape(url: str, name: str = "") -> str:
    """The text of `/metrics` at this address: of metrics whose names hold `name`. Raises ExporterError."""
    import httpx

    try:
        answer = httpx.get(f"{url}/metrics", timeout=SECONDS, trust_env=False).raise_for_status()
    except httpx.HTTPStatusError as error:
        raise ExporterError(
            f"{url} answers {error.response.status_code}: {error.response.text.strip()[:200]}"
        ) from None
    except httpx.HTTPError as error:
        raise ExporterError(
            f"nothing answers at {url} ({type(error).__name__}): mlops status; mlops logs metrics"
        ) from None
    lines = answer.text.splitlines(keepends=True)
    return "".join(line for line in lines if name in _name_of(line))


def _name_of(line: str) -> str:
    """The metric's name of a line, be it a value, its help or its type."""
    words = line.split(" ", 3)
    return words[2] if words[0] == "#" and len(words) > 2 else line.partition("{")[0].partition(" ")[0]
