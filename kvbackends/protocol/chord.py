"""Takes one delivery from its part's arrival to the end of the chord.

`Barrier.arrive` never waits.  This module waits while another part's delivery holds the claim,
measures the lease, publishes and closes.  `docs/protocol.md` has the rules.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from kvbackends.contract.records import Arrival, Offer, Outcome, Part, RankOf
from kvbackends.contract.store import Store

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.25
"""Seconds between two reads of a barrier that another delivery has claimed."""


class Terms(NamedTuple):
    """Times of a chord, in seconds."""

    ttl: float
    """A barrier without arrivals is kept this long."""
    tombstone: float
    """The tombstone of a dispatched chord is kept this long."""
    lease: float
    """A claim that was seen unchanged for this long is evicted."""


class Gathered(NamedTuple):
    """The input of a dispatch."""

    payload: bytes
    """The payload that `Barrier.open` stored; empty if it has expired or was never written."""
    parts: list[tuple[int, str, bytes]]
    """Place, member and value of each."""
    missing: int
    """The number of claimed parts that have expired: above 0 the values are incomplete."""


class Chord:
    """One delivery's way through a barrier.

    `settle` may be called again after an exception (a soft time limit) interrupted it: a finished
    publish is not repeated.  `offer` is this delivery's own result where `Barrier.finish` was given
    one: it is stored last, after the dispatch, because Celery acknowledges the message of a lost
    process once its success can be read.  `on_unknown` is called before that, where the barrier
    was never opened or has expired.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        part: Part,
        terms: Terms,
        publish: Callable[[Gathered], None],
        *,
        on_unknown: Callable[[], None] = lambda: None,
        rank_of: RankOf,
        offer: Offer | None = None,
        may_wait: bool = True,
    ) -> None:
        self.store = store
        self.name = name
        self.part = part
        self.terms = terms
        self.offer = offer
        self._barrier = store.barrier(name, terms.ttl)
        self._publish = publish
        self._on_unknown = on_unknown
        self._rank_of = rank_of
        self._may_wait = may_wait
        self._published = False

    def settle(self, arrival: Arrival) -> Arrival:
        """Dispatch, wait or store the result, as the outcome demands; return the last answer.

        HELD is returned only if this delivery may not wait: another one has to arrive later.
        """
        arrived_again = self._published
        while True:
            if self._published or (arrival.outcome is Outcome.CLAIMED and self._dispatch(arrival)):
                self._close()
                return arrival
            if arrival.outcome is Outcome.WAITING and not arrived_again:
                return arrival  # `Barrier.finish` has stored the result
            if arrival.outcome in (Outcome.WAITING, Outcome.CLOSED):
                self._store_result()
                return arrival
            if arrival.outcome is Outcome.UNKNOWN:
                self._on_unknown()
                self._store_result()
                return arrival
            if arrival.outcome is Outcome.HELD and not self._may_wait:
                return arrival
            arrived_again = True
            is_held = arrival.outcome is Outcome.HELD
            arrival = self._wait_for_claim(arrival) if is_held else self._arrive_again(None)

    def _dispatch(self, arrival: Arrival) -> bool:
        """Publish, if this delivery still has the claim after the values were read."""
        parts = list(self._barrier.parts())
        if not self._barrier.renew(self.part):
            return False
        self._publish(Gathered(arrival.payload, parts, max(arrival.parts - len(parts), 0)))
        self._published = True
        return True

    def _close(self) -> None:
        barrier = self.store.barrier(self.name, self.terms.tombstone)
        barrier.close(self.part, self.offer, self._rank_of)

    def _store_result(self) -> None:
        if self.offer is not None:
            self.store.offer(self.offer, self._rank_of)

    def _wait_for_claim(self, arrival: Arrival) -> Arrival:
        """Wait until the claim changes, or was unchanged for a lease; return the next arrival.

        The lease is measured on this process's monotonic clock: no two clocks are compared.
        """
        holder, since, pause = arrival.holder, time.monotonic(), FIRST_PAUSE
        while arrival.outcome is Outcome.HELD:
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            if arrival.holder != holder:
                holder, since = arrival.holder, time.monotonic()
            expired = time.monotonic() - since >= self.terms.lease
            arrival = self._arrive_again(holder if expired else None)
        return arrival

    def _arrive_again(self, evict: str | None) -> Arrival:
        return self._barrier.arrive(self.part, None, evict)
