"""The parts of chords of different sizes, and the completing part."""

import gc
import tracemalloc
from collections.abc import Iterator

import redis

from benchmarks.chords import BASE, Chord, Filling, chord_app
from benchmarks.helpers import helpers
from benchmarks.measure import Run, Spread, interleaved, ratios, seconds
from benchmarks.redis.aims import AIMS, LAST_PART, PART
from benchmarks.redis.bench import OURS, THEIRS, Bench, compared
from benchmarks.rows import Row

LIVE, SAVED = 2, 3
"""The databases of the headers, and of their copies before the last parts."""
PAGE = 1000
MB = 1_000_000


def parts(bench: Bench) -> Iterator[Row]:
    """The cost of the end of a header task: its result and its part."""
    sizes, rounds = bench.plan.chords, bench.plan.rounds
    for place in bench.places():
        runs: dict[str, Run] = {}
        for name, url in bench.urls().items():
            app = chord_app(url)
            runs |= {f"{name} {size}": Filling(app, size, rounds) for size in sizes}
        costs = interleaved(runs, rounds)
        for size in sizes:
            pair = {name: costs[f"{name} {size}"] for name in (OURS, THEIRS)}
            yield compared(f"part of a header of {size:,}", place, pair, aim=PART)
        if (largest := max(sizes)) > BASE:
            yield from _flatness(place, costs, largest)


def _flatness(place: str, costs: dict[str, list[float]], size: int) -> Iterator[Row]:
    what = f"part of a header of {size:,} to one of {BASE}"
    for name in (OURS, THEIRS):
        small, large = f"{name} {BASE}", f"{name} {size}"
        aims = AIMS[what].at(place) if name == OURS and what in AIMS else (None, None)
        medians = [seconds(Spread.of(costs[each]).median) for each in (large, small)]
        times = ratios(costs, small, large)
        detail = " to ".join(medians)
        yield Row(f"{what}, {place}", name, name, "x", times, aims[0], detail, aims[1])


def last_part(bench: Bench) -> Iterator[Row]:
    """The cost of the end of the last header task: its result, all values, the publish."""
    for size in bench.large:
        last = {name: Last(bench, name, size) for name in bench.urls()}
        for place in bench.places():
            costs = interleaved(last, bench.plan.rounds)
            yield compared(f"last part of {size:,}", place, costs, aim=LAST_PART)
    yield from _memory(bench, bench.large[-1])


class Last:
    """The last part of one chord, repeated: its keys are restored before each run."""

    def __init__(self, bench: Bench, name: str, size: int) -> None:
        self._chord = Chord(chord_app(bench.urls(LIVE)[name]), size)
        self._chord.parts(size - 1)
        self._keys = f"*{self._chord.group[-12:]}*"  # a hash tag may start earlier
        self._live, self._saved = bench.client(LIVE), bench.client(SAVED)
        _copy(self._keys, self._live, SAVED)

    def __call__(self) -> float:
        """Restore the keys, end the last header task, and return the seconds of the latter."""
        self.prepare()
        return self.run()

    def run(self) -> float:
        """End the last header task, and return the seconds."""
        return self._chord.last()[1]

    def prepare(self) -> None:
        """Restore the keys to their state before the last part."""
        for key in self._live.scan_iter(f"*{self._chord.ids[-1]}*", PAGE):
            self._live.delete(key)
        for key in self._live.scan_iter(self._keys, PAGE):
            self._live.delete(key)
        _copy(self._keys, self._saved, LIVE)
        self._chord.left = 1


def _copy(pattern: str, source: redis.Redis, database: int) -> None:
    for key in source.scan_iter(pattern, PAGE):
        source.copy(key, key, str(database))


def peak_of_last(bench: Bench, name: str, size: int) -> int:
    """Return the peak of additional memory for the last part, in bytes."""
    last = Last(bench, name, size)
    last()  # fills caches
    last.prepare()
    gc.collect()
    tracemalloc.start()
    last.run()
    return tracemalloc.get_traced_memory()[1]


def _memory(bench: Bench, size: int) -> Iterator[Row]:
    """The peak of additional memory, of which the values of the parts are the largest share."""
    peaks = {}
    with helpers(0) as (helper,):
        for name in bench.urls():
            peaks[name] = helper.call(peak_of_last, bench, name, size)
    ours, theirs = peaks[OURS] / MB, peaks[THEIRS] / MB
    aims = AIMS["Python memory of the last part"].at("cross")
    detail = f"{ours:.1f} to {theirs:.1f} MB, {size:,} parts"
    once = Spread.of([ours / theirs])
    yield Row("Python memory of the last part", OURS, THEIRS, "x", once, aims[0], detail, aims[1])
