"""Costs that do not depend on the machine: calls of Python functions and of the store."""

import sys
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Any

from celery import states
from celery.result import GroupResult

from benchmarks.backends import DATABASE, FILES, NORMAL, new_id, open_backend, urls
from benchmarks.chords import Chord, apps
from benchmarks.plan import Plan
from benchmarks.rows import Row, figure
from benchmarks.stores import REQUEST
from kvbackends.contract import Entry, Store
from kvbackends.layers.layer import Layer
from kvbackends.layers.only_five import OnlyFive


class Counting(Layer):
    """Counts the calls that the backend makes to its store."""

    def __init__(self, inner: Store) -> None:
        self.count = 0
        super().__init__(inner)

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        """One call."""

        def counted(*args: Any) -> Any:
            self.count += 1
            return operation(*args)

        return counted

    def get(self, key: str) -> Entry | None:
        """One call."""
        self.count += 1
        return self.inner.get(key)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """One call."""
        self.count += 1
        self.inner.set(key, value, ttl)

    def delete(self, key: str) -> None:
        """One call."""
        self.count += 1
        self.inner.delete(key)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """One call."""
        self.count += 1
        return self.inner.compare_and_set(key, value, version, ttl)

    def spent(self, work: Callable[[], object]) -> int:
        """Return the number of calls that `work` makes."""
        before = self.count
        work()
        return self.count - before


def python_calls(plan: Plan) -> Iterator[Row]:
    """Calls of Python and C functions for storing and reading one result."""
    for name, url in urls(plan.folder / "calls").items():
        if name not in (NORMAL, DATABASE, FILES):
            continue
        backend = open_backend(url)
        ids = [new_id(), new_id()]
        store = called(partial(_store, backend), ids)
        read = called(partial(backend.get_task_meta, cache=False), ids)
        yield figure("Python calls of one store", name, store, "calls")
        yield figure("Python calls of one read", name, read, "calls")


def store_calls(plan: Plan) -> Iterator[Row]:
    """Calls of the store for each operation of Celery, on a native store and with five methods."""
    for name, app in apps(plan.folder / "store-calls"):
        backend: Any = app.backend
        counting, backend.store = _counted(backend.store)
        filled = Chord(app, 101)
        filled.parts(100)
        for what, work in _operations(app, backend, filled).items():
            yield figure(f"store calls: {what}", name, counting.spent(work), "calls")


def _operations(app: Any, backend: Any, filled: Chord) -> dict[str, Callable[[], object]]:
    one, two = new_id(), new_id()
    chord = Chord(app, 100)
    ready = [new_id() for _ in range(1000)]
    for each in ready:
        backend.mark_as_done(each, 1)
    group = GroupResult("g", [app.AsyncResult(each) for each in ready], app=app)
    return {
        "store a final result": lambda: backend.mark_as_done(one, 1),
        "STARTED, then SUCCESS": lambda: (
            backend.store_result(two, {}, states.STARTED),
            backend.mark_as_done(two, 1),
        ),
        "get of a ready result": lambda: app.AsyncResult(one).get(),
        "join of 1,000 ready results": group.join_native,
        "save a group of 1,000": lambda: backend.save_group("g", group),
        "start a chord": lambda: Chord(app, 100),
        "chord part, with its result": chord.part,
        "last part of a chord of 101": filled.last,
    }


def _counted(store: Store) -> tuple[Counting, Store]:
    """Return a counter of the calls of `store`, and the store with the counter inside."""
    if isinstance(store, OnlyFive):
        counting = Counting(store.inner)
        return counting, OnlyFive(counting)
    counting = Counting(store)
    return counting, counting


def _store(backend: Any, task_id: str) -> None:
    backend.mark_as_done(task_id, "x" * 200, request=REQUEST)


def called(work: Callable[[str], object], ids: list[str]) -> int:
    """Return the number of calls for the last id; the ids before it fill caches."""
    count = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    for each in ids[:-1]:
        work(each)
    sys.setprofile(note)
    try:
        work(ids[-1])
    finally:
        sys.setprofile(None)
    return count - 1
