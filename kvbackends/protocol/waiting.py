"""Waiting for final values of keys: one owner thread looks, everybody else sleeps on events.

A notification is a hint, but for a success that it brings.  While anything is pending, all pending
keys are read again in batches, quickly at first, then less often; so a lost notification costs
milliseconds and never a hang.

Who waits alone in a process listens itself: two threads would have to take turns for each result.
The owner lends it the subscription, and goes on to read what is due; before anything else is done
with the subscription, it takes it back.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection

from kvbackends.contract.derived import get_many
from kvbackends.contract.records import Feature
from kvbackends.contract.store import Store
from kvbackends.errors import StoreError
from kvbackends.layers.retry import at_most
from kvbackends.protocol.owner import Owner
from kvbackends.protocol.wait import READING, SAFETY, Found, Wait


class Hub:
    """The waits of one process on one store, and the thread that serves them.

    Args:
        store: The waits' store.
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
        self.store = store
        self.pushes = Feature.PUSH in store.features
        self.recoverable: tuple[type[BaseException], ...] = (StoreError, *store.transient_errors)
        self.closed: deque[Wait] = deque()
        """Waits that are over, and that the owner has not forgotten yet."""
        self._is_final = is_final
        self._is_settled = is_settled
        self._lock = threading.Lock()
        self._opened: deque[Wait] = deque()
        self._owner: Owner | None = None

    def wait_for(self, keys: Collection[str], notify: Callable[[], None] | None = None) -> Wait:
        """Begin to wait; values that are final already are delivered too."""
        wait = Wait(keys, SAFETY if self.pushes else READING, notify, self._ask, self.closed)
        try:
            with self._lock:
                self._opened.append(wait)
                if self._owner is None:
                    self._start()
                else:
                    self._owner.wake()
        except BaseException:  # a signal's too: who does not get the wait cannot close it
            wait.close()
            raise
        return wait

    def close(self) -> None:
        """End the thread soon; waits that are open get nothing more."""
        with self._lock:
            owner = self._owner
        if owner is not None:
            owner.stopping = True
            owner.wake()

    def abandon(self) -> None:
        """In a forked child: nobody here uses what the parent listens on."""
        owner, self._owner = self._owner, None
        if owner is not None and owner.borrower is not None and owner.borrower.loan is not None:
            owner.borrower.loan.abandon()

    def final(self, keys: Collection[str], longest: float | None = None) -> Found:
        """Those of the keys whose values are final: read, unless `keys` tells a settled one.

        A store that is away is asked again for `longest` seconds: who listens has a timeout.
        """
        told = keys if isinstance(keys, dict) else {}
        settled = [(key, value) for key, value in told.items() if value and self._is_settled(value)]
        if len(settled) == len(keys):
            return settled
        known = dict(settled)
        unknown = [key for key in keys if key not in known]
        if longest is None:
            read = get_many(self.store, unknown)
        else:
            with at_most(seconds=max(longest, 0.0)):
                read = list(get_many(self.store, unknown))
        return settled + [(key, value) for key, value in read if self._is_final(value)]

    def take_opened(self) -> list[Wait]:
        """The waits that were opened since the last call."""
        return [self._opened.popleft() for _ in range(len(self._opened))]

    def retire(self, owner: Owner) -> bool:
        """True if the owner may end: nobody has come meanwhile."""
        with self._lock:
            if self._opened and not owner.stopping:
                return False
            if self._owner is owner:
                self._owner = None
            return True

    def _start(self) -> None:
        owner = self._owner = Owner(self)
        try:
            owner.start()
        except BaseException:  # there is no thread to be had, or a signal's: whoever is next tries
            owner.stopping, self._owner = True, None
            raise

    def _ask(self, wait: Wait) -> None:
        owner = self._owner
        if owner is not None and owner.alone is wait:
            owner.wake()
