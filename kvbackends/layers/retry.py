"""Retries store operations after transient driver errors.

This is the only retry policy: adapters and drivers must not retry writes themselves, because only
this layer knows which operations are safe to repeat when the first attempt may have succeeded.
"""

import functools
import math
import random
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from kvbackends.contract.options import CoreOptions
from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL
from kvbackends.errors import StoreUnavailable
from kvbackends.layers.barriers import RetriedBarrier
from kvbackends.layers.layer import Layer

T = TypeVar("T")

NOT_RETRIED = frozenset({"increment", "subscribe", "scan", "find"})
"""Operations that are passed through.  `increment` is not idempotent.  `subscribe`, `scan` and
`find` return objects that are consumed later; their consumers restart them on errors."""


class Bound(NamedTuple):
    """The limits of a caller: repetitions, and seconds for all of them, which end at `until`."""

    attempts: float = math.inf
    seconds: float = math.inf
    until: float = math.inf


_bound: ContextVar[Bound] = ContextVar("kvbackends_retry_bound", default=Bound())  # noqa: B039


@contextmanager
def at_most(attempts: float | None = None, *, seconds: float | None = None) -> Iterator[None]:
    """Limit retries inside the `with` block.

    Args:
        attempts: Maximum number of retries; None keeps the outer limit.
        seconds: Time budget from now, including the first attempt; None keeps the outer limit.
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
    """Repeats operations with exponential backoff and full jitter, bounded in time.

    After an unknown outcome an idempotent operation is repeated, and `compare_and_set` is decided
    by reading what is stored.  When the time is spent, raises `StoreUnavailable`, caused by the
    driver's last error.
    """

    def __init__(self, inner: Store, options: CoreOptions, url: StoreURL | None = None) -> None:
        self._options = options
        self._url = url
        super().__init__(inner)
        for name in ("get", "set", "delete"):
            setattr(self, name, self.retried(getattr(inner, name), name))

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        """`operation` with retries, where a repetition is safe."""
        if name in NOT_RETRIED:
            return operation
        if name == "barrier":
            return functools.partial(RetriedBarrier, self, operation)
        return self.retried(operation, name)

    def retried(self, operation: Callable[..., T], name: str) -> Callable[..., T]:
        """`operation`, which is called again after a transient error."""
        errors, again = self.transient_errors, self.again

        def attempt(*args: Any, **kwargs: Any) -> T:
            try:
                return operation(*args, **kwargs)
            except errors as error:
                return again(lambda: operation(*args, **kwargs), error, name)

        return attempt

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """After an unknown outcome: tried again if the version is still there, else read."""
        try:
            return self.inner.compare_and_set(key, value, version, ttl)
        except self.transient_errors as error:
            decide = functools.partial(self._decided, key, value, version, ttl)
            return self.again(decide, error, "compare_and_set")

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """Never derived here: a retried compare-and-set cannot tell two equal sums apart."""
        return self.inner.increment(key, by, ttl)

    def _decided(self, key: str, value: bytes, version: Hashable | None, ttl: float | None) -> bool:
        entry = self.inner.get(key)
        if (entry and entry.version) == version:
            return self.inner.compare_and_set(key, value, version, ttl)
        return entry is not None and entry.value == value

    def again(self, call: Callable[[], T], error: BaseException, name: str) -> T:
        """Repeat `call` after `error`; raises `StoreUnavailable` when the time is spent."""
        started, attempts = time.monotonic(), 1
        for pause in self._pauses(started):
            time.sleep(pause)
            attempts += 1
            try:
                return call()
            except self.transient_errors as latest:
                error = latest
        raise StoreUnavailable(self._gave_up(name, attempts, started, error)) from error

    def _gave_up(self, name: str, attempts: int, started: float, error: BaseException) -> str:
        words = str(error) or type(error).__name__
        store = "the store" if self._url is None else str(self._url)
        return (
            f"{store} did not answer for {time.monotonic() - started:.1f} s ({attempts} attempts "
            f"of `{name}`; last error: {self._url.redacted(words) if self._url else words}). "
            "Check that the server runs and is reachable from here; `retry_timeout` sets how long "
            "operations are retried."
        )

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
