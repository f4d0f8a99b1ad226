"""One wait for some keys, and its loan: the subscription, lent to who waits alone."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import NamedTuple, Self

from kvbackends.contract.records import Subscription

RETURN = 1.0
"""Seconds that who waits has to give the subscription back; it takes as long as being woken."""

Found = Collection[tuple[str, bytes]]
"""Keys that are final, with their values."""


class Pace(NamedTuple):
    """How often pending keys are read again, in seconds."""

    first: float
    longest: float
    growth: float


READING = Pace(first=0.001, longest=0.5, growth=1.25)
"""For stores that cannot push: the reads are the only news."""
SAFETY = Pace(first=0.02, longest=2.0, growth=1.5)
"""For stores that push."""


class Signal:
    """Wakes one thread, once for any number of `set`; who sets a second time before does nothing.

    An exception that a signal's handler raises does no harm to it at any moment.  In the midst of a
    `threading.Event` it leaves a lock behind, and who sets the event next waits for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """End the present `wait`, or the next one."""
        if self._lock.locked():
            with suppress(RuntimeError):  # another thread has just done it
                self._lock.release()

    def wait(self, seconds: float) -> None:
        """Until it is set; that is forgotten then."""
        self._lock.acquire(timeout=seconds)

    def clear(self) -> None:
        """Forget that it was set."""
        self._lock.acquire(blocking=False)

    def is_set(self) -> bool:
        """Whether nobody has waited since it was set."""
        return not self._lock.locked()


class Loan:
    """The subscription in the hands of the thread that waits, until it is called back.

    Args:
        subscription: Used by one thread at a time: who holds `_in_use`.
        look: Which of some hints are final; it asks again for some seconds if the store is away.
        errors: What the owner thread deals with: it is told, and the wait goes on.
        report: Tells the owner thread that `error` was set.
    """

    def __init__(
        self,
        subscription: Subscription,
        look: Callable[[Collection[str], float], Found],
        errors: tuple[type[BaseException], ...],
        report: Callable[[], None],
    ) -> None:
        self.subscription = subscription
        self.error: BaseException | None = None
        self.is_sound = True
        """False if a `wait` was broken off, by a signal's exception for instance."""
        self._look = look
        self._errors = errors
        self._report = report
        self._in_use = threading.Lock()
        self._ended = self._left = False

    def listen(self, pending: Collection[str], timeout: float) -> Found | None:
        """What became final of `pending`; None if the loan has ended.  `timeout` in seconds."""
        if not self._in_use.acquire(blocking=False):
            return None
        try:
            if self._ended:
                return None
            until = time.monotonic() + timeout
            self.is_sound = False
            hints = self.subscription.wait(timeout)
            self.is_sound = True
            if hints or hints is None:
                return self._look(about(pending, hints), until - time.monotonic())
            return ()
        except self._errors as error:
            self.error, self._ended = error, True
            self._report()
            return None
        finally:
            self._in_use.release()
            if self._left:
                self._close()

    def end(self) -> bool:
        """Take the subscription back; False if that does not succeed: it is not to be used again.

        It does not where the thread that waits does something else, in a signal's handler.
        """
        self._ended = True
        if not self._in_use.acquire(blocking=False):
            self.subscription.wake()
            if not self._in_use.acquire(timeout=RETURN):
                self._left = True
                self._close()
        return not self._left

    def abandon(self) -> None:
        """A forked child must not listen on its parent's connection.  Takes no lock."""
        self._ended = True

    def _close(self) -> None:
        """Whoever is the last to come here, of who listened and who took it back, closes it."""
        if self._in_use.acquire(blocking=False):  # for good: nobody is to close it again
            self.subscription.close()


class Wait:
    """One wait for some keys, made by `Hub.wait_for`.

    `notify` is called from the owner thread whenever something was delivered; without it, who waits
    sleeps in `take`, and may listen itself there.  `ask` is called when it sleeps without a loan.
    """

    def __init__(
        self,
        keys: Iterable[str],
        pace: Pace,
        notify: Callable[[], None] | None,
        ask: Callable[["Wait"], None],
        closed: deque["Wait"],
    ) -> None:
        self.keys = frozenset(keys)
        self.pending = set(self.keys)
        self.closed = False
        self.may_listen = notify is None
        self.sleeps = False
        self.loan: Loan | None = None
        self._ask = ask
        self._closed = closed
        self._pace = pace
        self._pause = pace.first
        self._delivered: deque[tuple[str, bytes]] = deque()
        self._error: Exception | None = None
        self._signal = Signal()
        self._notify = notify or self._signal.set

    def take(self, timeout: float) -> list[tuple[str, bytes]]:
        """What was delivered since the last call; empty after `timeout` seconds without any.

        Raises what makes reading impossible; a store that is away for a while does not.
        """
        if timeout > 0 and not self._has_news():
            self.sleeps = True
            try:
                self._sleep(timeout)
            finally:
                self.sleeps = False
        if self._error is not None:
            raise self._error
        return [self._delivered.popleft() for _ in range(len(self._delivered))]

    def deliver(self, key: str, value: bytes) -> None:
        """A key is final; called by the owner thread."""
        self._keep(key, value)
        self.nudge()

    def fail(self, error: Exception) -> None:
        """The wait is over; called by the owner thread."""
        self._error = error
        self.nudge()

    def lend(self, loan: Loan) -> None:
        """Listen yourself; called by the owner thread."""
        self.loan = loan
        self._notify()

    def nudge(self) -> None:
        """Look again what there is; called by the owner thread."""
        self._notify()
        if self.loan is not None:
            self.loan.subscription.wake()

    def next_pause(self) -> float:
        """Seconds until the pending keys are read again; a little longer each time."""
        pause = self._pause
        self._pause = min(pause * self._pace.growth, self._pace.longest)
        return pause

    def close(self) -> None:
        """Not interested any more.  Takes no lock and does no I/O: finalisers call it."""
        self.closed = True
        self._closed.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _has_news(self) -> bool:
        return bool(self._delivered) or self._error is not None

    def _sleep(self, left: float) -> None:
        until = time.monotonic() + left
        while left > 0:
            loan = self.loan
            found = None if loan is None else loan.listen(self.pending, left)
            if found is None:
                self._ask(self)
                self._signal.wait(max(until - time.monotonic(), 0.0))
            else:
                for key, value in found:
                    self._keep(key, value)
            if self._has_news():
                return
            left = until - time.monotonic()

    def _keep(self, key: str, value: bytes) -> None:
        self._delivered.append((key, value))
        self.pending.discard(key)


def about(keys: Collection[str], hints: Collection[str] | None) -> Collection[str]:
    """Those of the hints that are about `keys`; all keys if they cannot tell."""
    if hints is None:
        return list(keys)
    if isinstance(hints, dict):
        return {key: told for key, told in hints.items() if key in keys}
    return [key for key in hints if key in keys]
