"""Waiting for final values of keys: one owner thread looks, everybody else sleeps on events.

A notification is a hint.  While anything is pending, all pending keys are read again in batches,
quickly at first, then less often; so a lost notification costs milliseconds and never a hang.
"""

import heapq
import itertools
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Self

from kvbackends.derived.primitives import get_many
from kvbackends.errors import StoreError
from kvbackends.records import Feature, Subscription
from kvbackends.store import Store

logger = logging.getLogger(__name__)

LINGER = 1.0
"""Seconds that the owner thread and its subscription outlive the last wait."""
AFTER_ERROR = 0.25
"""Seconds before a subscription that failed is opened again."""


class Pace(NamedTuple):
    """How often pending keys are read again, in seconds."""

    first: float
    longest: float
    growth: float


READING = Pace(first=0.001, longest=0.5, growth=1.25)
"""For stores that cannot push: the reads are the only news."""
SAFETY = Pace(first=0.02, longest=2.0, growth=1.5)
"""For stores that push."""


class Wait:
    """One wait for some keys, made by `Hub.wait_for`.

    `notify` is called from the owner thread whenever something was delivered.
    """

    def __init__(self, keys: Iterable[str], pace: Pace, notify: Callable[[], None] | None) -> None:
        self.pending = set(keys)
        self.closed = False
        self._pace = pace
        self._pause = pace.first
        self._delivered: deque[tuple[str, bytes]] = deque()
        self._error: Exception | None = None
        self._event = threading.Event()
        self._notify = notify or self._event.set

    def take(self, timeout: float | None) -> list[tuple[str, bytes]]:
        """What was delivered since the last call; empty after `timeout` seconds without any.

        Raises what makes reading impossible; a store that is away for a while does not.
        """
        if not self._delivered and self._error is None:
            self._event.wait(timeout)
        self._event.clear()
        if self._error is not None:
            raise self._error
        return [self._delivered.popleft() for _ in range(len(self._delivered))]

    def deliver(self, key: str, value: bytes) -> None:
        """A key is final; called by the owner thread."""
        self.pending.discard(key)
        self._delivered.append((key, value))
        self._notify()

    def fail(self, error: Exception) -> None:
        """The wait is over; called by the owner thread."""
        self._error = error
        self._notify()

    def next_pause(self) -> float:
        """Seconds until the pending keys are read again; a little longer each time."""
        pause = self._pause
        self._pause = min(pause * self._pace.growth, self._pace.longest)
        return pause

    def close(self) -> None:
        """Not interested any more.  Takes no lock and does no I/O: finalisers call it."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Hub:
    """The waits of one process on one store, and the thread that serves them.

    `is_final` tells whether a stored value ends the wait for its key.
    """

    def __init__(self, store: Store, is_final: Callable[[bytes], bool]) -> None:
        self.store = store
        self.is_final = is_final
        self.pushes = Feature.PUSH in store.features
        self._lock = threading.Lock()
        self._opened: deque[Wait] = deque()
        self._owner: _Owner | None = None

    def wait_for(self, keys: Collection[str], notify: Callable[[], None] | None = None) -> Wait:
        """Begin to wait; values that are final already are delivered too."""
        wait = Wait(keys, SAFETY if self.pushes else READING, notify)
        with self._lock:
            self._opened.append(wait)
            if self._owner is None:
                self._owner = _Owner(self)
                self._owner.start()
            else:
                self._owner.wake()
        return wait

    def close(self) -> None:
        """End the thread soon; waits that are open get nothing more."""
        with self._lock:
            owner = self._owner
        if owner is not None:
            owner.stopping = True
            owner.wake()

    def take_opened(self) -> list[Wait]:
        """The waits that were opened since the last call."""
        return [self._opened.popleft() for _ in range(len(self._opened))]

    def retire(self, owner: "_Owner") -> bool:
        """True if the owner may end: nobody has come meanwhile."""
        with self._lock:
            if self._opened and not owner.stopping:
                return False
            self._owner = None
            return True


class _Owner(threading.Thread):
    """Holds the subscription.  Everything but `wake` runs in this thread."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(name="kvbackends-waiting", daemon=True)
        self.stopping = False
        self._hub = hub
        self._by_key: dict[str, set[Wait]] = {}
        self._due: list[tuple[float, int, Wait]] = []
        self._count = itertools.count()
        self._guard = threading.Lock()
        self._subscription: Subscription | None = None
        self._woken = threading.Event()
        self._told: set[tuple[str, type[BaseException]]] = set()
        self._recoverable: tuple[type[BaseException], ...] = (
            StoreError,
            *hub.store.transient_errors,
        )

    def wake(self) -> None:
        """From any thread: look for new waits now."""
        self._woken.set()
        with self._guard:
            if self._subscription is not None:
                self._subscription.wake()

    def run(self) -> None:
        """Serve until nobody has waited for `LINGER` seconds."""
        idle_since = time.monotonic()
        while not self.stopping:
            self._woken.clear()
            self._turn()
            now = time.monotonic()
            idle_since = now if self._due else idle_since
            if now - idle_since >= LINGER and self._hub.retire(self):
                break
        else:
            self._hub.retire(self)
        self._unsubscribe()

    def _turn(self) -> None:
        try:
            self._adopt(self._hub.take_opened())
            self._look_at(self._due_keys(time.monotonic()))
            self._look_at(self._listen(self._until_due()))
        except self._recoverable as error:
            self._warn("cannot read what is waited for; trying again", error)
            self._unsubscribe()
            self._woken.wait(AFTER_ERROR)
        except Exception as error:  # noqa: BLE001 - everybody who waits is told
            self._fail(error)

    def _adopt(self, waits: list[Wait]) -> None:
        for wait in waits:
            for key in wait.pending:
                self._by_key.setdefault(key, set()).add(wait)
            # Due at once: what was stored before the subscription began is read now.
            heapq.heappush(self._due, (0.0, next(self._count), wait))
        if self._subscription is not None:
            self._subscription.watch({key for wait in waits for key in wait.pending})
        elif self._by_key:
            self._subscribe()

    def _subscribe(self) -> None:
        try:
            subscription = self._hub.store.subscribe()
            subscription.watch(list(self._by_key))
        except self._recoverable as error:
            self._warn("cannot subscribe; reading until it works", error)
            return
        with self._guard:
            self._subscription = subscription

    def _unsubscribe(self) -> None:
        with self._guard:
            subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def _due_keys(self, now: float) -> set[str]:
        keys: set[str] = set()
        while self._due and self._due[0][0] <= now:
            wait = heapq.heappop(self._due)[2]
            if wait.closed:
                self._forget(wait)
            elif wait.pending:
                keys |= wait.pending
                pause = wait.next_pause() * random.uniform(0.9, 1.1)
                heapq.heappush(self._due, (now + pause, next(self._count), wait))
        return keys

    def _until_due(self) -> float:
        return max(self._due[0][0] - time.monotonic(), 0.0) if self._due else LINGER

    def _listen(self, timeout: float) -> Collection[str]:
        """Keys that may have changed; sleeps until there are some, a wait is due, or woken."""
        if self._subscription is None:
            self._woken.wait(min(timeout, AFTER_ERROR))
            return ()
        hints = self._subscription.wait(timeout)
        if hints is None:  # a store that cannot push never knows: its waits are read when due
            return list(self._by_key) if self._hub.pushes else ()
        return [key for key in hints if key in self._by_key]

    def _look_at(self, keys: Collection[str]) -> None:
        gone = []
        for key, value in get_many(self._hub.store, keys):
            if self._hub.is_final(value):
                for wait in self._by_key.pop(key, ()):
                    wait.deliver(key, value)
                gone.append(key)
        self._unwatch(gone)
        if keys and self._subscription is not None:
            self._told.clear()

    def _warn(self, message: str, error: BaseException) -> None:
        """Once for each trouble: four times a second would be every line of an outage's log."""
        known = (message, type(error)) in self._told
        self._told.add((message, type(error)))
        logger.log(logging.DEBUG if known else logging.WARNING, message, exc_info=not known)

    def _forget(self, wait: Wait) -> None:
        gone = []
        for key in wait.pending:
            others = self._by_key.get(key, set())
            others.discard(wait)
            if not others:
                self._by_key.pop(key, None)
                gone.append(key)
        self._unwatch(gone)

    def _unwatch(self, keys: list[str]) -> None:
        if keys and self._subscription is not None:
            self._subscription.unwatch(keys)

    def _fail(self, error: Exception) -> None:
        """Waiting cannot go on: everybody is told why."""
        waits = {wait for waits in self._by_key.values() for wait in waits}
        self._by_key.clear()
        self._due.clear()
        self._unsubscribe()
        for wait in waits:
            wait.fail(error)
