"""What one wait wants, and what the leader has found of it."""

import random
from collections import deque
from collections.abc import Callable, Iterable

from kvbackends.contract.waking import Signal
from kvbackends.protocol.source import Found

Pace = tuple[float, float, float]
"""How often pending keys are read again: seconds at first and at most, and the growth between."""


class Pending:
    """The keys of one wait, and what the leader has found of them.

    `notify` is called in the leader's thread whenever there is news.
    """

    def __init__(
        self,
        keys: Iterable[str],
        pace: Pace,
        notify: Callable[[], None] | None,
        *,
        changes: bool = False,
    ) -> None:
        self.keys = frozenset(keys)
        self.pending = set(self.keys)
        self.closed = False
        self.error: Exception | None = None
        self.found: deque[Found] = deque()
        self.seen: dict[str, bytes] | None = {} if changes else None
        """The latest value of each key that is not final; None if only final values are wanted."""
        self.signal = Signal()
        self.notify = notify
        self._pause, self._longest, self._growth = pace

    def has_news(self) -> bool:
        """True if something was found, or the wait has failed."""
        return bool(self.found) or self.error is not None

    def deliver(self, key: str, value: bytes) -> None:
        """Add the final value of `key` to what was found, and wake the waiter."""
        if key in self.pending:
            self.found.append((key, value))
            self.pending.discard(key)
        self.wake()

    def change(self, key: str, value: bytes) -> None:
        """Add a value of `key` that is not final, if it is wanted and another than before."""
        if self.seen is not None and key in self.pending and self.seen.get(key) != value:
            self.seen[key] = value
            self.found.append((key, value))
            self.wake()

    def fail(self, error: Exception) -> None:
        """End this wait with `error`."""
        self.error = error
        self.wake()

    def wake(self) -> None:
        """Let the waiter look for news."""
        self.signal.set()
        if self.notify is not None:
            self.notify()

    def next_pause(self, longest: float = 0.0) -> float:
        """Seconds until the pending keys are read again; longer each time, with jitter.

        They grow to `longest` at most, or to the pace's longest, if that is more.
        """
        pause = self._pause
        self._pause = min(pause * self._growth, max(self._longest, longest))
        return pause * random.uniform(0.9, 1.1)

    @property
    def leeway(self) -> float:
        """Seconds by which the keys may be read early, together with others."""
        return 0.75 * self._pause
