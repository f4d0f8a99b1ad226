"""An hour of tasks, groups and chords on every store: ``python -m benchmarks.soak [--minutes N]``.

Each store has a worker of two processes and a client process; all share a RabbitMQ. Results live
for a minute, and expired ones are removed each minute, as Celery's beat does. What the processes,
the server and the store hold is sampled each minute. In the last quarter of the time it may be a
tenth more than in the second, and times a half; the first quarter is for warming up.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery, chord, group

from benchmarks import report
from benchmarks.amounts import memory
from benchmarks.helpers import Helper
from benchmarks.measure import percentile
from benchmarks.report import line
from benchmarks.rows import Row, at_most, figure
from benchmarks.worker import make_app
from benchmarks.workers import worker_process
from kvbackends import KVBackendsError
from kvbackends.contract import Feature
from tests.servers import SERVERS, rabbitmq_server

STORES = ("sqlite", "redis", "memcached", "mongodb", "postgresql", "elasticsearch", "cassandra")
LIFE = 60
"""Seconds that results live."""
WINDOW = 60.0
"""Seconds between two samples."""
PAUSE = 3.0
"""Seconds between two turns of a client; a turn is one task, one group and one chord."""
GROUP, HEADER = 10, 6
PATIENCE = 60.0
"""Seconds until a result must have come."""
STEADY = at_most(1.1)
"""How much more there may be in the last quarter than in the second one."""
SIMILAR = at_most(1.5)
"""The same for times, which scatter on a machine that has other work."""


class Sample(NamedTuple):
    """What was seen in one minute."""

    turns: int
    failed: list[str]
    """The errors of turns that did not end well."""
    client: float
    """MB."""
    worker: float
    """MB of all of its processes."""
    server: float
    """MB of all of its processes; 0 without a server."""
    connections: float
    """Those of the client and of the worker to the server."""
    keys: float
    """All that the store lists; 0 where it cannot list."""
    p50: float
    """Seconds from sending a task to its result."""
    p99: float


class Place(NamedTuple):
    """Where a store's results and tasks go, and whose memory and connections are looked at."""

    url: str
    broker: str
    queue: str
    worker: int
    """The process id."""
    server: int
    """The same, or 0."""
    port: int
    """The server's, or 0."""


def running(place: Place, minutes: int) -> list[Sample]:
    """Send and get in this process, and return a sample of each minute."""
    app = make_app(place.url, place.broker, **settings(place.queue))
    samples = []
    for _ in range(minutes):
        until, took, failed = time.monotonic() + WINDOW, [], []
        while time.monotonic() < until:
            try:
                took.append(turn(app))
            except Exception as error:  # noqa: BLE001 - it is reported
                failed.append(repr(error)[:200])
            time.sleep(PAUSE)
        with contextlib.suppress(KVBackendsError):  # the next minute's does its work
            app.backend.cleanup()
        samples.append(seen(app, took, failed, place))
    return samples


def settings(queue: str) -> dict[str, Any]:
    """Those of a client and its worker."""
    return {"task_default_queue": queue, "result_expires": LIFE}


def turn(app: Celery) -> float:
    """Get one result, a group's and a chord's; return the seconds that the first one took."""
    began = time.monotonic()
    app.tasks["benchmarks.nothing"].delay().get(timeout=PATIENCE)
    took = time.monotonic() - began
    part = app.tasks["benchmarks.part"]
    ended = group(part.si() for _ in range(GROUP))().get(timeout=PATIENCE)
    if len(ended) != GROUP:
        raise RuntimeError(f"a group of {GROUP} has {len(ended)} results")
    body = app.tasks["benchmarks.body"].s()
    chord([part.si() for _ in range(HEADER)])(body).get(timeout=PATIENCE)
    return took


def seen(app: Celery, took: list[float], failed: list[str], place: Place) -> Sample:
    """Look at the processes, the connections and the keys."""
    store = app.backend.store
    listing = store.features & Feature.LISTING
    worker, server = (sum(map(present, family(pid))) for pid in (place.worker, place.server))
    return Sample(
        len(took),
        failed,
        present("self"),
        worker,
        server,
        connections(place.port),
        sum(1 for _ in store.scan("")) if listing else 0,
        percentile(took, 0.5) if took else 0.0,
        percentile(took, 0.99) if took else 0.0,
    )


def present(process: int | str) -> float:
    """The memory that a process has now, in MB; 0 if it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return memory(process, "VmRSS")
    return 0.0


def family(pid: int) -> list[int]:
    """The process and all of its descendants."""
    parents = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parents[int(each.parent.name)] = int(each.read_text().rpartition(")")[2].split()[1])
    found = [pid] if pid else []
    for known in found:
        found += [each for each, parent in parents.items() if parent == known]
    return found


def connections(port: int) -> int:
    """The number of established connections to a port of this host; 0 for no port."""
    ended = f":{port:04X}"
    found = 0
    for each in ("/proc/net/tcp", "/proc/net/tcp6"):
        for entry in Path(each).read_text().splitlines()[1:]:
            _, _, remote, state, *_ = entry.split()
            found += state == "01" and remote.endswith(ended)
    return found if port else 0


def rows(name: str, samples: list[Sample]) -> Iterator[Row]:
    """Compare the last quarter with the second one."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    turns = sum(each.turns for each in samples)
    detail = f"{turns * (2 + GROUP + HEADER):,} tasks in {len(samples)} minutes"
    yield figure("chords that ended", name, turns, "", None, detail)
    failed = [error for each in samples for error in each.failed]
    yield figure("turns that failed", name, len(failed), "", at_most(0), "; ".join(failed[:3]))
    held = {"client": "MB", "worker": "MB", "server": "MB", "connections": "", "keys": ""}
    for what in held | {"p50": "ms", "p99": "ms"}:
        before, after = (
            statistics.median(getattr(each, what) for each in some) for some in (early, late)
        )
        if before:
            factor, unit = (1, held[what]) if what in held else (1000, "ms")
            detail = f"{before * factor:.4g} to {after * factor:.4g} {unit}".rstrip()
            title = f"{what}, last quarter to the second"
            gate = STEADY if what in held else SIMILAR
            yield figure(title, name, after / before, "x", gate, detail)


def started(name: str, broker: str, folder: Path, stack: ExitStack) -> tuple[Place, str]:
    """Start a store's server, if it has one, and its worker; return the server's version, too."""
    queue, version, pid, port = f"soak-{name}", "", 0, 0
    url = f"kv+sqlite:///{folder}/results.db"
    if name in SERVERS:
        server = stack.enter_context(SERVERS[name]())
        url, version, pid, port = f"kv+{server.url}", server.version, server.pid, server.port
    arguments = (url, broker, folder, "-c", "2", "-n", queue)
    worker = stack.enter_context(worker_process(*arguments, **settings(queue)))
    return Place(url, broker, queue, worker.pid, pid, port), version


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--on", action="append", choices=STORES, help="a store; all by default")
    asked = parser.parse_args()
    if asked.minutes < 4:
        parser.error("each quarter needs a minute at least: give 4 minutes or more")
    facts = report.about("soak")
    found: list[Row] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=report.ROOT / ".cache")))
        broker = stack.enter_context(rabbitmq_server())
        clients: dict[str, Helper] = {}
        for name in asked.on or STORES:
            place, version = started(name, broker.url, folder / name, stack)
            facts |= {name: version} if version else {}
            clients[name] = Helper()
            stack.callback(clients[name].close)
            clients[name].start(running, place, asked.minutes)
        for name, client in clients.items():
            for row in rows(name, client.result()):
                print(line(row), flush=True)
                found.append(row)
    facts["load after"] = report.load()
    print(report.write(found, facts))
    print(report.summary(found))


if __name__ == "__main__":
    main()
