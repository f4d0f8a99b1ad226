"""Lines of threads that write one key: whichever has lost a race first tries first.

Without them each of many threads reads and writes all the time, one of them wins, and some do not
win for seconds.
"""

import itertools
import os
import threading
import time
from contextlib import suppress
from typing import NamedTuple, Self

from kvbackends.contract.deadline import seconds_left

STEP = 0.001
"""Seconds between two looks at the line, for each thread that is before this one."""
LONGEST = 1.0
"""Seconds for which a thread lets others go first before it tries all the same: the first one may
be waiting for a server that is away.
"""
STALE = 30.0
"""Seconds after which nobody waits for a thread: an exception may have kept it from leaving."""


class _Place(NamedTuple):
    joined: float
    process: int
    thread: int


_lines: dict[str, list[_Place]] = {}
"""By key: the threads that write it.  A line only saves races: two of one key do no harm."""


class Line:
    """The place of one write of a key in its line, for the ``with`` block of its attempts."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._place: _Place | None = None
        self._line: list[_Place] = []

    def __enter__(self) -> Self:
        if self._key in _lines:  # a thread that has just written would win again and again
            self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._place is None:
            return
        with suppress(ValueError):  # it was taken for stale
            self._line.remove(self._place)
        if not self._line and _lines.get(self._key) is self._line:
            _lines.pop(self._key, None)

    def wait(self) -> None:
        """Join the line if the thread is not in it, and wait until it is the first."""
        if self._place is None:
            self._place = _Place(time.monotonic(), os.getpid(), threading.get_ident())
            self._line = _lines.setdefault(self._key, [])
            self._line.append(self._place)
        until = time.monotonic() + seconds_left(LONGEST)
        while (before := self._before(self._place)) and (left := until - time.monotonic()) > 0:
            time.sleep(min(STEP * before, left))

    def _before(self, mine: _Place) -> int:
        """How many threads are before this one; a handler that has interrupted it is not another.

        Other threads leave the line meanwhile.  Those of the process that forked this one never do.
        """
        with suppress(IndexError, ValueError):
            first = self._line[0]
            if first.process != mine.process or first.joined < time.monotonic() - STALE:
                self._line.remove(first)
        before = itertools.takewhile(lambda each: each is not mine, tuple(self._line))
        return sum(each.process == mine.process and each.thread != mine.thread for each in before)
