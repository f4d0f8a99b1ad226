"""Counts results while they are listed, and draws when they ended."""

from collections import Counter
from datetime import UTC, datetime

import msgspec

from kvbackends.admin import ResultInfo

BARS = 60
NAMES = 500
"""Names of tasks and workers that are kept to choose from."""
FINEST = 4096
"""Counters of the histogram in memory; when there are more, each covers twice the time."""
HEIGHT = 100
STEPS = [
    *(1, 2, 5, 10, 15, 30),
    *(60 * n for n in (1, 2, 5, 10, 15, 30)),
    *(3600 * n for n in (1, 2, 3, 6, 12)),
    *(86400 * n for n in (1, 2, 7, 14, 30, 90, 365, 3650)),
]


class Block(msgspec.Struct, frozen=True):
    """The results of one state in a bar."""

    state: str
    count: int
    y: float
    height: float


class Bar(msgspec.Struct, frozen=True):
    """The results that ended between two times."""

    since: datetime
    until: datetime
    count: int
    blocks: list[Block]


class Tally:
    """Counts by state and by time, and the names that there are; in constant memory."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.tasks: set[str] = set()
        self.workers: set[str] = set()
        self._width = 1
        self._times: Counter[tuple[int, str]] = Counter()

    def add(self, info: ResultInfo) -> None:
        """Count one result."""
        self.states[info.state] += 1
        _keep(self.tasks, info.task)
        _keep(self.workers, info.worker)
        if info.done is not None:
            self._times[int(info.done.timestamp()) // self._width, info.state] += 1
            while len(self._times) > FINEST:
                self._coarser(2)

    def _coarser(self, factor: int) -> None:
        times, self._times = self._times, Counter()
        self._width *= factor
        for (place, state), count in times.items():
            self._times[place // factor, state] += count

    @property
    def total(self) -> int:
        """All results."""
        return self.states.total()

    def since(self, moment: datetime) -> int:
        """About how many results have ended since then."""
        first = moment.timestamp() // self._width
        return sum(count for (place, _), count in self._times.items() if place >= first)

    def bars(self) -> list[Bar]:
        """At most about 60 bars of a round length, from the first result that ended to the last."""
        if not self._times:
            return []
        places = [place * self._width for place, _ in self._times]
        first, last = min(places), max(places) + self._width
        fits = (step for step in STEPS if step >= self._width and last - first <= step * BARS)
        step = next(fits, max((last - first) // BARS, 1))
        counts: dict[int, Counter[str]] = {}
        for (place, state), count in self._times.items():
            counts.setdefault(place * self._width // step, Counter())[state] += count
        highest = max(each.total() for each in counts.values())
        every = range(first // step, max(counts) + 1)
        return [_bar(place * step, step, counts.get(place, Counter()), highest) for place in every]


def _bar(begin: int, step: int, counts: Counter[str], highest: int) -> Bar:
    blocks, top = [], float(HEIGHT)
    for state, count in sorted(counts.items()):
        height = round(count / highest * HEIGHT, 2)
        top -= height
        blocks.append(Block(state, count, round(top, 2), height))
    since, until = (datetime.fromtimestamp(each, UTC) for each in (begin, begin + step))
    return Bar(since, until, counts.total(), blocks)


def _keep(names: set[str], name: str) -> None:
    if name and len(names) < NAMES:
        names.add(name)
