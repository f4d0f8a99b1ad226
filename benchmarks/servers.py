"""Each store on its real server, beside Celery's own backend on the same server."""

import contextlib
import functools
import gc
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, NamedTuple

from celery import Celery, chord

from benchmarks import raw
from benchmarks.backends import in_pool_process, new_id, open_backend
from benchmarks.helpers import helpers
from benchmarks.measure import PLACES, Loop, Run, Spread, interleaved, percentile, placed
from benchmarks.plan import Plan
from benchmarks.races import lost_successes
from benchmarks.rows import Row, at_least, at_most, figure, ratio
from benchmarks.stores import (
    Asking,
    joined,
    many_results,
    one_result,
    reading,
    start_and_end,
    store_one,
    stored,
    storing,
)
from benchmarks.waits import latencies_of
from benchmarks.workers import running_worker
from tests.servers import SERVERS, postgresql_server

DRIVERS = {
    "redis": "redis",
    "memcached": "pymemcache",
    "mongodb": "pymongo",
    "postgresql": "psycopg",
    "elasticsearch": "elasticsearch",
    "cassandra": "cassandra-driver",
}
"""Server -> the distribution of its driver."""
STARTED = {"postgresql": functools.partial(postgresql_server, fsync="on", full_page_writes="on")}
"""Servers that tests start with other settings."""
PARTS = 100
FASTER = at_least(1)
BESIDE_THE_DRIVER = {"postgresql": at_least(0.8)}
"""At most a quarter slower than the driver's own call."""

Making = Callable[[str], Run]
"""Makes the contender for a URL."""


class Rivals(NamedTuple):
    """The URLs of both backends on one server."""

    ours: str
    theirs: str

    @property
    def names(self) -> tuple[str, str]:
        """The schemes of both URLs."""
        return self.ours.partition(":")[0], self.theirs.partition(":")[0]


def scenarios(versions: dict[str, str]) -> dict[str, Callable[[Plan], Iterator[Row]]]:
    """Return the scenario of each store by name; when it runs, it adds to `versions`."""
    return {name: functools.partial(_on, name, versions) for name in DRIVERS}


def _on(name: str, versions: dict[str, str], plan: Plan) -> Iterator[Row]:
    with STARTED.get(name, SERVERS[name])() as server:
        driver = DRIVERS[name]
        settings = STARTED[name].keywords if name in STARTED else {}
        said = "".join(f", {each} {value}" for each, value in settings.items())
        versions[name] = f"{server.version}, {driver} {version(driver)}{said}"
        rivals = Rivals(f"kv+{server.url}", celerys_url(name, server.url))
        store_one(open_backend(rivals.ours), "first", "")  # creates the tables or indexes
        place = plan._replace(folder=plan.folder / name)
        place.folder.mkdir()
        # Most of the time may be the driver's on both sides; many short rounds show the difference.
        fine = place._replace(rounds=3 * plan.rounds, run=plan.run / 3)
        with placed(server.pid):
            with in_pool_process(rivals):
                yield from _stored(rivals, fine)
            yield from _above_the_driver(name, server.url, rivals, fine)
            yield from _read_one(rivals, fine)
            yield from _read_many(rivals, place)
        for scenario in (_joins, _waits, _chords, _races):
            yield from scenario(rivals, place)
        gc.collect()  # results of Celery's Redis backend unsubscribe


def celerys_url(name: str, url: str) -> str:
    """The URL of Celery's own backend."""
    if name == "postgresql":
        return f"db+postgresql+psycopg{url.removeprefix(name)}"
    return f"cache+{url}" if name == "memcached" else url


def _stored(rivals: Rivals, plan: Plan) -> Iterator[Row]:
    steps: dict[str, Callable[[Any, str], object]] = {
        "store a result, 200 B": functools.partial(store_one, value="x" * 200),
        "store a result, 10 KB": functools.partial(store_one, value="x" * 10_000),
        "STARTED, then SUCCESS": start_and_end,
    }
    for what, step in steps.items():
        yield from beside(what, rivals, plan, functools.partial(storing, step, plan.run))


def _above_the_driver(name: str, url: str, rivals: Rivals, plan: Plan) -> Iterator[Row]:
    """The ratio to the driver's own call: below 1, by the cost of ranks and records."""
    what, value, ours = "store a result, 200 B", "x" * 200, rivals.names[0]
    runs: dict[str, Run] = {
        ours: storing(functools.partial(store_one, value=value), plan.run, rivals.ours),
        **{
            f"raw {each}": Loop(raw.raw_store(each, url, value), plan.run, new_id)
            for each in raw.DRIVERS
            if each.partition(",")[0] == name
        },
    }
    costs = interleaved(runs, plan.rounds)
    for other in list(runs)[1:]:
        yield ratio(what, costs, ours, other, BESIDE_THE_DRIVER.get(name))


def _read_one(rivals: Rivals, plan: Plan) -> Iterator[Row]:
    making = _reading(plan, one_result, 1)
    yield from beside("get of a ready result", rivals, plan, making)


def _read_many(rivals: Rivals, plan: Plan) -> Iterator[Row]:
    for size in plan.sets:
        # Some of Celery's backends take seconds for 1,000 results, and the ratios are large.
        rounds = 2 * plan.rounds if size <= 100 else -(-plan.rounds // 2)
        making = _reading(plan, every_result, size)
        what = f"get_many of {size:,} ready results"
        yield from beside(what, rivals, plan._replace(rounds=rounds), making)


def _reading(plan: Plan, asking: Asking, size: int) -> Making:
    return lambda url: reading(asking, plan.run, url, stored(url, max(plan.sets))[:size])


def every_result(backend: Any, ids: list[str]) -> Callable[[], object]:
    """Read with `get_many`, or one by one on Celery's MongoDB and Cassandra, which lack it."""
    if hasattr(backend, "get_many"):
        return many_results(backend, ids)
    return lambda: [backend.get_task_meta(each, cache=False) for each in ids]


def _joins(rivals: Rivals, plan: Plan) -> Iterator[Row]:
    """Some of Celery's backends read one after the other, which takes them a minute."""
    size = max(plan.sets)
    few = plan._replace(rounds=-(-plan.chords_end_to_end // 2))
    yield from beside(f"join of {size:,}", rivals, few, _reading(few, joined, size))


def _waits(rivals: Rivals, plan: Plan) -> Iterator[Row]:
    what, latencies = "wait for a result, p50", []
    with helpers(*PLACES["cross"]) as pair:
        for url in rivals:
            polls = not url.startswith(("kv+", "redis://"))
            count = plan.polled_waits if polls else plan.waits // 4
            spread = (0.1, 0.6) if polls else (0.01, 0.1)
            latencies.append(latencies_of(url, count, spread, pair))
    costs = dict(zip(rivals.names, ([percentile(each, 0.5)] for each in latencies), strict=True))
    yield ratio(what, costs, *rivals.names, FASTER)
    for name, each in zip(rivals.names, latencies, strict=True):
        detail = f"{len(each)} waits, longest {max(each) * 1000:.3g} ms"
        ms = percentile(each, 0.99) * 1000
        yield figure("wait for a result, p99", name, ms, "ms", None, detail)


def _chords(rivals: Rivals, plan: Plan) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:

        def making(url: str) -> Run:
            folder = plan.folder / url.partition(":")[0]
            return _chord(stack.enter_context(running_worker(url, folder)))

        few = plan._replace(rounds=plan.chords_end_to_end)
        yield from beside(f"chord of {PARTS}, end to end", rivals, few, making)


def _chord(app: Celery) -> Run:
    header = [app.tasks["benchmarks.part"].si() for _ in range(PARTS)]
    body = app.tasks["benchmarks.body"].s()

    def run() -> float:
        started = time.perf_counter()
        chord(header)(body).get(timeout=60)
        return time.perf_counter() - started

    return run


def _races(rivals: Rivals, plan: Plan) -> Iterator[Row]:
    """The number of successes lost to a RETRY that another process stores at the same time."""
    with helpers(0, 1) as pair:
        for name, url in zip(rivals.names, rivals, strict=True):
            ours = url == rivals.ours
            count = plan.races // 3 if ours else plan.rival_races
            lost, errors = lost_successes(pair, plan.folder, url, count)
            gate = at_most(0) if ours else None
            detail = f"of {count:,} races; {errors} errors"
            yield figure("SUCCESS lost to a RETRY", name, lost, "lost", gate, detail)


def beside(what: str, rivals: Rivals, plan: Plan, making: Making) -> Iterator[Row]:
    """Yield how many times faster ours is, or our time if Celery's backend fails."""
    ours, theirs = rivals.names
    runs: dict[str, Run] = {ours: making(rivals.ours)}
    try:
        runs[theirs] = making(rivals.theirs)
        runs[theirs]()
    except Exception as error:  # noqa: BLE001 - it is reported
        detail = f"{theirs} cannot: {type(error).__name__}: {error}"[:120]
        cost = Spread.of(interleaved({ours: runs[ours]}, plan.rounds)[ours]).median
        yield figure(what, ours, cost * 1000, "ms", None, detail)
    else:
        yield ratio(what, interleaved(runs, plan.rounds), ours, theirs, FASTER)
