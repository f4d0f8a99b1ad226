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
from typing import Any, TypeVar

from kvbackends.contract.deadline import deadline, limit, within
from kvbackends.contract.options import CoreOptions
from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL
from kvbackends.errors import StoreUnavailable
from kvbackends.layers.barriers import RetriedBarrier
from kvbackends.layers.layer import Layer, innermost
from kvbackends.layers.outage import SHORTEST, Outage

T = TypeVar("T")

NOT_RETRIED = frozenset({"increment", "subscribe", "scan", "find", "barriers"})
"""Operations that are passed through.  `increment` is not idempotent.  The others return
objects that are consumed later; their consumers restart them on errors."""

FIRST = 5
"""Milliseconds that pauses grow from if the first retry is made at once."""
SHORTEST_PAUSE = 0.001
"""Seconds between retries after the first, so that an outage does not cost a processor's time."""
SILENCE = 1.0
"""Seconds without an answer that are worth telling, where the deadline ends an attempt."""

_attempts: ContextVar[float] = ContextVar("kvbackends_retries", default=math.inf)


@contextmanager
def at_most(attempts: float | None) -> Iterator[None]:
    """Limit the retries of each operation in the `with` block; None keeps the outer limit."""
    token = _attempts.set(_attempts.get() if attempts is None else attempts)
    try:
        yield
    finally:
        _attempts.reset(token)


def give(store: Store, seconds: float) -> None:
    """Set the time for one operation of `store`, if its operations are retried."""
    if isinstance(store, Retry):
        store.seconds = seconds


class Retry(Layer):
    """Repeats operations with exponential backoff and full jitter, bounded in time.

    After an unknown outcome an idempotent operation is repeated, and `compare_and_set` is decided
    by reading what is stored.  When the time is spent, raises `StoreUnavailable`, caused by the
    driver's last error; the first attempt counts, because it has a deadline, too.  An error that no
    repetition can help is a `ConfigurationError` at once.

    `seconds` is the time for one operation; it may change at any time.
    """

    def __init__(self, inner: Store, options: CoreOptions, url: StoreURL | None = None) -> None:
        self._options = options
        self.outage = Outage(url, innermost(inner).server)
        self.seconds = options.retry_timeout
        # The second is raised by `PerProcess` to a call that waits while another thread connects.
        self.passing: tuple[type[BaseException], ...] = (*inner.transient_errors, StoreUnavailable)
        super().__init__(inner)
        repeats = {"get": None, "set": None, "delete": None, "compare_and_set": self._decided}
        for name, repeat in repeats.items():
            setattr(self, name, self.retried(getattr(inner, name), name, repeat))

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        """`operation` with retries, where a repetition is safe."""
        if name in NOT_RETRIED:
            return operation
        if name == "barrier":
            return functools.partial(RetriedBarrier, self, operation)
        return self.retried(operation, name)

    def retried(
        self, operation: Callable[..., T], name: str, repeat: Callable[..., T] | None = None
    ) -> Callable[..., T]:
        """`operation`; after a transient error `repeat`, which is the same unless given."""
        errors, again, outage = self.passing, self.again, self.outage
        repeated = repeat or operation

        def attempt(*args: Any, **kwargs: Any) -> T:
            # Not `within`, which costs more: this is the way of every operation.
            until, started = limit.get(), time.monotonic()
            deadline.set(min(until, started + max(self.seconds, SHORTEST)))
            try:
                answer = operation(*args, **kwargs)
                if outage.since:
                    outage.ends()
                return answer
            except errors as error:
                return again(lambda: repeated(*args, **kwargs), error, name, started)
            finally:  # not what was set before: an interrupted operation may have left it
                deadline.set(until)

        return attempt

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """Never derived here: a retried compare-and-set cannot tell two equal sums apart."""
        return within(max(self.seconds, SHORTEST), self.inner.increment, key, by, ttl)

    def ping(self) -> None:
        """Asks once: a ping tells the present state of the server."""
        within(max(self.seconds, SHORTEST), self.inner.ping)

    def _decided(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """`compare_and_set` after an unknown outcome: again if the version is there, else read."""
        entry = self.inner.get(key)
        if (entry and entry.version) == version:
            return self.inner.compare_and_set(key, value, version, ttl)
        return entry is not None and entry.value == value

    def again(self, call: Callable[[], T], error: BaseException, name: str, started: float) -> T:
        """Repeat `call`, begun at `started`, after `error`.

        Raises `StoreUnavailable` when the time is spent, `ConfigurationError` for an error that
        stays.
        """
        self.outage.check(error, time.monotonic() - started)
        self.outage.check_scheme(error)
        with self.outage.lasting(name, error, self.seconds):
            answer = self._repeated(call, error, name, started)
        self.outage.ends()
        return answer

    def _repeated(
        self, call: Callable[[], T], error: BaseException, name: str, started: float
    ) -> T:
        attempts = 1
        for pause in self._pauses():
            time.sleep(pause)
            attempts += 1
            began = time.monotonic()
            try:
                return call()
            except self.passing as latest:
                now = time.monotonic()
                if now < deadline.get() or now - began > SILENCE:
                    error = latest  # otherwise cut short: the one before says more
                self.outage.check(error, now - started)
                self.outage.warn(name, error, self.seconds)
        spent = time.monotonic() - started
        raise StoreUnavailable(self.outage.told(name, attempts, spent, error)) from error

    def _pauses(self) -> Iterator[float]:
        """Seconds to sleep before each repetition, until time or attempts are spent."""
        options, done = self._options, 0
        until = min(deadline.get(), time.monotonic() + self.seconds)
        while done < min(_attempts.get(), options.retry_attempts):
            first = options.retry_first_ms or (FIRST if done else 0)
            ceiling = min(first * 2 ** min(done, 30), options.retry_longest_ms) / 1000
            pause = max(random.uniform(ceiling / 2, ceiling), SHORTEST_PAUSE if done else 0)
            left = until - time.monotonic()
            if pause > left:  # a shorter pause, if it is worth another attempt
                if left < ceiling / 4:
                    return
                pause = left / 2
            yield pause
            done += 1
