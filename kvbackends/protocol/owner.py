"""The thread that serves the waits of a process."""

import heapq
import itertools
import logging
import random
import threading
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from kvbackends.contract.records import Subscription
from kvbackends.protocol.wait import Loan, Signal, Wait, about

if TYPE_CHECKING:
    from kvbackends.protocol.waiting import Hub

logger = logging.getLogger(__name__)

LINGER = 1.0
"""Seconds that the owner thread and its subscription outlive the last wait."""
AFTER_ERROR = 0.25
"""Seconds before a subscription that failed is opened again."""


class Owner(threading.Thread):
    """Holds the subscription, or has lent it.  Everything but `wake` runs in this thread."""

    def __init__(self, hub: "Hub") -> None:
        super().__init__(name="kvbackends-waiting", daemon=True)
        self.stopping = False
        self.alone: Wait | None = None
        """The only wait, if it may listen itself."""
        self.borrower: Wait | None = None
        self._hub = hub
        self._open: set[Wait] = set()
        self._by_key: dict[str, set[Wait]] = {}
        self._due: list[tuple[float, int, Wait]] = []
        self._count = itertools.count()
        self._guard = threading.Lock()
        self._subscription: Subscription | None = None
        self._woken = Signal()
        self._told: set[tuple[str, type[BaseException]]] = set()

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
            idle_since = now if self._open else idle_since
            if now - idle_since >= LINGER and self._hub.retire(self):
                break
        else:
            self._hub.retire(self)
        self._unsubscribe()

    def _turn(self) -> None:
        try:
            self._raise_reported()
            self._forget_closed()
            self._adopt(self._hub.take_opened())
            self._look_at(self._due_keys(time.monotonic()))
            self._look_at(self._listen(self._until_due()))
        except self._hub.recoverable as error:
            if self._open:  # else it is the end of a subscription that nobody uses
                self._warn("cannot read what is waited for; trying again", error)
            self._unsubscribe()
            self._woken.wait(AFTER_ERROR)
        except Exception as error:  # noqa: BLE001 - everybody who waits is told
            self._fail(error)

    def _raise_reported(self) -> None:
        loan = None if self.borrower is None else self.borrower.loan
        if loan is not None and loan.error is not None:
            raise loan.error

    def _adopt(self, waits: list[Wait]) -> None:
        opened = [wait for wait in waits if not wait.closed]
        for wait in opened:
            self._open.add(wait)
            for key in wait.keys:
                self._by_key.setdefault(key, set()).add(wait)
            # Due at once: what was stored before the subscription began is read now.
            heapq.heappush(self._due, (0.0, next(self._count), wait))
        if opened:
            self._take_back()
        if self._subscription is None and self._by_key:
            self._subscribe()
        elif self._subscription is not None and opened:
            self._subscription.watch({key for wait in opened for key in wait.keys})

    def _subscribe(self) -> None:
        try:
            with self._guard:
                self._subscription = self._hub.store.subscribe()
            if self._woken.is_set():  # by somebody who saw no subscription that could be woken
                self._subscription.wake()
            self._subscription.watch(list(self._by_key))
        except self._hub.recoverable as error:
            self._warn("cannot subscribe; reading until it works", error)
            self._unsubscribe()
            return
        # What was told meanwhile is lost: all is read again.
        self._due = [(0.0, number, wait) for _, number, wait in self._due]
        heapq.heapify(self._due)

    def _unsubscribe(self) -> None:
        self._take_back()
        with self._guard:
            subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def _due_keys(self, now: float) -> set[str]:
        keys: set[str] = set()
        while self._due and self._due[0][0] <= now:
            wait = heapq.heappop(self._due)[2]
            if wait.closed or not wait.pending:
                self._forget(wait)
            else:
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
        if self._lends():
            self._woken.wait(min(timeout, LINGER))  # it does not say when it has what it wanted
            return ()
        hints = self._heard(timeout)
        if hints is None and not self._hub.pushes:  # its waits are read when they are due
            return ()
        return about(self._by_key, hints)

    def _heard(self, timeout: float) -> Collection[str] | None:
        if self._subscription is None:  # lent, and it did not come back
            return ()
        return self._subscription.wait(timeout)

    def _lends(self) -> bool:
        """True while who waits alone listens itself."""
        only = next(iter(self._open)) if len(self._open) == 1 else None
        # Before the look whether it sleeps: who falls asleep looks at this afterwards, and asks.
        self.alone = only if only and only.may_listen and self._hub.pushes else None
        sleeper = self.alone if self.alone and self.alone.sleeps else None
        if sleeper is not None and sleeper is self.borrower:
            return True
        self._take_back()
        if sleeper is None or self._subscription is None:
            return False
        self.borrower, hub = sleeper, self._hub
        sleeper.lend(Loan(self._subscription, hub.final, hub.recoverable, self._woken.set))
        return True

    def _take_back(self) -> None:
        borrower, self.borrower = self.borrower, None
        if borrower is None or borrower.loan is None:
            return
        loan, borrower.loan = borrower.loan, None
        if not loan.end():
            with self._guard:
                self._subscription = None
        elif not loan.is_sound:
            self._unsubscribe()

    def _look_at(self, keys: Collection[str]) -> None:
        gone = []
        for key, value in self._hub.final(keys):
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

    def _forget_closed(self) -> None:
        for _ in range(len(self._hub.closed)):
            self._forget(self._hub.closed.popleft())

    def _forget(self, wait: Wait) -> None:
        gone = []
        if wait.closed:
            self._open.discard(wait)
        for key in wait.keys & self._by_key.keys():
            self._by_key[key].discard(wait)
            if not self._by_key[key]:
                del self._by_key[key]
                gone.append(key)
        self._unwatch(gone)

    def _unwatch(self, keys: list[str]) -> None:
        if keys:
            self._take_back()
        if keys and self._subscription is not None:
            self._subscription.unwatch(keys)

    def _fail(self, error: Exception) -> None:
        """Waiting cannot go on: everybody is told why."""
        waits = {wait for waits in self._by_key.values() for wait in waits}
        self._by_key.clear()
        self._open.clear()
        self._due.clear()
        self._unsubscribe()
        for wait in waits:
            wait.fail(error)
