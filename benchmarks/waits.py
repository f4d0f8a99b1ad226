"""The time from a store in one process until `AsyncResult.get` returns in another."""

import random
import time
from collections.abc import Iterator

from celery.result import AsyncResult

from benchmarks.backends import DATABASE, FILES, NORMAL, new_id, open_backend, urls
from benchmarks.helpers import Helper, helpers
from benchmarks.measure import PLACES, Spread, percentile
from benchmarks.plan import Plan
from benchmarks.rows import Gate, Row, at_least, at_most, figure
from benchmarks.stores import REQUEST


def wait_for(url: str, task_id: str) -> float:
    """Wait for a result; return the time of its arrival on the monotonic clock."""
    backend = open_backend(url)
    AsyncResult(task_id, backend=backend, app=backend.app).get(timeout=20)
    return time.monotonic()


def store_later(url: str, task_id: str, delay: float) -> float:
    """Store a result after `delay` seconds; return the time before the store on that clock."""
    backend = open_backend(url)
    time.sleep(delay)
    began = time.monotonic()
    backend.mark_as_done(task_id, "x" * 200, request=REQUEST)
    return began


def waits(plan: Plan) -> Iterator[Row]:
    """Ours on the same CPU and across CPUs; Celery's, which polls twice per second, across."""
    backends = urls(plan.folder / "waits")
    polled = {}
    with helpers(*PLACES["cross"]) as pair:
        for name in (DATABASE, FILES):
            polled[name] = latencies_of(backends[name], plan.polled_waits, (0.1, 0.6), pair)
            yield from _percentiles(f"{name}, cross", polled[name], None)
    for place, cpus in PLACES.items():
        with helpers(*cpus) as pair:
            latencies = latencies_of(backends[NORMAL], plan.waits, (0.01, 0.1), pair)
        yield from _percentiles(f"{NORMAL}, {place}", latencies, at_most(1.5))
        for name, theirs in polled.items():
            times = Spread.of([percentile(theirs, 0.5) / percentile(latencies, 0.5)])
            what = f"wait for a result, p50, {place}"
            yield Row(what, NORMAL, name, "x", times, at_least(150))


def _percentiles(name: str, latencies: list[float], gate: Gate | None) -> Iterator[Row]:
    for part, text in ((0.5, "p50"), (0.99, "p99")):
        value = percentile(latencies, part) * 1000
        at = gate if part == 0.5 else None
        detail = f"{len(latencies)} waits, longest {max(latencies) * 1000:.3g} ms"
        yield figure(f"wait for a result, {text}", name, value, "ms", at, detail)


def latencies_of(
    url: str, count: int, delays: tuple[float, float], pair: list[Helper]
) -> list[float]:
    """Return the seconds of `count` waits for results that are stored after random delays."""
    waiting, storing = pair
    _latency(url, waiting, storing, 0.05)
    return [_latency(url, waiting, storing, delay) for delay in _spread(count, *delays)]


def _spread(count: int, low: float, high: float) -> list[float]:
    """Return shuffled delays; a range of half a second has all phases of Celery's polling."""
    delays = [low + (high - low) * (number + 0.5) / count for number in range(count)]
    random.shuffle(delays)
    return delays


def _latency(url: str, waiting: Helper, storing: Helper, delay: float) -> float:
    task_id = new_id()
    waiting.start(wait_for, url, task_id)
    began: float = storing.call(store_later, url, task_id, delay)
    ended: float = waiting.result()
    return ended - began
