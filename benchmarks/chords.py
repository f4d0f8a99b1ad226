"""Chords in one process: the cost of a part, and of the completing part."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.app.task import Context
from celery.result import AsyncResult

from benchmarks.backends import new_id
from benchmarks.measure import Spread, interleaved, ratios, seconds
from benchmarks.plan import Plan
from benchmarks.rows import Row, at_most, figure
from kvbackends.layers.only_five import OnlyFive

NATIVE = "kv+sqlite NORMAL"
FIVE = "kv+sqlite, five methods only"
BASE = 100
"""The size of the header with which others are compared."""
SLICE = 20
"""Number of parts that are timed together."""
SPENT = 1.25
"""A part of a header of 10,000 may cost this many times a part of one of 100."""


class Published(Task):
    """Records the time of its publish."""

    moments: list[float]

    def apply_async(self, *args: Any, **kwargs: Any) -> None:
        """Record the time, and publish nothing."""
        self.moments.append(time.perf_counter())


def _body(values: Any) -> None:
    """The body of the chord, which is never run."""


class Chord:
    """One run of a chord in a backend, whose header tasks end one by one."""

    def __init__(self, app: Celery, size: int, ids: Iterator[str] | None = None) -> None:
        self._backend: Any = app.backend
        self._body: Any = app.tasks["benchmarks.body"]
        self.group = new_id()
        self.left = size
        self.ids = [next(ids) if ids else new_id() for _ in range(size)]
        results = [AsyncResult(each, backend=self._backend, app=app) for each in self.ids]
        self._signature = self._body.s()
        self._backend.apply_chord((self.group, results), self._signature)
        self._backend.set_chord_size(self.group, size)

    def part(self) -> None:
        """End the next header task."""
        self.end(self._next())

    def parts(self, count: int) -> float:
        """End the next `count` header tasks, and return the seconds for each."""
        requests = self.coming(count)
        started = time.perf_counter()
        for request in requests:
            self.end(request)
        return (time.perf_counter() - started) / count

    def last(self) -> tuple[float, float]:
        """End the last header task; return the seconds until the publish, and until all is done."""
        request = self._next()
        started = time.perf_counter()
        self.end(request)
        (published,) = self._body.moments
        self._body.moments.clear()
        return published - started, time.perf_counter() - started

    def coming(self, count: int) -> list[Context]:
        """Return the requests of the next header tasks."""
        return [self._next() for _ in range(count)]

    def end(self, request: Context) -> None:
        """End a header task."""
        self._backend.mark_as_done(request.id, "x" * 200, request=request)

    def _next(self) -> Context:
        """Return the request of the next header task, as a worker makes it."""
        index = len(self.ids) - self.left
        self.left -= 1
        return Context(
            id=self.ids[index],
            group=self.group,
            group_index=index,
            chord=self._signature,
            task="benchmarks.part",
            args=[],
            kwargs={},
        )


def parts(plan: Plan) -> Iterator[Row]:
    """The cost of a part in headers of 10 to 10,000."""
    for name, app in apps(plan.folder / "parts"):
        fillers = {size: Filling(app, size, plan.rounds) for size in plan.chords}
        runs: dict[str, Callable[[], float]] = {str(n): fill for n, fill in fillers.items()}
        costs = interleaved(runs, plan.rounds)
        base = seconds(Spread.of(costs[str(BASE)]).median)
        for size in plan.chords:
            cost = Spread.of(costs[str(size)]).median
            yield figure(f"chord part, header of {size:,}", name, cost * 1e6, "µs")
            if size > BASE:
                what = f"chord part, header of {size:,} to one of {BASE}"
                times = ratios(costs, str(BASE), str(size))
                yield Row(what, name, name, "x", times, at_most(SPENT), f"{base} at {BASE}")


def completion(plan: Plan) -> Iterator[Row]:
    """The time from the end of the last part until the publish (of nothing)."""
    for name, app in apps(plan.folder / "completion"):
        for size in plan.chords:
            if name == FIVE and size > 1000:
                continue
            repeats = max(plan.rounds // (1 if size < 1000 else 3), 1)
            ends = [_completed(app, size) for _ in range(repeats)]
            published, done = (
                Spread.of(each * 1000 for each in both) for both in zip(*ends, strict=True)
            )
            gate = at_most(20) if size <= BASE and name == NATIVE else None
            detail = f"all done after {done.median:.3g} ms"
            what = f"chord completion, header of {size:,}, until the publish"
            yield Row(what, name, "", "ms", published, gate, detail)


class Filling:
    """Times parts of headers of one size; long headers are filled evenly during the rounds."""

    def __init__(self, app: Celery, size: int, rounds: int) -> None:
        self._app = app
        self._size = size
        self._chord = Chord(app, size)
        self._skip = max(size // (2 * rounds + 2) - SLICE, 0)

    def __call__(self) -> float:
        """Return the seconds for a part; the last part of a header is not timed."""
        if skip := min(self._skip, self._chord.left - 1):
            self._chord.parts(skip)
        wanted, taken = SLICE, 0.0
        while wanted:
            if self._chord.left <= 1:
                self._chord = Chord(self._app, self._size)
            count = min(wanted, self._chord.left - 1)
            taken += self._chord.parts(count) * count
            wanted -= count
        return taken / SLICE


def _completed(app: Celery, size: int) -> tuple[float, float]:
    chord = Chord(app, size)
    if size > 1:
        chord.parts(size - 1)
    return chord.last()


def apps(folder: Path) -> Iterator[tuple[str, Celery]]:
    """Yield an app with a native store, and one whose store has five methods only."""
    folder.mkdir()
    for name, number in zip((NATIVE, FIVE), itertools.count(), strict=False):
        app = chord_app(f"kv+sqlite:///{folder}/{number}.db")
        if name == FIVE:
            app.backend.store = OnlyFive(app.backend.store)
        yield name, app


def chord_app(url: str) -> Celery:
    """Return an app with results at `url` and a task for the body of chords."""
    app = Celery("benchmarks", backend=url, broker="memory://", set_as_current=False)
    app.task(_body, name="benchmarks.body", base=Published, moments=[], shared=False)
    return app
