"""Processes, and threads of one process, that read or store at once, beside Celery's own backend.

Each thread has the backend that Celery gives it: of ours all threads of a process share one, of
Celery's own each has another one, with connections of its own.
"""

import functools
import itertools
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from benchmarks.backends import in_pool_process, new_id, open_backend
from benchmarks.helpers import Helper, helpers
from benchmarks.measure import Run, Spread, percentile, seconds
from benchmarks.plan import Plan
from benchmarks.rows import Row
from benchmarks.servers import DRIVERS, STARTED, Rivals, beside, celerys_url
from benchmarks.stores import one_result, store_one, stored
from tests.servers import SERVERS

NAMES = ("redis", "memcached", "postgresql")
# Reading comes first: on memcached, what is stored might displace what is read.
OPERATIONS = ("get", "store")
KINDS = ("processes", "threads")
VALUE = "x" * 200
READY = 100
"""Results that are read again and again."""
SOON = 0.02
"""Seconds until all start together."""

Times = list[list[float]]
"""The seconds of each operation, thread by thread."""


def scenarios(versions: dict[str, str]) -> dict[str, Callable[[Plan], Iterator[Row]]]:
    """Return the scenario of each store by name; when it runs, it adds to `versions`."""
    return {name: functools.partial(_on, name, versions) for name in NAMES}


def _on(name: str, versions: dict[str, str], plan: Plan) -> Iterator[Row]:
    with STARTED.get(name, SERVERS[name])() as server, helpers(*range(max(plan.crowds))) as team:
        versions[name] = f"{server.version}, {DRIVERS[name]} {version(DRIVERS[name])}"
        rivals = Rivals(f"kv+{server.url}", celerys_url(name, server.url))
        for what, kind, count in itertools.product(OPERATIONS, KINDS, plan.crowds):
            sides = (team[:count], 1) if kind == "processes" else (team[:1], count)
            yield from _crowded(f"{what}, {kind}: {count}", what, *sides, rivals, plan)


def _crowded(
    title: str, what: str, team: list[Helper], threads: int, rivals: Rivals, plan: Plan
) -> Iterator[Row]:
    seen: dict[str, list[Times]] = {url: [] for url in rivals}

    def making(url: str) -> Run:
        ids = stored(url, READY)  # the first one creates the tables
        return functools.partial(_together, team, seen[url], what, url, ids, threads, 2 * plan.run)

    for row in beside(title, rivals, plan._replace(rounds=plan.rounds // 2), making):
        yield row._replace(detail=_detail(seen.values())) if row.theirs else row


def _together(
    team: list[Helper], seen: list[Times], what: str, url: str, ids: list[str], *amount: Any
) -> float:
    began = time.monotonic() + SOON
    for helper in team:
        helper.start(crowd, what, url, ids, began, *amount)
    seen.append([times for helper in team for times in helper.result()])
    return 1 / rate(seen[-1])


def crowd(
    what: str, url: str, ids: list[str], began: float, threads: int, duration: float
) -> Times:
    """Repeat an operation in so many threads for `duration` seconds from `began`."""

    def work(_: int) -> list[float]:
        backend, turns, times = open_backend(url), itertools.cycle(ids), list[float]()
        time.sleep(max(began - time.monotonic(), 0))
        with in_pool_process([url]):
            now = time.monotonic()
            while not times or now < began + duration:
                if what == "get":
                    one_result(backend, [next(turns)])()
                else:
                    store_one(backend, new_id(), VALUE)
                before, now = now, time.monotonic()
                times.append(now - before)
        return times

    return list(_threads(threads).map(work, range(threads)))


@functools.cache
def _threads(count: int) -> ThreadPoolExecutor:
    """Return threads that stay, and with them their backends' connections."""
    return ThreadPoolExecutor(count)


def rate(times: Times) -> float:
    """Return the operations in a second: each thread counts until its own last one has ended."""
    return sum(len(each) / sum(each) for each in times)


def _detail(sides: Collection[list[Times]]) -> str:
    """Return both sides' operations in a second and latencies, without the warm-up."""
    rounds = [side[3:] for side in sides]
    rates = (f"{Spread.of(map(rate, each)).median:,.0f}" for each in rounds)
    told = [f"each second {' to '.join(rates)}"]
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        late = (
            percentile(itertools.chain.from_iterable(itertools.chain.from_iterable(each)), part)
            for each in rounds
        )
        told.append(f"{name} {' to '.join(map(seconds, late))}")
    return "; ".join(told)
