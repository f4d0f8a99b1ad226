"""Claims and tombstones."""

from kvbackends.contract import Arrival, Barrier, Outcome, Rank, Store
from kvbackends.testing.check import Area
from kvbackends.testing.delayed import Waits
from kvbackends.testing.tools import (
    CLAIMED,
    CLOSED,
    HELD,
    SHORT,
    TTL,
    UNKNOWN,
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
    value_of,
    within,
)

LONGER = 2
"""A store may keep a barrier longer than its ttl, by an eighth."""


class Claims(Area):
    """Exactly one delivery holds the claim."""

    area = "claims"
    rule = "claims"

    def others_are_held(self, barrier: Barrier) -> None:
        """While one delivery holds the claim, another part's delivery learns its holder."""
        holder = complete(barrier)
        answer = arrive(barrier, part(0))
        assert (answer.outcome, answer.holder) == (HELD, holder.delivery)
        assert barrier.arrive(publisher(), None).holder == holder.delivery
        assert barrier.renew(holder)

    def same_delivery_asks_again(self, barrier: Barrier) -> None:
        """A claim whose answer was lost is still the delivery's own."""
        holder = complete(barrier)
        assert arrive(barrier, holder) == Arrival(CLAIMED, parts=2, payload=b"payload")
        assert barrier.renew(holder)

    def own_part_takes_over_at_once(self, barrier: Barrier) -> None:
        """A redelivery evicts the claim of its part's earlier delivery at once, with all of it."""
        holder = complete(barrier)
        again = part(holder.place)
        assert arrive(barrier, again) == Arrival(CLAIMED, parts=2, payload=b"payload")
        assert not barrier.renew(holder)
        assert barrier.renew(again)

    def evicting(self, barrier: Barrier) -> None:
        """A claim is evicted by another part's delivery only if that names the present holder."""
        holder = complete(barrier)
        other = part(0)
        assert arrive(barrier, other, evict="another delivery").outcome is HELD
        answer = barrier.arrive(other, None, holder.delivery)
        assert answer == Arrival(CLAIMED, parts=2, payload=b"payload")
        assert not barrier.renew(holder)
        assert barrier.renew(other)
        assert barrier.arrive(holder, None).holder == other.delivery

    def evicted_twice(self, barrier: Barrier) -> None:
        """Naming a holder that was already evicted changes nothing."""
        holder = complete(barrier)
        first, second = part(0), publisher()
        assert barrier.arrive(first, None, holder.delivery).outcome is CLAIMED
        answer = barrier.arrive(second, None, holder.delivery)
        assert (answer.outcome, answer.holder) == (HELD, first.delivery)

    def an_arrival_without_value_leaves_the_claim(self, barrier: Barrier) -> None:
        """An arrival without a value does not take the claim back from a redelivery of its part.

        Otherwise two live deliveries of one part would evict each other forever.
        """
        holder = complete(barrier)
        again = part(holder.place)
        assert arrive(barrier, again).outcome is CLAIMED
        answer = barrier.arrive(holder, None)
        assert (answer.outcome, answer.holder) == (HELD, again.delivery)
        assert barrier.renew(again)
        assert barrier.arrive(holder, None, again.delivery).outcome is CLAIMED

    def the_size_takes_over_too(self, barrier: Barrier) -> None:
        """A redelivery of the publisher's size evicts the claim of its earlier delivery."""
        barrier.open(b"payload")
        arrive(barrier, part(0))
        first, again = publisher(), publisher()
        assert barrier.expect(first, 1).outcome is CLAIMED
        answer = barrier.expect(again, 1)
        assert answer == Arrival(CLAIMED, parts=1, payload=b"payload")
        assert not barrier.renew(first)

    def an_arrival_without_value_claims_no_empty_run(self, barrier: Barrier) -> None:
        """An arrival without a value claims nothing in a new run without parts."""
        begin(barrier, 2)
        arrive(barrier, part(0))
        arrive(barrier, part(0, "added later"))
        barrier.open(b"payload")
        assert barrier.arrive(publisher(), None).outcome is WAITING

    def nobody_holds_what_was_not_claimed(self, barrier: Barrier) -> None:
        """Renewing without a claim is False, with and without a barrier."""
        assert not barrier.renew(part(0))
        begin(barrier, 2)
        assert not barrier.renew(part(0))


class Closing(Area):
    """Closing a dispatched barrier leaves a tombstone."""

    area = "closing"
    rule = "closing"

    def late_arrival(self, barrier: Barrier) -> None:
        """After the tombstone every arrival answers CLOSED, and no value of it is kept."""
        holder = complete(barrier)
        close(barrier, holder)
        assert gathered(barrier) == {}
        for late in (part(0), part(7), publisher(), holder):
            assert arrive(barrier, late).outcome is CLOSED
            assert barrier.arrive(late, None).outcome is CLOSED
        assert barrier.expect(publisher(), 2).outcome is CLOSED
        assert gathered(barrier) == {}
        assert not barrier.renew(holder)

    def by_another_connection(self, other: Store, barrier: Barrier) -> None:
        """A barrier that one connection closed is closed for a connection that saw it open."""
        barrier.open(b"")
        assert arrive(barrier, part(0)).outcome is WAITING
        holder = publisher()
        same = other.barrier(barrier.name, TTL)
        assert same.expect(holder, 1).outcome is CLAIMED
        close(same, holder)
        assert barrier.arrive(part(0), None).outcome is CLOSED
        assert gathered(barrier) == {}

    def again(self, barrier: Barrier) -> None:
        """Closing is idempotent: the first answer may have been lost."""
        holder = complete(barrier)
        close(barrier, holder)
        close(barrier, holder)
        assert arrive(barrier, holder).outcome is CLOSED

    def by_a_former_claimant(self, barrier: Barrier) -> None:
        """The delivery that has published may close the barrier after it lost the claim."""
        holder = complete(barrier)
        other = part(0)
        assert barrier.arrive(other, None, holder.delivery).outcome is CLAIMED
        close(barrier, holder)
        assert not barrier.renew(other)
        assert arrive(barrier, other).outcome is CLOSED

    def stores_the_completing_result(self, store: Store, barrier: Barrier, key: str) -> None:
        """The result of the part that completed the barrier is stored by closing it, ranked."""
        holder = complete(barrier)
        done = offer(key, Rank.SUCCEEDED)
        barrier.close(holder, done, rank_of)
        assert value_at(store, key) == done.value
        barrier.close(holder, offer(key, Rank.FAILED), rank_of)
        assert value_at(store, key) == done.value

    def tombstone_expires(self, store: Store, barrier: Barrier) -> Waits:
        """After the tombstone has expired the barrier is as if it had never existed."""
        holder = complete(barrier)
        store.barrier(barrier.name, SHORT).close(holder, None, rank_of)
        yield SHORT
        assert barrier.arrive(holder, None).outcome is UNKNOWN
        assert arrive(barrier, holder).outcome is UNKNOWN
        assert not barrier.renew(holder)
        begin(barrier, 1)
        assert arrive(barrier, part(0)).outcome is CLAIMED

    def late_part_is_not_kept(self, store: Store, barrier: Barrier) -> Waits:
        """A part that arrives after the close is not in a run that begins once it has expired."""

        def late(ttl: float) -> Outcome:
            store.barrier(barrier.name, ttl).close(complete(barrier), None, rank_of)
            return barrier.arrive(part(0), b"late").outcome

        outcome, ttl = within(store, late, calls=8)
        assert outcome is CLOSED
        yield ttl
        if barrier.arrive(part(1), None).outcome is CLOSED:
            return  # the arrival has prolonged the life of the tombstone
        begin(barrier, 1)
        assert arrive(barrier, part(0)).outcome is CLAIMED
        assert gathered(barrier) == {(0, "task-0"): value_of(part(0))}

    def tombstone_has_its_own_ttl(self, store: Store, barrier: Barrier) -> Waits:
        """The tombstone lives for the ttl that it is written with, longer than its barrier's."""

        def closed(ttl: float) -> None:
            barrier.close(complete(store.barrier(barrier.name, ttl), 1), None, rank_of)

        _, ttl = within(store, closed, calls=6)
        yield LONGER * ttl
        assert arrive(barrier, part(0)).outcome is CLOSED

    def expired_parts_are_missed(self, store: Store, barrier: Barrier) -> Waits:
        """Expired parts are not yielded; the claim's answer has the number that had arrived."""

        def arrived(ttl: float) -> Arrival:
            begin(barrier, 2)
            store.barrier(barrier.name, ttl).arrive(part(0), b"short")
            return barrier.arrive(part(1), b"long")

        answer, ttl = within(store, arrived, calls=16)
        yield max(ttl, SHORT)
        left = gathered(barrier)
        assert left in ({(1, "task-1"): b"long"}, {(0, "task-0"): b"short", (1, "task-1"): b"long"})
        # A store may renew the whole barrier with each arrival: then nothing is missed.
        assert answer.outcome is WAITING or len(left) <= answer.parts == 2


class Reopening(Area):
    """A new run of the same barrier."""

    area = "reopening"
    rule = "reopening"

    def nothing_earlier_counts(self, barrier: Barrier) -> None:
        """A new run has parts, a size and a claim of its own."""
        begin(barrier, 2)
        arrive(barrier, part(0))
        barrier.expect_more(part(0), 0, "added")
        barrier.open(b"second")
        for place in (2, 1):
            assert arrive(barrier, part(place)).outcome is WAITING
        assert barrier.expect(publisher(), 3).outcome is WAITING
        answer = arrive(barrier, part(3))
        assert (answer.outcome, answer.parts, answer.payload) == (CLAIMED, 3, b"second")
        assert set(gathered(barrier)) == {(place, f"task-{place}") for place in (1, 2, 3)}

    def values_are_the_new_runs(self, barrier: Barrier) -> None:
        """The same part has a new value in a new run."""
        begin(barrier, 1)
        barrier.arrive(part(0), b"old")
        begin(barrier, 1)
        barrier.arrive(part(0), b"new")
        assert gathered(barrier) == {(0, "task-0"): b"new"}

    def after_closing(self, barrier: Barrier) -> None:
        """A frozen chord can be applied again after it was dispatched."""
        for _ in range(3):
            close(barrier, complete(barrier))

    def old_claim_is_void(self, barrier: Barrier) -> None:
        """The holder of an earlier run's claim neither holds the new run's claim nor closes it."""
        holder = complete(barrier)
        begin(barrier, 2)
        assert not barrier.renew(holder)
        close(barrier, holder)
        assert arrive(barrier, part(0)).outcome is WAITING
        assert arrive(barrier, part(1)).outcome is CLAIMED
        assert len(gathered(barrier)) == 2
