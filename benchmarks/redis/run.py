"""The scenarios, all on one server."""

import functools
import gc
from collections.abc import Callable, Iterator
from importlib.metadata import version

from benchmarks.plan import Plan
from benchmarks.redis import chords, costs, overhead, reads, stores, waits
from benchmarks.redis.bench import Bench
from benchmarks.rows import Row
from tests.servers import SERVERS
from tests.servers.process import HOST

SCENARIOS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "store": stores.store,
    "threads": stores.threads,
    "sweep": stores.sweep,
    "bytes": costs.bytes_to_server,
    "calls": costs.calls,
    "instructions": costs.instructions,
    "read": reads.read,
    "wait": waits.wait,
    "group": waits.group,
    "parts": chords.parts,
    "last-part": chords.last_part,
    "server-cpu": costs.server_cpu,
    "overhead": overhead.overhead,
    "races": costs.races,
}


def scenarios(versions: dict[str, str]) -> dict[str, Callable[[Plan], Iterator[Row]]]:
    """Return the scenarios by name; each runs on a new server, and adds to `versions`."""
    return {name: functools.partial(_on_redis, name, versions) for name in SCENARIOS}


def _on_redis(name: str, versions: dict[str, str], plan: Plan) -> Iterator[Row]:
    with SERVERS["redis"]() as server:
        clients = [f"{each} {version(each)}" for each in ("redis", "hiredis")]
        versions["redis"] = ", ".join([server.version, *clients])
        place = plan._replace(folder=plan.folder / name)
        place.folder.mkdir()
        yield from SCENARIOS[name](Bench(HOST, server.port, server.pid, place))
        gc.collect()  # results of Celery's own backend unsubscribe
