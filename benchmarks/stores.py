"""Storing and reading results in one process."""

import functools
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from celery import states
from celery._state import _task_stack
from celery.app.task import Context
from celery.result import AsyncResult, GroupResult

from benchmarks.backends import (
    DATABASE,
    FILES,
    FULL,
    NORMAL,
    in_pool_process,
    new_id,
    open_backend,
    urls,
)
from benchmarks.measure import Loop, interleaved
from benchmarks.plan import Plan
from benchmarks.rows import Row, at_least, ratio

RAW_NORMAL = "raw sqlite3 NORMAL"
RAW_FULL = "raw sqlite3 FULL"
LOG_IS_FULL = 600
"""Number of stores after which SQLite reuses its write-ahead log (1,000 pages)."""
Asking = Callable[[Any, list[str]], Callable[[], object]]
"""Makes a function that reads the results of the ids from a backend."""
REQUEST = Context(task="benchmarks.task", hostname="worker@host", args=[], kwargs={})


def store(plan: Plan) -> Iterator[Row]:
    """The time to store one final result, as a worker does."""
    for size, name in ((200, "200 B"), (10_000, "10 KB")):
        what, value = f"store a result, {name}", "x" * size
        runs = _runs(plan, f"store-{size}", functools.partial(store_one, value=value))
        for raw, mode in ((RAW_NORMAL, "NORMAL"), (RAW_FULL, "FULL")):
            path = plan.folder / f"store-{size}" / f"raw-{mode}.db"
            runs[raw] = _loop(plan, _raw_store(path, mode, value), has_log=True)
        with in_pool_process(urls(plan.folder / f"store-{size}").values()):
            costs = interleaved(runs, plan.rounds)
        yield ratio(what, costs, NORMAL, DATABASE, at_least(50))
        yield ratio(what, costs, FULL, DATABASE, at_least(12))
        yield ratio(what, costs, NORMAL, FILES)
        yield ratio(what, costs, FULL, FILES)
        yield ratio(what, costs, NORMAL, RAW_NORMAL)
        yield ratio(what, costs, FULL, RAW_FULL)


def started_then_success(plan: Plan) -> Iterator[Row]:
    """The time of both stores of a task with ``task_track_started``."""
    runs = _runs(plan, "started", start_and_end)
    with in_pool_process(urls(plan.folder / "started").values()):
        costs = interleaved(runs, plan.rounds)
    what = "STARTED, then SUCCESS"
    yield ratio(what, costs, NORMAL, DATABASE, at_least(50))
    yield ratio(what, costs, FULL, DATABASE, at_least(12))
    yield ratio(what, costs, NORMAL, FILES)


def read(plan: Plan) -> Iterator[Row]:
    """The time to read ready results, one and many, without making the result objects."""
    yield from _read("get of a ready result", plan, 1, one_result)
    for size in plan.sets:
        yield from _read(f"get_many of {size:,} ready results", plan, size, many_results)
        yield from _read(f"join of {size:,} ready results", plan, size, joined)


def _read(what: str, plan: Plan, size: int, asking: Asking) -> Iterator[Row]:
    runs = {}
    for name, url in urls(plan.folder / "read").items():
        if name != FULL and (asking is not many_results or hasattr(open_backend(url), "get_many")):
            runs[name] = reading(asking, plan.run, url, stored(url, max(plan.sets))[:size])
    costs = interleaved(runs, plan.rounds)
    if DATABASE in costs:
        yield ratio(what, costs, NORMAL, DATABASE, at_least(100))
    yield ratio(what, costs, NORMAL, FILES)


def storing(step: Callable[[Any, str], object], seconds: float, url: str) -> Loop:
    """Return a loop that stores results at `url`."""
    return Loop(functools.partial(step, open_backend(url)), seconds, new_id)


def reading(asking: Asking, seconds: float, url: str, ids: list[str]) -> Loop:
    """Return a loop that reads these results at `url`, without making the result objects."""
    ask = functools.partial(asking, open_backend(url), ids)
    return Loop(lambda read: read(), seconds, ask)


@functools.cache
def stored(url: str, count: int) -> list[str]:
    """Store `count` results, and return their ids."""
    backend, ids = open_backend(url), [new_id() for _ in range(count)]
    for each in ids:
        store_one(backend, each, value="x" * 200)
    return ids


def _runs(plan: Plan, folder: str, step: Callable[[Any, str], object]) -> dict[str, Loop]:
    return {
        name: _loop(plan, functools.partial(step, open_backend(url)), name in (NORMAL, FULL))
        for name, url in urls(plan.folder / folder).items()
    }


def _loop(plan: Plan, step: Callable[[str], object], has_log: bool) -> Loop:
    """Return a loop that starts after the write-ahead log has its final size.

    A log that still grows, in the first seconds of a file, costs several times as much to flush.
    """
    for _ in range(LOG_IS_FULL if has_log else 0):
        step(new_id())
    return Loop(step, plan.run, new_id)


def store_one(backend: Any, task_id: str, value: str) -> None:
    """Store a result like a worker at the end of a task."""
    backend.mark_as_done(task_id, value, request=REQUEST)


def start_and_end(backend: Any, task_id: str) -> None:
    """Store STARTED and SUCCESS like a worker with ``task_track_started``."""
    _task_stack.push(backend.app.tasks["celery.accumulate"])
    try:
        backend.store_result(task_id, {"pid": 1, "hostname": "h"}, states.STARTED, request=REQUEST)
        backend.mark_as_done(task_id, "x" * 200, request=REQUEST)
    finally:
        _task_stack.pop()


def one_result(backend: Any, ids: list[str]) -> Callable[[], object]:
    """Return a function that gets the first result."""
    read: Callable[[], object] = AsyncResult(ids[0], backend=backend, app=backend.app).get
    return read


def many_results(backend: Any, ids: list[str]) -> Callable[[], object]:
    """Return a function that gets all results with `get_many`."""
    return lambda: list(backend.get_many(ids))


def joined(backend: Any, ids: list[str]) -> Callable[[], object]:
    """Return a function that gets all results from a group."""
    results = [AsyncResult(each, backend=backend, app=backend.app) for each in ids]
    read: Callable[[], object] = GroupResult("group", results, app=backend.app).get
    return read


def _raw_store(path: Path, mode: str, value: str) -> Callable[[str], object]:
    """The floor: the driver, one of Celery's records, one statement."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {mode}")
    connection.execute("CREATE TABLE entry (key TEXT PRIMARY KEY, expires REAL, value BLOB)")

    def step(task_id: str) -> None:
        record = {"status": "SUCCESS", "result": value, "traceback": None, "task_id": task_id}
        connection.execute(
            "INSERT INTO entry VALUES (?, ?, ?)", (task_id, 1e10, json.dumps(record).encode())
        )

    return step
