"""What one delivery does after its part arrived; `docs/protocol.md` has the rules.

`Store.arrive` takes one turn and never waits.  Here is the rest: waiting while another part's
delivery holds the claim, measuring the lease, publishing, and ending the chord.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from kvbackends.contract.records import Arrival, Offer, Outcome, Part, RankOf
from kvbackends.contract.store import Store

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.25
"""Seconds between two looks at a held chord."""


class Terms(NamedTuple):
    """Times of a chord, in seconds."""

    ttl: float
    """Bookkeeping without activity lives this long."""
    tombstone: float
    """The mark of a dispatched chord lives this long."""
    lease: float
    """A claim watched unchanged for this long is broken."""


class Gathered(NamedTuple):
    """What a dispatch works with."""

    about: bytes
    """What `Store.open_barrier` kept; empty if it has expired or was never written."""
    parts: list[tuple[int, str, bytes]]
    """Place, member and value of each."""
    missing: int
    """How many recorded parts have expired meanwhile: above 0 the values are not complete."""


class Chord:
    """One delivery's way through a barrier, from its arrival to its end.

    `settle` may be called again after an exception (a soft time limit) broke it off: a finished
    publish is not repeated.  `offer` is this delivery's own result where `Store.finish` was given
    one: it is stored last, after the dispatch, because Celery acknowledges the message of a lost
    process once its success can be read.
    """

    def __init__(
        self,
        store: Store,
        part: Part,
        terms: Terms,
        publish: Callable[[Gathered], None],
        *,
        rank_of: RankOf,
        offer: Offer | None = None,
        may_hold: bool = True,
    ) -> None:
        self.store = store
        self.part = part
        self.terms = terms
        self.offer = offer
        self._publish = publish
        self._rank_of = rank_of
        self._may_hold = may_hold
        self._published = False

    def settle(self, arrival: Arrival) -> Arrival:
        """Do what the arrival asks for; returns the last answer.

        HELD is returned only to those who may not hold: somebody has to look again later.
        """
        looked_again = self._published
        while True:
            if self._published or (arrival.outcome is Outcome.CLAIMED and self._dispatch(arrival)):
                self._close()
                return arrival
            if arrival.outcome is Outcome.WAITING and not looked_again:
                return arrival  # `Store.finish` has stored the result
            if arrival.outcome in (Outcome.WAITING, Outcome.CLOSED):
                self._store_result()
                return arrival
            if arrival.outcome is Outcome.HELD and not self._may_hold:
                return arrival
            looked_again = True
            arrival = self._hold(arrival) if arrival.outcome is Outcome.HELD else self._look(None)

    def _dispatch(self, arrival: Arrival) -> bool:
        """Publish, if the claim is still ours after the values were read."""
        parts = list(self.store.parts(self.part.barrier))
        if not self.store.renew(self.part):
            return False
        self._publish(Gathered(arrival.about, parts, max(arrival.parts - len(parts), 0)))
        self._published = True
        return True

    def _close(self) -> None:
        self.store.close_barrier(self.part, self.terms.tombstone, self.offer, self._rank_of)

    def _store_result(self) -> None:
        if self.offer is not None:
            self.store.offer(self.offer, self._rank_of)

    def _hold(self, arrival: Arrival) -> Arrival:
        """Wait until the claim changes, or was seen unchanged for a lease; then look again.

        The lease is measured on this process's monotonic clock: no two clocks are compared.
        """
        holder, since, pause = arrival.holder, time.monotonic(), FIRST_PAUSE
        while arrival.outcome is Outcome.HELD:
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            if arrival.holder != holder:
                holder, since = arrival.holder, time.monotonic()
            expired = time.monotonic() - since >= self.terms.lease
            arrival = self._look(holder if expired else None)
        return arrival

    def _look(self, evict: str | None) -> Arrival:
        return self.store.arrive(self.part, None, self.terms.ttl, evict)
