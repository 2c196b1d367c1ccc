"""What a person sees of a start or stop: one line a step, with its time; plain lines where there is no terminal.

Keep out what the steps do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Report:
    """Steps of a command on a terminal or in a log."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step: a spinner while it lasts, then a line with a mark and the seconds it took."""
        began = time.monotonic()
        try:
            if self.console.is_terminal:
                with self.console.status(escape(title)):
                    yield
            else:
                yield
        except BaseException:
            self.console.print(f"[red]✗[/] {escape(title)}", highlight=False)
            raise
        seconds = time.monotonic() - began
        self.console.print(f"[green]✓[/] {escape(title):<58} [dim]{seconds:5.1f} s[/]", highlight=False)

    def line(self, text: str, style: str = "") -> None:
        """One line of detail below a step."""
        self.console.print(f"  {escape(text)}", style=style, highlight=False, soft_wrap=True)
