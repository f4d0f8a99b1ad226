"""The time from a store in one process until another has the result, or a group of 1,000."""

import functools
import time
from collections.abc import Iterator

from benchmarks.backends import new_id, open_backend
from benchmarks.helpers import Helper, helpers
from benchmarks.measure import PLACES, Run, Spread, interleaved, percentile, seconds
from benchmarks.redis.aims import AIMS
from benchmarks.redis.bench import OURS, THEIRS, Bench, beside
from benchmarks.rows import Row
from benchmarks.stores import joined, store_one
from benchmarks.waits import latencies_of
from tests.servers.process import eventually

DELAYS = (0.01, 0.05)
"""The range of seconds after which a result is stored."""


def wait(bench: Bench) -> Iterator[Row]:
    """The time of single waits, with the server on the CPU of the storing process."""
    for place in bench.places():
        seen: dict[str, list[list[float]]] = {name: [] for name in bench.urls()}
        with helpers(*PLACES[place]) as pair:
            runs = {
                name: functools.partial(_waits, bench, url, pair, seen[name])
                for name, url in bench.urls().items()
            }
            interleaved(runs, bench.plan.rounds)
        for part, name in ((0.5, "p50"), (0.99, "p99")):
            yield _percentiles(f"wait for a result, {name}", place, seen, part)


def _waits(bench: Bench, url: str, pair: list[Helper], seen: list[list[float]]) -> float:
    count = max(bench.plan.waits // 10, 1)
    seen.append(latencies_of(url, count, DELAYS, pair))
    return percentile(seen[-1], 0.5)


def _percentiles(what: str, place: str, seen: dict[str, list[list[float]]], part: float) -> Row:
    """Percentiles over all waits: the median of the rounds' ratios would hide rare long waits."""
    ours, theirs = (
        percentile([each for some in seen[name] for each in some], part) for name in (OURS, THEIRS)
    )
    count = sum(map(len, seen[OURS]))
    gate, hope = AIMS[what].at(place)
    detail = f"{seconds(ours)} to {seconds(theirs)}, {count} waits each"
    times = Spread.of([theirs / ours])
    return Row(f"{what}, {place}", OURS, THEIRS, "x", times, gate, detail, hope)


def group(bench: Bench) -> Iterator[Row]:
    """The time of a group whose results are stored one by one, after the wait has started."""
    for place in bench.places():
        with helpers(*PLACES[place]) as pair:
            runs: dict[str, Run] = {
                name: functools.partial(_group, bench, name, *pair) for name in bench.urls()
            }
            what = f"group of {bench.large[0]:,} in flight, last store to its return"
            yield from beside(what, place, runs, bench.plan.rounds)


def _group(bench: Bench, name: str, waiting: Helper, storing: Helper) -> float:
    ids = [new_id() for _ in range(bench.large[0])]
    waiting.start(wait_for_all, bench.urls()[name], ids)
    began: float = storing.call(store_all, bench, name, ids)
    ended: float = waiting.result()
    return ended - began


def wait_for_all(url: str, ids: list[str]) -> float:
    """Wait for a group; return the time of its completion on the monotonic clock."""
    joined(open_backend(url), ids)()
    return time.monotonic()


def store_all(bench: Bench, name: str, ids: list[str]) -> float:
    """Store each result once the group is subscribed; return the time before the last store."""
    backend, client = open_backend(bench.urls()[name]), bench.client()
    last = backend.get_key_for_task(ids[-1])
    if not eventually(lambda: client.pubsub_numsub(last)[0][1] > 0, 30):
        raise TimeoutError("no waiter has subscribed to the last result")
    for each in ids[:-1]:
        store_one(backend, each, "x" * 200)
    began = time.monotonic()
    store_one(backend, ids[-1], "x" * 200)
    return began
