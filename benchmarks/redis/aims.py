"""The goals of the ratios to Celery's own backend on the same server: a gate and a further goal.

A missed gate is a defect that needs an explanation.
"""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.rows import Gate, at_least, at_most

RAW = "raw redis-py"


class Aim(NamedTuple):
    """Bounds with client and server on different CPUs, and on the same CPU."""

    gate: tuple[float, float]
    stretch: tuple[float, float]
    bound: Callable[[float], Gate] = at_least

    def at(self, place: str) -> tuple[Gate, Gate]:
        """Return the gate and the further goal at a place of `measure.PLACES`."""
        index = ("cross", "same").index(place)
        return self.bound(self.gate[index]), self.bound(self.stretch[index])


def _both(gate: float, stretch: float, bound: Callable[[float], Gate] = at_least) -> Aim:
    return Aim((gate, gate), (stretch, stretch), bound)


GET_MANY = _both(2.4, 4)
PART = Aim((4, 5), (6, 9.5))
LAST_PART = _both(3.3, 6)
NEVER_SLOWER = _both(1, 1)

AIMS = {
    "store a result, 200 B": Aim((2.7, 4), (3.7, 6)),
    "store a result, 8 threads": Aim((4.5, 4.5), (8, 7)),
    "store a result, 10 KB": Aim((1.6, 2), (4, 7)),
    "store a result, 1 MB": _both(1.2, 4.7),
    "bytes to the server, store of 1 MB": _both(1.05, 1.01, at_most),
    "Python calls of one store": _both(70, 20, at_most),
    "instructions of one store": _both(150_000, 90_000, at_most),
    "instructions of one part": _both(150_000, 120_000, at_most),
    "get of a ready result": Aim((2.8, 6.5), (4.5, 9)),
    "join_native of 1,000 ready results": _both(20, 28),
    "wait for a result, p50": _both(2.6, 4.4),
    "wait for a result, p99": _both(4, 8),
    "group of 1,000 in flight, last store to its return": _both(50, 110),
    "part of a header of 10,000 to one of 100": _both(1.25, 1, at_most),
    "Python memory of the last part": _both(1, 1, at_most),
    "server CPU of a store": _both(0.6, 0.5, at_most),
    "server CPU of a part": _both(0.4, 0.33, at_most),
    "worker overhead": _both(0.45, 0.35, at_most),
    "SUCCESS lost to a RETRY": _both(0, 0, at_most),
}
"""Figure -> its goals; memory, CPU and overhead are ours divided by Celery's."""
