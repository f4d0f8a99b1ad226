"""Output: progress that is updated in place, and a table."""

import sys
import time
from collections.abc import Iterable

WIDTH = 72
EVERY = 2.0
"""Seconds between two lines if the output is no terminal."""


class Line:
    """The line with the progress of the job: done, total, rate."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started = time.monotonic()
        self._shown = self._started
        self._in_place = sys.stdout.isatty()

    def show(self, done: int) -> None:
        """Update the line, or print one every `EVERY` seconds."""
        now = time.monotonic()
        if self._in_place:
            print(f"\r{self._text(done):{WIDTH}}", end="", flush=True)
        elif now - self._shown >= EVERY:
            self._shown = now
            print(self._text(done), flush=True)

    def say(self, text: str) -> None:
        """Print a line of its own."""
        print(f"\r{text:{WIDTH}}" if self._in_place else text, flush=True)

    def end(self, done: int) -> None:
        """Print the final state."""
        self.say(self._text(done))

    def _text(self, done: int) -> str:
        rate = done / max(time.monotonic() - self._started, 0.001)
        share = done / max(self._total, 1)
        return f"counting   {done:5}/{self._total}  {share:4.0%}  {rate:5.0f} files/s"


def table(rows: Iterable[tuple[str, int]]) -> str:
    """Return a table of names and numbers, with a bar for each."""
    rows = list(rows)
    largest = max((number for _, number in rows), default=1)
    lines = [f"{'identifier':20} {'uses':>8}"]
    lines += [
        f"{name:20} {number:8}  {'#' * round(30 * number / largest)}" for name, number in rows
    ]
    return "\n".join(lines)
