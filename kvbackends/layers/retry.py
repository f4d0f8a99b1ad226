"""The outermost layer and the only retry policy: what an unknown outcome means is decided here."""

import math
import random
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from kvbackends.contract.options import CoreOptions
from kvbackends.contract.records import Entry
from kvbackends.contract.store import Store
from kvbackends.errors import StoreUnavailable
from kvbackends.layers.layer import Layer

T = TypeVar("T")

NEVER_REPEATED = frozenset({"increment", "subscribe", "scan", "find"})
"""Repeating an increment after an unknown outcome would count twice.  The others answer with
something that is read later, by an owner that begins again itself."""


class Bound(NamedTuple):
    """What a caller allows: repetitions, and seconds for all, which end at `until`."""

    attempts: float = math.inf
    seconds: float = math.inf
    until: float = math.inf


_bound: ContextVar[Bound] = ContextVar("kvbackends_retry_bound", default=Bound())  # noqa: B039


@contextmanager
def at_most(attempts: float | None = None, *, seconds: float | None = None) -> Iterator[None]:
    """Operations in this context are repeated at most this often, and for so long from now.

    None changes nothing.  The first try counts, too: where it has taken the time, it was the last.
    """
    bound = _bound.get()
    if attempts is not None:
        bound = bound._replace(attempts=attempts)
    if seconds is not None:
        bound = bound._replace(seconds=seconds, until=time.monotonic() + seconds)
    token = _bound.set(bound)
    try:
        yield
    finally:
        _bound.reset(token)


class Retry(Layer):
    """Repeats operations after the driver's transient errors.

    Exponential backoff with full jitter, bounded in time.  After an unknown outcome an operation
    that may be repeated is repeated; `compare_and_set` reads what is stored and decides.  When the
    time is spent, `StoreUnavailable` with the driver's last error as its cause.
    """

    def __init__(self, inner: Store, options: CoreOptions) -> None:
        self._options = options
        super().__init__(inner)

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        """`operation`, repeated where that is safe."""
        if name in NEVER_REPEATED:
            return operation
        if name == "parts":
            operation = _read_at_once(operation)
        errors, again = self.transient_errors, self._again

        def repeated(*args: Any) -> Any:
            try:
                return operation(*args)
            except errors as error:
                return again(lambda: operation(*args), error)

        return repeated

    def get(self, key: str) -> Entry | None:
        """Repeated."""
        try:
            return self.inner.get(key)
        except self.transient_errors as error:
            return self._again(lambda: self.inner.get(key), error)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Repeated."""
        try:
            self.inner.set(key, value, ttl)
        except self.transient_errors as error:
            self._again(lambda: self.inner.set(key, value, ttl), error)

    def delete(self, key: str) -> None:
        """Repeated."""
        try:
            self.inner.delete(key)
        except self.transient_errors as error:
            self._again(lambda: self.inner.delete(key), error)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """After an unknown outcome: version unchanged: again; our bytes are there: True."""
        try:
            return self.inner.compare_and_set(key, value, version, ttl)
        except self.transient_errors as error:
            return self._again(lambda: self._resolved(key, value, version, ttl), error)

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """Not repeated, and not derived here: two who count to the same number look alike."""
        return self.inner.increment(key, by, ttl)

    def ping(self) -> None:
        """Not repeated: it asks for the state of now."""
        self.inner.ping()

    def _resolved(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None
    ) -> bool:
        entry = self.inner.get(key)
        if (entry and entry.version) == version:
            return self.inner.compare_and_set(key, value, version, ttl)
        return entry is not None and entry.value == value

    def _again(self, call: Callable[[], T], error: BaseException) -> T:
        for pause in self._pauses(time.monotonic()):
            time.sleep(pause)
            try:
                return call()
            except self.transient_errors as latest:
                error = latest
        seconds = min(_bound.get().seconds, self._options.retry_timeout)
        raise StoreUnavailable(
            f"the store did not answer within {seconds:g} seconds of retries "
            f"({type(error).__name__})"
        ) from error

    def _pauses(self, started: float) -> Iterator[float]:
        """Seconds to sleep before each repetition, until time or attempts are spent."""
        options, bound, done = self._options, _bound.get(), 0
        until = min(bound.until, started + options.retry_timeout)
        while done < min(bound.attempts, options.retry_attempts):
            ceiling = (
                min(options.retry_first_ms * 2 ** min(done, 30), options.retry_longest_ms) / 1000
            )
            pause = random.uniform(ceiling / 2, ceiling)
            if time.monotonic() + pause > until:
                return
            yield pause
            done += 1


def _read_at_once(operation: Callable[[str], Iterator[T]]) -> Callable[[str], Iterator[T]]:
    """So that an error in the middle is repeated here, not met by whoever iterates."""
    return lambda barrier: iter(list(operation(barrier)))
