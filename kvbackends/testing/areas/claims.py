"""Claims and tombstones."""

from kvbackends.contract import Arrival, Rank, Store
from kvbackends.testing.check import Area
from kvbackends.testing.delayed import Waits as Ripening
from kvbackends.testing.tools import (
    CLAIMED,
    CLOSED,
    HELD,
    SHORT,
    TTL,
    WAITING,
    arrive,
    begin,
    close,
    complete,
    gathered,
    offer,
    part,
    publisher,
    rank_of,
    value_at,
)


class Claims(Area):
    """One delivery dispatches."""

    area = "claims"
    rule = "claims"

    def others_are_held(self, store: Store, barrier: str) -> None:
        """While one part's delivery holds the claim, another part's is told whose it is."""
        holder = complete(store, barrier)
        answer = arrive(store, part(barrier, 0))
        assert (answer.outcome, answer.holder) == (HELD, holder.delivery)
        assert store.arrive(publisher(barrier), None, TTL).holder == holder.delivery
        assert store.renew(holder)

    def same_delivery_asks_again(self, store: Store, barrier: str) -> None:
        """A claim whose answer was lost is still the delivery's own."""
        holder = complete(store, barrier)
        assert arrive(store, holder) == Arrival(CLAIMED, parts=2, about=b"about")
        assert store.renew(holder)

    def own_part_takes_over_at_once(self, store: Store, barrier: str) -> None:
        """A redelivered message breaks the claim of its earlier delivery without waiting."""
        holder = complete(store, barrier)
        again = part(barrier, holder.place)
        assert arrive(store, again).outcome is CLAIMED
        assert not store.renew(holder)
        assert store.renew(again)

    def evicting(self, store: Store, barrier: str) -> None:
        """A claim of another part is broken only by who names its holder."""
        holder = complete(store, barrier)
        other = part(barrier, 0)
        assert arrive(store, other, evict="somebody else").outcome is HELD
        assert store.arrive(other, None, TTL, holder.delivery).outcome is CLAIMED
        assert not store.renew(holder)
        assert store.renew(other)
        assert store.arrive(holder, None, TTL).holder == other.delivery

    def evicted_twice(self, store: Store, barrier: str) -> None:
        """Naming a holder that was evicted already breaks nothing."""
        holder = complete(store, barrier)
        first, second = part(barrier, 0), publisher(barrier)
        assert store.arrive(first, None, TTL, holder.delivery).outcome is CLAIMED
        answer = store.arrive(second, None, TTL, holder.delivery)
        assert (answer.outcome, answer.holder) == (HELD, first.delivery)

    def looking_breaks_nothing(self, store: Store, barrier: str) -> None:
        """A delivery that lost its claim to another of its part looks without taking it back.

        Else two that both live would take it from each other for ever.
        """
        holder = complete(store, barrier)
        again = part(barrier, holder.place)
        assert arrive(store, again).outcome is CLAIMED
        answer = store.arrive(holder, None, TTL)
        assert (answer.outcome, answer.holder) == (HELD, again.delivery)
        assert store.renew(again)
        assert store.arrive(holder, None, TTL, again.delivery).outcome is CLAIMED

    def the_size_takes_over_too(self, store: Store, barrier: str) -> None:
        """The publisher's message that comes again breaks the claim of its earlier delivery."""
        store.open_barrier(barrier, b"about", TTL)
        arrive(store, part(barrier, 0))
        first, again = publisher(barrier), publisher(barrier)
        assert store.expect(first, 1, TTL).outcome is CLAIMED
        assert store.expect(again, 1, TTL).outcome is CLAIMED
        assert not store.renew(first)

    def looking_may_claim(self, store: Store, barrier: str) -> None:
        """A look at a complete barrier that nobody holds claims it."""
        begin(store, barrier, 2)
        arrive(store, part(barrier, 0))
        arrive(store, part(barrier, 0, "added later"))
        store.open_barrier(barrier, b"about", TTL)
        assert store.arrive(publisher(barrier), None, TTL).outcome is WAITING

    def nobody_holds_what_was_not_claimed(self, store: Store, barrier: str) -> None:
        """Renewing without a claim is False, with and without a barrier."""
        assert not store.renew(part(barrier, 0))
        begin(store, barrier, 2)
        assert not store.renew(part(barrier, 0))


class Closing(Area):
    """What a dispatch leaves behind."""

    area = "closing"
    rule = "closing"

    def late_arrival(self, store: Store, barrier: str) -> None:
        """After the tombstone every arrival is told so, and nothing it brings is kept."""
        holder = complete(store, barrier)
        close(store, holder)
        assert gathered(store, barrier) == {}
        for late in (part(barrier, 0), part(barrier, 7), publisher(barrier), holder):
            assert arrive(store, late).outcome is CLOSED
            assert store.arrive(late, None, TTL).outcome is CLOSED
        assert store.expect(publisher(barrier), 2, TTL).outcome is CLOSED
        assert gathered(store, barrier) == {}
        assert not store.renew(holder)

    def by_another_connection(self, store: Store, other: Store, barrier: str) -> None:
        """What one connection has closed is closed to another that knew it open."""
        store.open_barrier(barrier, b"", TTL)
        assert arrive(store, part(barrier, 0)).outcome is WAITING
        holder = publisher(barrier)
        assert other.expect(holder, 1, TTL).outcome is CLAIMED
        close(other, holder)
        assert store.arrive(part(barrier, 0), None, TTL).outcome is CLOSED
        assert gathered(store, barrier) == {}

    def again(self, store: Store, barrier: str) -> None:
        """Closing twice is fine: the first answer may have been lost."""
        holder = complete(store, barrier)
        close(store, holder)
        close(store, holder)
        assert arrive(store, holder).outcome is CLOSED

    def whoever_owns_it(self, store: Store, barrier: str) -> None:
        """Who has published closes the barrier, whoever holds the claim by then."""
        holder = complete(store, barrier)
        other = part(barrier, 0)
        assert store.arrive(other, None, TTL, holder.delivery).outcome is CLAIMED
        close(store, holder)
        assert not store.renew(other)
        assert arrive(store, other).outcome is CLOSED

    def stores_the_completing_result(self, store: Store, barrier: str, key: str) -> None:
        """The result of the part that completed the barrier is stored by closing it, ranked."""
        holder = complete(store, barrier)
        done = offer(key, Rank.SUCCEEDED)
        store.close_barrier(holder, TTL, done, rank_of)
        assert value_at(store, key) == done.value
        store.close_barrier(holder, TTL, offer(key, Rank.FAILED), rank_of)
        assert value_at(store, key) == done.value

    def tombstone_expires(self, store: Store, barrier: str) -> Ripening:
        """When the tombstone's time is over the barrier is as if it had never been."""
        holder = complete(store, barrier)
        store.close_barrier(holder, SHORT, None, rank_of)
        yield SHORT
        assert store.arrive(holder, None, TTL).outcome is WAITING
        assert not store.renew(holder)
        begin(store, barrier, 1)
        assert arrive(store, part(barrier, 0)).outcome is CLAIMED

    def expired_parts_are_missed(self, store: Store, barrier: str) -> Ripening:
        """Parts that have expired are left out, and the claim said how many there were."""
        begin(store, barrier, 2)
        store.arrive(part(barrier, 0), b"short", SHORT)
        answer = store.arrive(part(barrier, 1), b"long", TTL)
        yield SHORT
        left = gathered(store, barrier)
        assert left[1, "task-1"] == b"long"
        # A store may renew the whole barrier with each arrival: then nothing is missed.
        assert answer.outcome is WAITING or len(left) <= answer.parts == 2


class Reopening(Area):
    """A new run of the same barrier."""

    area = "reopening"
    rule = "reopening"

    def nothing_earlier_counts(self, store: Store, barrier: str) -> None:
        """A new run has parts, a size and a claim of its own."""
        begin(store, barrier, 3)
        arrive(store, part(barrier, 0))
        arrive(store, part(barrier, 1))
        store.open_barrier(barrier, b"second", TTL)
        assert arrive(store, part(barrier, 2)).outcome is WAITING
        assert store.expect(publisher(barrier), 2, TTL).outcome is WAITING
        answer = arrive(store, part(barrier, 1))
        assert (answer.outcome, answer.parts, answer.about) == (CLAIMED, 2, b"second")
        assert set(gathered(store, barrier)) == {(1, "task-1"), (2, "task-2")}

    def values_are_the_new_runs(self, store: Store, barrier: str) -> None:
        """A part of the new run has the new value, though it is the same part."""
        begin(store, barrier, 1)
        store.arrive(part(barrier, 0), b"old", TTL)
        begin(store, barrier, 1)
        store.arrive(part(barrier, 0), b"new", TTL)
        assert gathered(store, barrier) == {(0, "task-0"): b"new"}

    def after_closing(self, store: Store, barrier: str) -> None:
        """A frozen chord can be applied again after it was dispatched."""
        for _ in range(3):
            close(store, complete(store, barrier))

    def old_claim_is_void(self, store: Store, barrier: str) -> None:
        """Who held the claim of an earlier run neither holds the new one nor closes it."""
        holder = complete(store, barrier)
        begin(store, barrier, 2)
        assert not store.renew(holder)
        close(store, holder)
        assert arrive(store, part(barrier, 0)).outcome is WAITING
        assert arrive(store, part(barrier, 1)).outcome is CLAIMED
        assert len(gathered(store, barrier)) == 2
