"""Where the time of a large chord goes: ``python -m benchmarks.large_chords [STORE ...]``.

The header tasks of a chord end one by one in one process.  Then the requests that they sent are
sent again, under other keys, by the driver alone: the difference is ours, the rest the driver's and
the server's.  At last the parts of one chord end in several processes at a time.
"""

# It sends the adapters' requests without the adapters.
# ruff: noqa: SLF001

import argparse
import functools
import http.client
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.app.task import Context

from benchmarks import report
from benchmarks.chords import Chord, chord_app
from benchmarks.helpers import helpers
from benchmarks.measure import Spread, interleaved
from benchmarks.report import line
from benchmarks.rows import Row, at_most, figure
from benchmarks.servers import DRIVERS, STARTED
from tests.servers import SERVERS

SIZE = 10_000
SLICE = 250
"""Parts of a round; ours and the driver's take turns."""
ROUNDS = 8
PROCESSES = (2, 4, 8)
OURS = "000000ours"
"""How the ids of tasks begin."""
TIMES = at_most(1.5)
"""How many times the driver's own time a part may take."""

Request = tuple[Any, ...]
"""The arguments of a method of the adapter that sends one request."""
Sending = Callable[[list[Request]], None]


def mongodb() -> tuple[type, str, Callable[[Any], Sending]]:
    """The adapter's method that sends, and what sends by the driver."""
    from kvbackends_mongodb.client import Documents

    def by_driver(_: Any) -> Sending:
        def send(requests: list[Request]) -> None:
            for documents, *statements in requests:
                documents._command(
                    {
                        "update": documents._name,
                        "updates": statements,
                        "writeConcern": documents._concern,
                    }
                )

        return send

    return Documents, "update", by_driver


def elasticsearch() -> tuple[type, str, Callable[[Any], Sending]]:
    """As `mongodb`; not the driver's way but the shortest one, Python's own HTTP client."""
    from kvbackends_elasticsearch.requests import Sender

    def by_driver(server: Any) -> Sending:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)

        def send(requests: list[Request]) -> None:
            for _, method, target, body in requests:
                connection.request(method, target, body, {"Content-Type": "application/json"})
                connection.getresponse().read()

        return send

    return Sender, "send", by_driver


def cassandra() -> tuple[type, str, Callable[[Any], Sending]]:
    """As `mongodb`, with the adapter's prepared statements."""
    from kvbackends_cassandra.client import Client
    from kvbackends_cassandra.cluster import PROFILE

    def by_driver(_: Any) -> Sending:
        def send(requests: list[Request]) -> None:
            for client, statement, values in requests:
                prepared = client._statement(statement)
                client._session.execute(prepared, values, execution_profile=PROFILE)

        return send

    return Client, "_send", by_driver


STORES = {"mongodb": mongodb, "elasticsearch": elasticsearch, "cassandra": cassandra}


@contextmanager
def recorded(kind: type, name: str) -> Iterator[list[Request]]:
    """Yield a list that receives the arguments of each call of a method in the block."""
    method, calls = getattr(kind, name), []

    def record(*arguments: Any) -> Any:
        calls.append(arguments)
        return method(*arguments)

    setattr(kind, name, record)
    try:
        yield calls
    finally:
        setattr(kind, name, method)


def renamed(value: Any, old: str, new: str) -> Any:
    """`value` with another text in all texts and bytes within."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, bytes):
        return type(value)(value.replace(old.encode(), new.encode()))
    if isinstance(value, dict):
        return {name: renamed(each, old, new) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(renamed(each, old, new) for each in value)
    return value


class Sides:
    """A chord whose parts end by our backend, and their requests by the driver, in turns.

    The driver sends them as other tasks' of the same chord, which does not become complete.
    """

    def __init__(self, name: str, server: Any) -> None:
        self._kind, self._method, by_driver = STORES[name]()
        self._send = by_driver(server)
        self._slices = itertools.count(1)
        ids = (f"{OURS}{number:022d}" for number in itertools.count())
        self._chord = Chord(chord_app(f"kv+{server.url}"), SIZE, ids)
        self._requests: list[Request] = []
        self.count = 0
        self.ours()  # the first part asks for more

    def ours(self) -> float:
        """Seconds for each part."""
        with recorded(self._kind, self._method) as requests:
            took = self._chord.parts(SLICE)
        self._requests, self.count = requests, len(requests)
        return took

    def drivers(self) -> float:
        """Seconds for the requests of each part of the latest `ours`."""
        other = f"{next(self._slices):010d}"
        requests: list[Request] = [renamed(each, OURS, other) for each in self._requests]
        started = time.perf_counter()
        self._send(requests)
        return (time.perf_counter() - started) / SLICE


def serial(name: str, server: Any) -> Iterator[Row]:
    """One process: ours beside the driver."""
    sides, ours = Sides(name, server), f"kv+{name}"
    costs = interleaved({"ours": sides.ours, "driver": sides.drivers}, ROUNDS)
    for side, each in costs.items():
        spread = Spread.of(1000 * cost for cost in each)
        what = "a part of 10,000" if side == "ours" else "its requests by the driver alone"
        detail = f"{sides.count / SLICE:.2f} requests each" if side == "ours" else ""
        yield Row(what, ours, "", "ms", spread, None, detail)
    pairs = zip(costs["ours"], costs["driver"], strict=True)
    spread = Spread.of(mine / raw for mine, raw in pairs)
    yield Row("a part to its requests by the driver", ours, "", "x", spread, TIMES)


def several(name: str, server: Any) -> Iterator[Row]:
    """Several processes, to which the parts of one chord are dealt out."""
    app = chord_app(f"kv+{server.url}")
    for count in PROCESSES:
        chord = Chord(app, SLICE * count + 1)
        with helpers(*range(count)) as processes:
            for process in processes:  # each connects
                process.call(ended, f"kv+{server.url}", [chord.coming(1)[0].__dict__])
            requests = [each.__dict__ for each in chord.coming((SLICE - 1) * count)]
            started = time.perf_counter()
            for number, process in enumerate(processes):
                process.start(ended, f"kv+{server.url}", requests[number::count])
            for process in processes:
                process.result()
            took = (time.perf_counter() - started) / len(requests)
        yield figure(f"a part, {count} processes at once", f"kv+{name}", 1000 * took, "ms")


def ended(url: str, requests: list[dict[str, Any]]) -> None:
    """End header tasks in this process."""
    backend = app_of(url).backend
    for each in requests:
        backend.mark_as_done(each["id"], "x" * 200, request=Context(each))


@functools.cache
def app_of(url: str) -> Any:
    """This process's application."""
    return chord_app(url)


def main() -> None:
    """Measure the stores that are named, or all three, and write their rows into the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_chords", description=__doc__)
    parser.add_argument("store", nargs="*", choices=[*STORES, []])
    for name in parser.parse_args().store or STORES:
        facts, versions, rows = report.about("large-chords"), {}, []
        with STARTED.get(name, SERVERS[name])() as server:
            versions[name] = f"{server.version}, {DRIVERS[name]}"
            for row in itertools.chain(serial(name, server), several(name, server)):
                print(line(row), flush=True)
                rows.append(row)
        print(report.update(rows, facts, versions))


if __name__ == "__main__":
    main()
