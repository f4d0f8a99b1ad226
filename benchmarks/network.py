"""Results over a slow network, and stored by many threads at once, beside Celery's own backend."""

import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from benchmarks.backends import in_pool_process, new_id, open_backend
from benchmarks.helpers import helpers
from benchmarks.measure import PLACES, Loop, Run, Spread, interleaved, percentile, placed
from benchmarks.plan import Plan
from benchmarks.raw import raw_store
from benchmarks.rows import Row
from benchmarks.servers import DRIVERS, STARTED, Rivals, celerys_url, every_result
from benchmarks.stores import one_result, reading, store_one, stored, storing
from tests.servers import SERVERS
from tests.servers.process import HOST
from tests.servers.proxy import FaultProxy

NAMES = ("redis", "postgresql")
ROUND_TRIPS = (0.0, 0.001, 0.010)
"""Seconds that the proxy adds to each answer of the server."""
THREADS = (1, 2, 4, 8, 16, 32)
TOGETHER = 100
"""Results that are read at once."""
VALUE = "x" * 200


def scenarios(versions: dict[str, str]) -> dict[str, Callable[[Plan], Iterator[Row]]]:
    """Return the scenario of each store by name; when it runs, it adds to `versions`."""
    return {name: functools.partial(_on, name, versions) for name in NAMES}


def _on(name: str, versions: dict[str, str], plan: Plan) -> Iterator[Row]:
    few = plan._replace(rounds=-(-plan.rounds // 2))
    with STARTED.get(name, SERVERS[name])() as server, placed(server.pid):
        driver = DRIVERS[name]
        versions[name] = f"{server.version}, {driver} {version(driver)}"
        store_one(open_backend(f"kv+{server.url}"), "first", "")  # creates the tables
        rivals = Rivals(f"kv+{server.url}", celerys_url(name, server.url))
        with in_pool_process(rivals):
            yield from _crowded(rivals, few)
        yield from _distant(name, server, few)


# -------------------------------------------------------------------------------- many threads


def _crowded(rivals: Rivals, plan: Plan) -> Iterator[Row]:
    """Yield throughput and latency, in rounds that both backends take in turns."""
    seconds = 5 * plan.run
    for threads in THREADS:
        rounds = [
            [crowd(open_backend(url), threads, seconds) for url in rivals]
            for _ in range(plan.rounds + 1)
        ][1:]  # the first one warms up
        what = f"store, {threads} at once"
        for name, each in zip(rivals.names, zip(*rounds, strict=True), strict=True):
            rates = Spread.of(len(times) / seconds for times in each)
            yield Row(f"{what}, each second", name, "", "stores", rates)
            for part in (50, 99):
                late = Spread.of(1000 * percentile(times, part / 100) for times in each)
                yield Row(f"{what}, p{part}", name, "", "ms", late)


def crowd(backend: Any, threads: int, seconds: float) -> list[float]:
    """Return how long each store took of so many threads that store for `seconds`."""

    def work(_: int) -> list[float]:
        times, until = [], time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            store_one(backend, new_id(), VALUE)
            times.append(time.perf_counter() - began)
        return times

    with ThreadPoolExecutor(threads) as pool:
        return [took for times in pool.map(work, range(threads)) for took in times]


# ------------------------------------------------------------------------------ a slow network


def _distant(name: str, server: Any, plan: Plan) -> Iterator[Row]:
    with helpers(PLACES["cross"][1]) as [proxy]:
        port = proxy.call(listen, server.port)
        url = server.url.replace(f":{server.port}", f":{port}")
        rivals = Rivals(f"kv+{url}", celerys_url(name, url))
        driver = raw_store(name, url, VALUE)
        for seconds in ROUND_TRIPS:
            proxy.call(hold, server.port, seconds)
            with in_pool_process(rivals):
                for what, runs in _contenders(rivals, plan):
                    if what == "store":
                        runs |= {f"raw {name}": Loop(driver, plan.run, new_id)}
                    for side, costs in interleaved(runs, plan.rounds).items():
                        spread = Spread.of(1000 * each for each in costs)
                        yield Row(f"{what}, {seconds * 1000:g} ms away", side, "", "ms", spread)


def _contenders(rivals: Rivals, plan: Plan) -> Iterator[tuple[str, dict[str, Run]]]:
    """Yield what is measured, and both contenders by name."""
    sides = dict(zip(rivals.names, rivals, strict=True))
    step = functools.partial(store_one, value=VALUE)
    yield "store", {side: storing(step, plan.run, url) for side, url in sides.items()}
    for what, asking, size in (("get", one_result, 1), ("get_many", every_result, TOGETHER)):
        yield (
            what,
            {
                side: reading(asking, plan.run, url, stored(url, TOGETHER)[:size])
                for side, url in sides.items()
            },
        )


@functools.cache
def before(port: int) -> FaultProxy:
    """Return this process's proxy before a server."""
    return FaultProxy(HOST, port).start()


def listen(port: int) -> int:
    """Return the port of the proxy before a server's port."""
    return before(port).port


def hold(port: int, seconds: float) -> None:
    """Let each answer of the server take so much longer."""
    before(port).delay(to_client=seconds)
