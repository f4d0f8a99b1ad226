"""Large amounts, on Redis and SQLite: ``python -m benchmarks.amounts [--large]``.

A chord's parts and its completion, a group, results that are listed and swept, one of 10 MB.
Each is measured with a tenth of the amount first: what costs the same for each item is flat.  Every
figure has a process of its own, whose peak memory is told beside it, and the server's.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import report
from benchmarks.backends import new_id, open_backend
from benchmarks.chords import Chord, chord_app
from benchmarks.helpers import helpers
from benchmarks.measure import seconds
from benchmarks.raw import record_of
from benchmarks.report import line
from benchmarks.rows import Row, at_most, figure
from benchmarks.stores import joined, store_one
from kvbackends.admin import Admin
from tests.servers import SERVERS

AMOUNTS = dict.fromkeys(("chord", "group", "listed", "swept"), 100_000)
LARGE = AMOUNTS | {"listed": 1_000_000, "swept": 1_000_000}
FLAT = at_most(1.5)
"""How much more an item may cost among ten times as many: twofold would be a square root's growth,
and the scatter of a busy machine is a third."""
SIZES = (1_000_000, 10_000_000)
"""Bytes of large results."""
DAY, MOMENT = 86_400.0, 0.5
"""Seconds that results live."""
AT_ONCE = 1000
MB = 1e6


class Cost(NamedTuple):
    """Seconds by name, and how many MB the process took more at its peak."""

    seconds: dict[str, float]
    peak: float


def memory(process: int | str = "self", field: str = "VmHWM") -> float:
    """The largest memory of a process so far, or another field of its status, in MB."""
    for entry in Path(f"/proc/{process}/status").read_text().splitlines():
        if entry.startswith(field):
            return float(entry.split()[1]) * 1024 / MB
    return 0.0


def measured(work: Callable[..., dict[str, float]], *args: Any) -> Cost:
    """Run `work` in this process, of which it is the only one."""
    before = memory()
    return Cost(work(*args), memory() - before)


def opened(url: str) -> None:
    """Load the driver and connect, which takes memory, too."""
    open_backend(url).store.ping()


def chord(url: str, size: int) -> dict[str, float]:
    """End all header tasks of a chord, one by one."""
    made = Chord(chord_app(url), size)
    return {"part": made.parts(size - 1), "completion": made.last()[0] / size}


def group(url: str, size: int) -> dict[str, float]:
    """Store results, and get them as a group's."""
    backend, ids = open_backend(url), [new_id() for _ in range(size)]
    started = time.perf_counter()
    for each in ids:
        store_one(backend, each, "x" * 200)
    stored = time.perf_counter()
    joined(backend, ids)()
    return {"store": (stored - started) / size, "join": (time.perf_counter() - stored) / size}


def listed(url: str, size: int) -> dict[str, float]:
    """Store results, and count them by their states, as an operator does."""
    backend = open_backend(url)
    stored = filled(backend, size, DAY)
    begun = time.perf_counter()
    count = Admin(backend.app).count()
    if sum(count.values()) != size:
        raise RuntimeError(f"{count} of {size} results were listed")
    spent = time.perf_counter() - begun
    for number in range(0, size, AT_ONCE):
        backend.store.delete_batch([key_of(each) for each in range(number, number + AT_ONCE)])
    return {"set": stored / size, "list": spent / size}


def swept(url: str, size: int) -> dict[str, float]:
    """Store results that expire at once, and sweep them."""
    backend = open_backend(url)
    filled(backend, size, MOMENT)
    time.sleep(2 * MOMENT)
    begun, removed = time.perf_counter(), 0
    while some := backend.store.sweep(AT_ONCE):
        removed += some
    return {"sweep": (time.perf_counter() - begun) / removed}


def filled(backend: Any, size: int, ttl: float) -> float:
    """Store as many records as said, and return the seconds that it took."""
    record, begun = record_of(new_id(), "x" * 200), time.perf_counter()
    for number in range(size):
        backend.store.set(key_of(number), record, ttl)
    return time.perf_counter() - begun


def key_of(number: int) -> str:
    """The key of a result."""
    return f"celery-task-meta-{number:032d}"


def large(url: str, size: int) -> dict[str, float]:
    """Store and get one result of so many bytes."""
    backend, task_id, value = open_backend(url), new_id(), "x" * size
    started = time.perf_counter()
    store_one(backend, task_id, value)
    stored = time.perf_counter()
    backend.app.AsyncResult(task_id).get(timeout=60)
    return {"store": (stored - started) / size, "get": (time.perf_counter() - stored) / size}


WORK: dict[str, Callable[[str, int], dict[str, float]]] = {
    "chord": chord,
    "group": group,
    "listed": listed,
    "swept": swept,
}


def alone(work: Callable[..., dict[str, float]], url: str, size: int) -> Cost:
    """The cost of `work` in a process of its own, which has used a backend before."""
    with helpers(0) as (process,):
        process.call(opened, url)
        cost: Cost = process.call(measured, work, url, size)
    return cost


def compared(what: str, name: str, few: tuple[int, Cost], many: tuple[int, Cost]) -> Iterator[Row]:
    """A row for each cost of an item: how many times that of an item among fewer."""
    (less, small), (more, big) = few, many
    for step, cost in big.seconds.items():
        times = cost / small.seconds[step]
        detail = f"{seconds(small.seconds[step])} to {seconds(cost)} each, {cost * more:.3g} s"
        title = f"{what} of {more:,} to {less:,}: {step}, for each"
        yield figure(title, name, times, "x", FLAT, detail)
    detail = f"{small.peak:.0f} MB with {less:,}"
    yield figure(f"{what} of {more:,}: memory at most", name, big.peak, "MB", None, detail)


def on(name: str, empty: Iterator[str], amounts: dict[str, int]) -> Iterator[Row]:
    """The rows of one store; `empty` yields the URL of one that is empty."""
    for what, size in amounts.items():
        if what == "swept" and name != "kv+sqlite":  # the server removes what has expired
            continue
        few, many = (alone(WORK[what], next(empty), each) for each in (size // 10, size))
        yield from compared(what, name, (size // 10, few), (size, many))
    less, more = SIZES
    few, many = (alone(large, next(empty), each) for each in SIZES)
    yield from compared("result in bytes", name, (less, few), (more, many))


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.amounts", description=__doc__)
    parser.add_argument("--large", action="store_true", help="list and sweep a million results")
    amounts = LARGE if parser.parse_args().large else AMOUNTS
    facts, rows = report.about("amounts"), []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=report.ROOT / ".cache"))
        server = stack.enter_context(SERVERS["redis"]())
        base = f"kv+{server.url}".removesuffix("/0")
        empty = {
            "kv+sqlite": (f"kv+sqlite:///{folder}/{number}.db" for number in itertools.count()),
            "kv+redis": (f"{base}/{number}" for number in itertools.count()),
        }
        for name, urls in empty.items():
            for row in on(name, urls, amounts):
                print(line(row), flush=True)
                rows.append(row)
        peak = memory(server.pid)
        rows.append(figure("the server's memory at most", "kv+redis", peak, "MB"))
        facts["redis"] = server.version
    facts["load after"] = report.load()
    print(report.write(rows, facts))
    print(json.dumps(amounts))


if __name__ == "__main__":
    main()
