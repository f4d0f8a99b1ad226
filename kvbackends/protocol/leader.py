"""The leader's work: it listens on one subscription and reads for every wait of its process.

A notification is a hint, unless it brings a success.  While keys are pending, all of them are read
again in batches, quickly at first, then less often; so a lost notification costs milliseconds and
never a hang.
"""

import heapq
import itertools
import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from kvbackends.contract.records import Subscription
from kvbackends.contract.waking import Signal
from kvbackends.errors import StoreUnavailable
from kvbackends.protocol.pending import Pending
from kvbackends.protocol.source import Found, Source

logger = logging.getLogger(__name__)

SHARE = 20
"""Keys that nothing happens to are read again after so many times the seconds that a read takes: a
twentieth of the time is spent on them, however many they are."""
AFTER_ERROR = 0.25
"""Seconds, on average, before a subscription that failed is opened again."""


class Lead:
    """The subscription and the keys of all open waits; one thread uses them, the leader.

    `leader` holds the leader under the key 0: `dict.setdefault` elects one in a single step.
    `waits` are all open waits, by `id`: a new `Lead` begins with them.
    """

    def __init__(self, source: Source, waits: Mapping[int, Pending]) -> None:
        self.leader: dict[int, Any] = {}
        self.is_sound = True
        self.back_by = math.inf
        """When the leader should be back from listening, in seconds of `time.monotonic`."""
        self.opened: deque[Pending] = deque()
        self.closed: deque[Pending] = deque()
        self._source = source
        self._waits = waits
        self._known: set[Pending] | None = None
        self._curious: set[Pending] = set()
        """The waits that want values that are not final, too."""
        self._by_key: dict[str, set[Pending]] = {}
        self._gone: set[str] = set()
        self._due: list[tuple[float, int, Pending]] = []
        self._count = itertools.count()
        self._spent = 0.0
        """Seconds of the latest read of due keys."""
        self._woken = Signal()
        self._guard = threading.RLock()
        self._subscription: Subscription | None = None
        self._inherited: Subscription | None = None
        self._warned: set[tuple[str, type[BaseException]]] = set()
        self._unsubscribed: BaseException | None = None

    def wake(self) -> None:
        """Make the leader look for new waits; callable from any thread."""
        if self._woken.is_set():  # the thread that set it wakes the leader, which then looks
            return
        self._woken.set()
        self.back_by = min(self.back_by, time.monotonic())
        with self._guard:
            if self._subscription is not None:
                self._subscription.wake()

    def close(self) -> None:
        """Close the subscription; the next turn opens another one."""
        self._gone.clear()
        with self._guard:
            subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def abandon(self) -> None:
        """In a forked child: keep the subscription, so that no finaliser closes it, unused."""
        self._inherited, self._subscription = self._subscription, None

    def turn(self, leader: Pending, until: float) -> None:
        """Read what is due, then listen until there is news, a read is due, or `until`."""
        try:
            self._woken.wait(0)
            self.back_by = math.inf
            self._take_up()
            self._read_due(time.monotonic())
            if not leader.has_news():
                self._read(self._heard(until))
        except StoreUnavailable:  # the retry layer has warned
            self._rest(until)
        except self._source.outages as error:
            if self._waits:  # otherwise no wait needs the subscription that has just failed
                self._warn("cannot read what is waited for; trying again", error)
            self._rest(until)

    def _rest(self, until: float) -> None:
        self.close()
        # With jitter: the waiters of all processes have lost a server that restarts at one instant.
        seconds = AFTER_ERROR * random.uniform(0.5, 1.5)
        self._woken.wait(max(min(seconds, until - time.monotonic()), 0.0))

    def _take_up(self) -> None:
        """Watch the keys of waits that were opened, and forget those of waits that were closed."""
        while self.closed:
            self._forget(self.closed.popleft())
        if self._subscription is not None and self._gone:
            self._subscription.unwatch(self._gone - self._by_key.keys())
            self._gone.clear()
        opened = self._adopted()
        if self._subscription is not None:
            if opened:
                self._subscription.watch({key for wait in opened for key in wait.pending})
        elif self._by_key and self._source.pushes:
            self._subscribe()

    def _adopted(self) -> list[Pending]:
        if self._known is None:
            self._known, opened = set(), list(self._waits.values())
            for wait in opened:
                if wait.has_news():  # the leader before was interrupted before it woke the waiter
                    wait.wake()
        else:
            opened = [self.opened.popleft() for _ in range(len(self.opened))]
        opened = [wait for wait in opened if not (wait.closed or wait in self._known)]
        for wait in opened:
            self._known.add(wait)
            if wait.seen is not None:
                self._curious.add(wait)
            for key in wait.pending:
                self._by_key.setdefault(key, set()).add(wait)
            # Due at once: what was stored before the subscription began is read now.
            heapq.heappush(self._due, (0.0, next(self._count), wait))
        return opened

    def _subscribe(self) -> None:
        try:
            subscription = self._source.store.subscribe()
            with self._guard:
                self._subscription = subscription
            if self._woken.is_set():  # by a thread that saw no subscription to wake
                subscription.wake()
            subscription.watch(list(self._by_key))
        except self._source.outages as error:
            self._unsubscribed = error
            self.close()
            return
        # Notifications of before are lost: everything is read again.
        self._due = [(0.0, number, wait) for _, number, wait in self._due]
        heapq.heapify(self._due)

    def _due_keys(self, now: float) -> set[str]:
        """Return the keys that are due, and those that are soon due: one read serves all waits."""
        keys: set[str] = set()
        again: list[Pending] = []
        until = now
        while self._due and self._due[0][0] <= until:
            wait = heapq.heappop(self._due)[2]
            if wait.pending and not wait.closed:
                until = max(until, now + wait.leeway)
                keys |= wait.pending
                again.append(wait)
        longest = SHARE * self._spent
        for wait in again:
            heapq.heappush(self._due, (now + wait.next_pause(longest), next(self._count), wait))
        return keys

    def _read_due(self, now: float) -> None:
        if keys := self._due_keys(now):
            self._read(keys)
            self._spent = time.monotonic() - now

    def _heard(self, until: float) -> Collection[str]:
        """`_listen`; all keys if the subscription is lost: reading tells whether the store is."""
        try:
            return self._listen(until)
        except self._source.away:
            logger.debug("the subscription is lost; subscribing again", exc_info=True)
            self.back_by = math.inf
            self._rest(until)
            return list(self._by_key)

    def _listen(self, until: float) -> Collection[str]:
        """Return the pending keys that may have changed."""
        now = time.monotonic()
        if self._due:
            until = min(until, self._due[0][0])
        if self._source.pushes and self._subscription is None:
            until = min(until, now + AFTER_ERROR)
        self.back_by, timeout = until, max(until - now, 0.0)
        if self._subscription is None:
            self._woken.wait(timeout)
            hints: Collection[str] | None = ()
        else:
            hints = self._subscription.wait(timeout)
        self.back_by = math.inf
        if hints is None:
            return list(self._by_key)
        if isinstance(hints, dict):
            return {key: value for key, value in hints.items() if key in self._by_key}
        return [key for key in hints if key in self._by_key]

    def _read(self, keys: Collection[str]) -> None:
        """Deliver those of the keys that are final."""
        if not keys:
            return
        for key, value in self._final(keys):
            for wait in self._by_key.pop(key, ()):
                wait.deliver(key, value)
            self._gone.add(key)
        unsubscribed, self._unsubscribed = self._unsubscribed, None
        if self._subscription is not None:
            self._warned.clear()
        elif unsubscribed is not None:  # else it was an outage, which reading tells of
            self._warn("cannot subscribe; reading until it works", unsubscribed)

    def _final(self, keys: Collection[str]) -> Iterable[Found]:
        """Return the final keys.  A record that cannot be read fails its own waits only."""
        try:
            return self._source.final(keys, self._change if self._curious else None)
        except self._source.away:
            raise
        except Exception:
            found, failed = self._one_by_one(keys)
            if not failed:  # an error that does not recur is not a record's fault
                raise
            for key, reason in failed.items():
                for wait in self._by_key.pop(key, ()):
                    wait.fail(reason)
                self._gone.add(key)
            return found

    def _change(self, key: str, value: bytes) -> None:
        for wait in self._by_key.get(key, ()):
            wait.change(key, value)

    def _one_by_one(self, keys: Collection[str]) -> tuple[list[Found], dict[str, Exception]]:
        found: list[Found] = []
        failed: dict[str, Exception] = {}
        for key in keys:
            try:
                found += self._source.final([key], None)
            except self._source.away:
                raise
            except Exception as reason:  # noqa: BLE001 - whatever a layer raises
                failed[key] = reason
        return found, failed

    def _forget(self, wait: Pending) -> None:
        if self._known is not None:
            self._known.discard(wait)
        self._curious.discard(wait)
        for key in wait.keys & self._by_key.keys():
            self._by_key[key].discard(wait)
            if not self._by_key[key]:
                del self._by_key[key]
                self._gone.add(key)

    def _warn(self, message: str, error: BaseException) -> None:
        """Log a warning once for each outage, then debug messages: there are four each second."""
        known = (message, type(error)) in self._warned
        self._warned.add((message, type(error)))
        logger.log(logging.DEBUG if known else logging.WARNING, message, exc_info=not known)
