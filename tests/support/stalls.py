"""Bounds on times that hold on a machine which stands still for seconds, now and then."""

import time
from collections.abc import Callable

TRIES = 4
"""A stall strikes one of them; what is slow is slow each time."""


def takes_less(seconds: float, work: Callable[[], object]) -> bool:
    """Whether `work` takes less than so many seconds, at least once."""
    return any(took(work) < seconds for _ in range(TRIES))


def took(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
