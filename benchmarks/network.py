"""Results over a slow network, beside Celery's own backend."""

import functools
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from benchmarks.backends import in_pool_process, new_id, open_backend
from benchmarks.helpers import helpers
from benchmarks.measure import PLACES, Loop, Run, Spread, interleaved, placed
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
        yield from _distant(name, server, few)


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
