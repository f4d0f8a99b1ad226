"""Costs without a clock: calls, instructions, bytes, the server's time, lost results."""

import functools
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.backends import new_id, open_backend
from benchmarks.calls import called
from benchmarks.chords import Chord, chord_app
from benchmarks.helpers import helpers
from benchmarks.measure import Run, Spread, interleaved
from benchmarks.races import lost_successes
from benchmarks.redis.aims import AIMS
from benchmarks.redis.bench import OURS, THEIRS, Bench
from benchmarks.rows import Row, figure
from benchmarks.stores import store_one
from tests.servers.proxy import FaultProxy

MB = 1024 * 1024
INSTALL = "valgrind is not on PATH: apt-get install --no-install-recommends valgrind"


def bytes_to_server(bench: Bench) -> Iterator[Row]:
    """Bytes sent per byte of a large payload, counted by a proxy."""
    value = "x" * MB
    with FaultProxy(bench.host, bench.port) as proxy:
        for name, url in bench._replace(port=proxy.port).urls().items():
            backend = open_backend(url)
            store_one(backend, new_id(), "first")
            before = proxy.counts
            store_one(backend, new_id(), value)
            sent = (proxy.counts - before).to_server
            yield _counted("bytes to the server, store of 1 MB", name, sent / MB, "per byte")


def calls(bench: Bench) -> Iterator[Row]:
    """Calls of Python and C functions for one store."""
    for name, url in bench.urls().items():
        store = functools.partial(store_one, open_backend(url), value="x" * 200)
        count = called(store, [new_id(), new_id()])
        yield _counted("Python calls of one store", name, count, "calls")


def instructions(bench: Bench) -> Iterator[Row]:
    """Instructions of the whole process for one store and one part, on a replayed socket."""
    if shutil.which("valgrind") is None:
        yield figure("instructions of one store", OURS, 0, "not measured", detail=INSTALL)
        return
    urls = bench.urls()
    whats = "instructions of one store", "instructions of one part"
    rows = itertools.product(urls, whats)
    counts = executed("benchmarks.redis.instructions", bench.plan.folder, *urls.values())
    for (name, what), count in zip(rows, counts, strict=True):
        yield _counted(what, name, count, "")


def executed(module: str, folder: Path, *arguments: str) -> Iterator[float]:
    """Run a module as `benchmarks.redis.instructions`; yield the instructions of each line."""
    output = f"--cachegrind-out-file={folder}/%p"
    tool = ["valgrind", "--quiet", "--tool=cachegrind", "--cache-sim=no", output]
    done = subprocess.run(
        [*tool, sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in done.stdout.splitlines():
        (few, least), (many, most) = (map(int, each.split(":")) for each in line.split())
        yield (_executed(folder / str(most)) - _executed(folder / str(least))) / (many - few)


def _executed(output: Path) -> int:
    for line in output.read_text().splitlines():
        if line.startswith("summary:"):
            return int(line.partition(":")[2])
    raise ValueError(f"no summary in {output}")


def _counted(what: str, name: str, value: float, unit: str) -> Row:
    gate, hope = AIMS[what].at("cross") if name == OURS else (None, None)
    return figure(what, name, value, unit, gate)._replace(stretch=hope)


def server_cpu(bench: Bench) -> Iterator[Row]:
    """The CPU time of the server for one store, and for one part of a chord."""
    for what, work in {"server CPU of a store": _stores, "server CPU of a part": _parts}.items():
        for place in bench.places():
            runs = {
                name: _spent_by(bench, work(url, bench.plan.operations))
                for name, url in bench.urls().items()
            }
            costs = interleaved(runs, bench.plan.rounds)
            yield _share(what, place, costs)


def _share(what: str, place: str, costs: dict[str, list[float]]) -> Row:
    """Return the row with our cost divided by Celery's."""
    gate, hope = AIMS[what].at(place)
    shares = Spread.of(mine / other for mine, other in zip(costs[OURS], costs[THEIRS], strict=True))
    ours, theirs = (Spread.of(costs[name]).median * 1e6 for name in (OURS, THEIRS))
    detail = f"{ours:.3g} µs to {theirs:.3g} µs"
    return Row(f"{what}, {place}", OURS, THEIRS, "x", shares, gate, detail, hope)


def _stores(url: str, count: int) -> Callable[[], Callable[[], object]]:
    backend = open_backend(url)

    def prepare() -> Callable[[], object]:
        ids = [new_id() for _ in range(count)]
        return functools.partial(_store_all, backend, ids)

    return prepare


def _store_all(backend: Any, ids: list[str]) -> None:
    for each in ids:
        store_one(backend, each, "x" * 200)


def _parts(url: str, count: int) -> Callable[[], Callable[[], object]]:
    app = chord_app(url)
    return lambda: functools.partial(Chord(app, count + 1).parts, count)


def _spent_by(bench: Bench, prepare: Callable[[], Callable[[], object]]) -> Run:
    client: Any = bench.client()

    def used() -> float:
        cpu = client.info("cpu")
        return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])

    def run() -> float:
        work = prepare()
        before = used()
        work()
        return (used() - before) / bench.plan.operations

    return run


def races(bench: Bench) -> Iterator[Row]:
    """Successes lost to a RETRY that another process stores at the same time."""
    what = "SUCCESS lost to a RETRY"
    with helpers(0, 1) as pair:
        for name, url in bench.urls().items():
            lost, errors = lost_successes(pair, bench.plan.folder, url, bench.plan.races)
            row = _counted(what, name, lost, "lost")
            yield row._replace(detail=f"of {bench.plan.races:,} races; {errors} errors")
