"""Interleaved rounds, and ratios between contenders of the same round."""

import contextlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

SLOW = 1.0
"""Seconds from which an operation is run once in a round."""

PLACES = {"cross": (0, 1), "same": (0, 0)}
"""CPUs of the two sides: client and server, or waiter and worker."""

Run = Callable[[], float]
"""Runs a contender once, and returns the seconds (or another cost) of one operation."""


class Spread(NamedTuple):
    """The median, the minimum and the maximum of some rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Return the spread of at least one value."""
        listed = sorted(values)
        return cls(statistics.median(listed), listed[0], listed[-1])


class Loop:
    """Times a step as often as fits into `seconds`, a number that the first run determines.

    `prepare` makes the argument of each step before the clock starts.
    """

    def __init__(
        self,
        step: Callable[..., object],
        seconds: float,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self._step = step
        self._prepare = prepare
        self._seconds = seconds
        self._count = 0

    def __call__(self) -> float:
        """Return the seconds for one step."""
        if not self._count:
            first = self._time(1)
            per_step = first if first > self._seconds else self._time(10)
            self._count = math.ceil(self._seconds / per_step)
        return self._time(self._count)

    def _time(self, count: int) -> float:
        step, prepare = self._step, self._prepare
        calls = [(prepare(),) if prepare else () for _ in range(count)]
        started = time.perf_counter()
        for args in calls:
            step(*args)
        return (time.perf_counter() - started) / count


def interleaved(contenders: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
    """Return the cost of each contender in each round, after a warm-up round.

    A round is A B C ... C B A, so that a change of the machine's speed affects all contenders.  An
    operation that takes longer than `SLOW` is run once in a round.
    """
    costs: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        there = {name: run() for name, run in contenders.items()}
        back = {name: contenders[name]() for name in reversed(list(there)) if there[name] < SLOW}
        for name, cost in there.items():
            if number:
                costs[name].append((cost + back.get(name, cost)) / 2)
    return costs


def ratios(costs: Mapping[str, list[float]], ours: str, theirs: str) -> Spread:
    """Return how many times cheaper ours is, round by round."""
    return Spread.of(other / mine for mine, other in zip(costs[ours], costs[theirs], strict=True))


def percentile(values: Iterable[float], part: float) -> float:
    """Return the value that the share `part` (0 to 1) of the values does not exceed."""
    listed = sorted(values)
    return listed[min(len(listed) - 1, math.ceil(part * len(listed)) - 1)]


def pin(cpu: int | None, process: int | None = None) -> None:
    """Pin all threads of a process (None: this one) to a CPU (None: to all)."""
    count = os.cpu_count() or 1
    cpus = set(range(count)) if cpu is None else {cpu % count}
    for thread in Path("/proc", str(process or "self"), "task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # the thread has ended
            os.sched_setaffinity(int(thread.name), cpus)


@contextlib.contextmanager
def placed(process: int, place: str = "cross") -> Iterator[None]:
    """Pin this process and another one to the CPUs of a place.

    Otherwise the scheduler moves them together and apart, and a round trip has two speeds.
    """
    here, there = PLACES[place]
    try:
        pin(here)
        pin(there, process)
        yield
    finally:
        pin(None)
        pin(None, process)


def seconds(value: float) -> str:
    """Return a duration as text, with its unit."""
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
