"""Layers for tests: they count, record, slow down and break the calls to a store."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, TypeVar

from kvbackends.contract.barrier import Barrier, CalledBarrier
from kvbackends.contract.records import Entry
from kvbackends.contract.store import Store
from kvbackends.layers.layer import Layer

T = TypeVar("T")


class Broken(Exception):
    """The driver's error of a broken connection, raised by `Faults`."""


class Wrapped(Layer):
    """Passes every call to the inner store through `call`."""

    def call(self, name: str, operation: Callable[[], T], key: str = "") -> T:
        """Makes the call; a subclass does something before, after or instead."""
        return operation()

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        """The native operation, or each operation of a native barrier, through `call`."""
        if name == "barrier":
            return lambda *args: BarrierCalls(operation(*args), self.call)
        return lambda *args: self.call(name, lambda: operation(*args))

    def ping(self) -> None:
        """Through `call`."""
        self.call("ping", self.inner.ping)

    def get(self, key: str) -> Entry | None:
        """Through `call`."""
        return self.call("get", lambda: self.inner.get(key), key)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Through `call`."""
        self.call("set", lambda: self.inner.set(key, value, ttl), key)

    def delete(self, key: str) -> None:
        """Through `call`."""
        self.call("delete", lambda: self.inner.delete(key), key)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Through `call`."""
        return self.call(
            "compare_and_set", lambda: self.inner.compare_and_set(key, value, version, ttl), key
        )


class BarrierCalls(CalledBarrier):
    """Passes a barrier's operations through a layer's `call`; creating it makes no call."""

    def __init__(self, inner: Barrier, through: Callable[..., Any]) -> None:
        self.name, self.ttl = inner.name, inner.ttl
        self._inner = inner
        self._through = through

    def call(self, name: str, operation: Callable[[Barrier], Any]) -> Any:
        """Through the layer."""
        return self._through(name, lambda: operation(self._inner))


class Counting(Wrapped):
    """Counts the calls that reach the inner store."""

    def __init__(self, inner: Store) -> None:
        self.calls: Counter[str] = Counter()
        super().__init__(inner)

    def call(self, name: str, operation: Callable[[], T], key: str = "") -> T:
        """Count the call, then make it."""
        self.calls[name] += 1
        return operation()

    def spent(self, work: Callable[[], object]) -> int:
        """Return how many calls `work` makes."""
        before = self.calls.total()
        work()
        return self.calls.total() - before


class Faults(Wrapped):
    """Breaks calls by a script: each call takes one word of it.

    ``before``: the call is not made, then `Broken`.  ``instead``: the store is reached but does
    nothing, then `Broken`.  ``after``: the call is made, then `Broken`.  A callable: the call is
    made, then the callable, which plays a concurrent client, then `Broken`.  ``ok``, or the end of
    the script: the call succeeds.

    Attributes:
        error: The class that is raised.
    """

    error: type[Exception] = Broken

    def __init__(self, inner: Store, script: Iterable[str | Callable[[], object]] = ()) -> None:
        self.script = list(script)
        self.seen: list[str] = []
        super().__init__(inner)
        self.transient_errors = (*inner.transient_errors, Broken)

    def call(self, name: str, operation: Callable[[], T], key: str = "") -> T:
        """Make the call, or break it as the script says."""
        self.seen.append(name)
        word = self.script.pop(0) if self.script else "ok"
        if word == "instead":
            self.inner.ping()
        if word in {"before", "instead"}:
            raise self.error(name)
        answer = operation()
        if callable(word):
            word()
        if word != "ok":
            raise self.error(name)
        return answer


class Latency(Wrapped):
    """Delays each call by `seconds`, half before and half after its effect, as a network does.

    With a `seed` the delays vary between 0 and twice `seconds`, the same in each run.
    """

    def __init__(self, inner: Store, seconds: float, seed: int | None = None) -> None:
        self.seconds = seconds
        self._random = None if seed is None else random.Random(seed)
        super().__init__(inner)

    def call(self, name: str, operation: Callable[[], T], key: str = "") -> T:
        """Make the call, with a delay before and after it."""
        time.sleep(self._half())
        try:
            return operation()
        finally:
            time.sleep(self._half())

    def _half(self) -> float:
        factor = 1.0 if self._random is None else self._random.uniform(0, 2)
        return self.seconds / 2 * factor


class Call(NamedTuple):
    """A call in the history of a `Recording`."""

    thread: int
    name: str
    key: str
    began: float
    ended: float
    answer: object
    """The returned value, or the exception that was raised."""


class Recording(Wrapped):
    """Records each call in `history`: its thread, times, and answer or exception."""

    def __init__(self, inner: Store) -> None:
        self.history: list[Call] = []
        super().__init__(inner)

    def call(self, name: str, operation: Callable[[], T], key: str = "") -> T:
        """Make the call, and record it."""
        began, answer = time.monotonic(), None
        try:
            answer = operation()
        except BaseException as error:
            self._record(name, key, began, error)
            raise
        self._record(name, key, began, answer)
        return answer

    def _record(self, name: str, key: str, began: float, answer: object) -> None:
        now, me = time.monotonic(), threading.get_ident()
        self.history.append(Call(me, name, key, began, now, answer))
