"""Waiting for final values of keys, as leader and followers.

A waiter that finds no leader leads: it listens and reads for all waits of its process.  The others
sleep.  When the leader has what it wants, or its time is over, it wakes another waiter, which leads
next.  So a sole waiter needs no other thread, and several need no thread switch for each result.

A background thread leads while there are only waits with callbacks.  It also closes the
subscription some time after the last wait, and replaces a leader that does not come back.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Self

from kvbackends.contract.deadline import within
from kvbackends.contract.store import Store
from kvbackends.protocol.leader import Lead
from kvbackends.protocol.pending import Pace, Pending
from kvbackends.protocol.source import Source

READING: Pace = (0.001, 0.1, 1.25)
"""For stores that cannot push: the reads are the only news."""
SAFETY: Pace = (0.02, 2.0, 1.5)
"""For stores that push."""
LINGER = 1.0
"""Seconds that the background thread and the subscription outlive the last wait."""
SHORTEST = 0.5
"""Seconds that a read has at least, so that the end of a wait cuts no connection in use."""
RETURN = 1.0
"""Seconds after which an overdue leader is replaced: a signal's handler may hold it up."""


class Wait(Pending):
    """One wait for some keys, made by `Waiters.wait_for`."""

    def __init__(
        self,
        waiters: "Waiters",
        keys: Iterable[str],
        pace: Pace = SAFETY,
        notify: Callable[[], None] | None = None,
        *,
        changes: bool = False,
    ) -> None:
        super().__init__(keys, pace, notify, changes=changes)
        self.thread = 0
        self.is_background = False
        self._waiters = waiters

    def take(self, timeout: float) -> list[tuple[str, bytes]]:
        """Return the values found since the last call; empty after `timeout` seconds without any.

        Raises the error that makes reading impossible; an outage of the store is waited out.
        """
        if timeout > 0 and not self.has_news():
            self._waiters.sleep(self, timeout)
        if self.error is not None:
            raise self.error
        return [self.found.popleft() for _ in range(len(self.found))]

    def close(self) -> None:
        """End the wait.  Takes no lock and does no I/O: finalisers call it."""
        self.closed = True
        self._waiters.forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Waiters:
    """The waits of one process on one store.

    An exception of a signal's handler may end a leader at any moment.  So each step that must not
    be lost is a statement without a call, or a single call in C, between which no handler runs.

    Args:
        store: Read and subscribed to.
        is_final: Tells whether a stored value ends the wait for its key.
        is_settled: Tells whether a value that a notification brings need not be read: it yields to
            nothing, and no layer makes other bytes of it.
    """

    def __init__(
        self,
        store: Store,
        is_final: Callable[[bytes], bool],
        is_settled: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._source = Source(store, is_final, is_settled)
        self._open: dict[int, Wait] = {}
        self._callbacks: dict[int, Wait] = {}
        self._asleep: dict[int, Wait] = {}
        self._standby: dict[int, Standby] = {}
        self._lead = Lead(self._source, self._open)
        self._latest = 0.0
        self._closed = False

    def wait_for(
        self,
        keys: Iterable[str],
        notify: Callable[[], None] | None = None,
        *,
        changes: bool = False,
    ) -> Wait:
        """Begin to wait; values that are already final are found, too.

        With `changes`, `Wait.take` also returns each other value that a read has found changed.
        Without `notify`, the waiter calls `Wait.take`, and may lead there.  With it, `notify` is
        called from any thread when `Wait.take` has something to return.
        """
        pace = SAFETY if self._source.pushes else READING
        wait = Wait(self, keys, pace, notify, changes=changes)
        try:
            number, self._latest = id(wait), time.monotonic()
            self._open[number] = wait
            if notify is not None:
                self._callbacks[number] = wait
            self._lead.opened.append(wait)
            if not self._standby:
                self._start()
            if self._lead.leader:
                self._lead.wake()
            elif notify is not None:
                self._pass_on()
        except BaseException:  # a signal's too: the caller, without the wait, cannot close it
            wait.close()
            raise
        return wait

    def failed(self, error: BaseException) -> None:
        """Remember that a read outside of `Wait` found the store away."""
        self._source.outage = error

    def trouble(self) -> str:
        """Say why nothing can be read at present; empty if the store answers."""
        return self._source.trouble()

    def forget(self, wait: Wait) -> None:
        """Remove `wait`, which then receives nothing more.  Takes no lock and does no I/O."""
        self._open.pop(id(wait), None)
        self._callbacks.pop(id(wait), None)
        self._lead.closed.append(wait)

    def close(self) -> None:
        """End the background thread and the subscription soon; open waits get nothing more."""
        self._closed = True
        self._lead.wake()
        for standby in list(self._standby.values()):
            standby.wait.signal.set()

    def abandon(self) -> None:
        """In a forked child: leave the parent's subscription alone."""
        self._closed = True
        self._lead.abandon()

    def sleep(self, wait: Wait, timeout: float) -> None:
        """Lead or follow until there is news for `wait`, at most for `timeout` seconds."""
        until, number = time.monotonic() + timeout, id(wait)
        wait.thread = threading.get_ident()
        try:
            while not wait.has_news() and (left := until - time.monotonic()) > 0:
                if not wait.is_background:  # before looking for a leader, which passes the lead on
                    self._asleep[number] = wait
                if not self._led(wait, until):
                    wait.signal.wait(left)
        finally:
            if number in self._asleep:
                del self._asleep[number]
            self._pass_on()

    def stand_by(self, standby: "Standby") -> bool:
        """Do the background thread's work for about a second; False when the thread may end."""
        try:
            if self._callbacks:
                self.sleep(standby.wait, LINGER)
            else:
                standby.wait.signal.wait(LINGER)
        except Exception as error:  # noqa: BLE001 - every wait with a callback fails with it
            for wait in list(self._callbacks.values()):
                wait.close()
                wait.fail(error)
        for wait in list(self._open.values()):
            if wait.closed:  # its `close` was interrupted before `forget`
                self.forget(wait)
        if time.monotonic() > self._lead.back_by + RETURN:
            self._replaced(self._lead)
        if not self._lead.leader:  # the waiter that should lead may be held up, too
            for wait in list(self._asleep.values()):
                wait.signal.set()
        return not self._retires(standby)

    def _led(self, wait: Wait, until: float) -> bool:
        """Lead until there is news for `wait`, or `until`; False if there is a leader already."""
        lead = self._usable()
        try:
            if not self._may_lead(wait, lead) or lead.leader.setdefault(0, wait) is not wait:
                return False
            self._asleep.pop(id(wait), None)
            lead.is_sound = False
            while self._may_lead(wait, lead) and not wait.has_news() and time.monotonic() < until:
                within(_bound(wait, until), lead.turn, wait, until)
            lead.is_sound = True
            return True
        finally:
            try:  # without a call, after which a handler might run
                if lead.leader[0] is wait:
                    del lead.leader[0]
            except KeyError:
                pass
            if lead is not self._lead or self._closed:
                lead.close()

    def _may_lead(self, wait: Wait, lead: Lead) -> bool:
        if self._closed or lead is not self._lead:
            return False
        return not (wait.is_background and self._asleep)

    def _usable(self) -> Lead:
        """The lead; a new one where an exception, or a signal's handler, interrupted the leader."""
        lead = self._lead
        leader = lead.leader.get(0)
        if leader is None:
            return lead if lead.is_sound else self._replaced(lead)
        # A leader in this very thread: the present code is in a signal's handler.
        return self._replaced(lead) if leader.thread == threading.get_ident() else lead

    def _replaced(self, lead: Lead) -> Lead:
        """A new lead.  The last to use the old one closes it: its leader, if it still has one."""
        if self._lead is lead:
            self._lead = Lead(self._source, self._open)
        lead.wake()
        if not lead.leader:
            lead.close()
        return self._lead

    def _pass_on(self) -> None:
        """Wake a waiter that leads next, if there is no leader."""
        if self._lead.leader:
            return
        for wait in list(self._asleep.values()):
            wait.signal.set()
            return
        if self._callbacks:
            for standby in list(self._standby.values()):
                standby.wait.signal.set()

    def _start(self) -> None:
        standby = Standby(self)
        try:
            if self._standby.setdefault(0, standby) is standby:
                standby.start()
        except BaseException:  # no thread available, or a signal's exception: the next wait retries
            if self._standby.get(0) is standby:
                del self._standby[0]
            raise

    def _retires(self, standby: "Standby") -> bool:
        """True if the background thread may end; it has closed the subscription then."""
        if self._standby.get(0) is not standby:
            return True
        idle = not self._open and time.monotonic() - self._latest >= LINGER
        if not (idle or self._closed):
            return False
        # Give up the place before looking again: a wait that begins now starts another thread.
        del self._standby[0]
        if self._open and not self._closed:
            return self._standby.setdefault(0, standby) is not standby
        lead = self._lead
        if lead.leader.setdefault(0, standby.wait) is standby.wait:
            self._lead = Lead(self._source, self._open)  # the old one knows the keys of before
            lead.close()
            del lead.leader[0]
        self._pass_on()
        return True


def _bound(leader: Wait, until: float) -> float:
    """Seconds that the store has to answer a leader: its wait ends at `until`."""
    return math.inf if leader.is_background else max(until - time.monotonic(), SHORTEST)


class Standby(threading.Thread):
    """The background thread."""

    def __init__(self, waiters: Waiters) -> None:
        super().__init__(name="kvbackends-waiting", daemon=True)
        self.wait = Wait(waiters, ())
        self.wait.is_background = True
        self._waiters = waiters

    def run(self) -> None:
        """Stand by until there is no wait for `LINGER` seconds."""
        while self._waiters.stand_by(self):
            pass
