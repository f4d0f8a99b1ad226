"""Layers that count calls to a store and that make them fail."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from kvbackends import Entry, Store
from kvbackends.layers.layer import Layer

T = TypeVar("T")


class Broken(Exception):
    """What the faulty store's driver raises when the connection breaks."""


class Wrapped(Layer):
    """Every call to the inner store, the five and the native ones, passes `call`."""

    def call(self, name: str, operation: Callable[[], T], key: str = "") -> T:
        return operation()

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: self.call(name, lambda: operation(*args))

    def ping(self) -> None:
        self.call("ping", self.inner.ping)

    def get(self, key: str) -> Entry | None:
        return self.call("get", lambda: self.inner.get(key), key)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.call("set", lambda: self.inner.set(key, value, ttl), key)

    def delete(self, key: str) -> None:
        self.call("delete", lambda: self.inner.delete(key), key)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        return self.call(
            "compare_and_set", lambda: self.inner.compare_and_set(key, value, version, ttl), key
        )


class Counting(Wrapped):
    """Counts the calls that reach the inner store."""

    def __init__(self, inner: Store) -> None:
        self.calls: Counter[str] = Counter()
        super().__init__(inner)

    def call(self, name: str, operation: Callable[[], T], key: str = "") -> T:
        self.calls[name] += 1
        return operation()

    def spent(self, work: Callable[[], object]) -> int:
        """How many calls `work` makes."""
        before = self.calls.total()
        work()
        return self.calls.total() - before


class Faulty(Wrapped):
    """Fails as told: each call takes one word of the script.

    ``before``: nothing happens, then `Broken`.  ``after``: it happens, then `Broken`.  ``ok``, or
    the script is at its end: it works.  A callable is run in place of an ``after``'s return, to do
    what somebody else does meanwhile.
    """

    def __init__(self, inner: Store, script: Iterable[str | Callable[[], object]] = ()) -> None:
        self.script = list(script)
        self.seen: list[str] = []
        super().__init__(inner)
        self.transient_errors = (Broken,)

    def call(self, name: str, operation: Callable[[], T], key: str = "") -> T:
        self.seen.append(name)
        word = self.script.pop(0) if self.script else "ok"
        if word == "before":
            raise Broken(name)
        answer = operation()
        if callable(word):
            word()
        if word != "ok":
            raise Broken(name)
        return answer
