"""Reading results that are ready."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.backends import new_id
from benchmarks.measure import Loop, Run
from benchmarks.raw import record_of
from benchmarks.redis.aims import GET_MANY, RAW, Aim
from benchmarks.redis.bench import SOCKET, Bench, RawSocket, beside
from benchmarks.rows import Row
from benchmarks.stores import Asking, joined, many_results, one_result, reading, stored


def read(bench: Bench) -> Iterator[Row]:
    """The time to read one result and many; `raw redis-py` is GET or MGET and `json.loads`."""
    raw = _raw_stored(bench)
    for place in bench.places():
        fine = bench.fine()
        runs = _runs(bench, one_result, 1, fine.run) | _raw_one(bench, raw[0], fine.run)
        yield from beside("get of a ready result", place, runs, fine.rounds)
        for size in _sizes(bench):
            runs = _runs(bench, many_results, size, bench.plan.run)
            runs[RAW] = Loop(_many(bench.client(), raw[:size]), bench.plan.run)
            yield from _set(bench, place, f"get_many of {size:,} ready results", runs, GET_MANY)
        runs = _runs(bench, joined, bench.large[0], bench.plan.run)
        yield from _set(bench, place, f"join_native of {bench.large[0]:,} ready results", runs)


def _sizes(bench: Bench) -> list[int]:
    """The time of joins, of as many results as headers have tasks."""
    return [size for size in bench.plan.chords if size >= 100]


def _set(
    bench: Bench, place: str, what: str, runs: dict[str, Run], aim: Aim | None = None
) -> Iterator[Row]:
    yield from beside(what, place, runs, bench.plan.rounds, aim)


def _runs(bench: Bench, asking: Asking, size: int, seconds: float) -> dict[str, Run]:
    most = max(_sizes(bench))
    return {
        name: reading(asking, seconds, url, stored(url, most)[:size])
        for name, url in bench.urls().items()
    }


def _raw_stored(bench: Bench) -> list[str]:
    keys = [f"raw-{new_id()}" for _ in range(max(_sizes(bench)))]
    bench.client().mset({each: record_of(each, "x" * 200) for each in keys})
    return keys


def _raw_one(bench: Bench, key: str, seconds: float) -> dict[str, Run]:
    client: Any = bench.client()
    raw = RawSocket(bench.url())
    return {
        RAW: Loop(lambda: json.loads(client.get(key)), seconds),
        SOCKET: Loop(lambda: raw.ask(b"GET", key.encode()), seconds),
    }


def _many(client: Any, keys: list[str]) -> Callable[[], object]:
    return lambda: [json.loads(each) for each in client.mget(keys)]
