"""Parts that a running task adds."""

import json

from kvbackends.contract import Barrier, Store
from kvbackends.layers.layer import innermost
from kvbackends.testing.check import Area, thorough
from kvbackends.testing.delayed import Waits
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
    latency,
    part,
    publisher,
    value_at,
)

FAST = 0.0003
"""Seconds: a store whose calls are no slower is asked for more parts than it reads at once."""


class Adding(Area):
    """Parts that a running header task adds."""

    area = "adding"
    rule = "adding"

    def waits_for_the_added(self, barrier: Barrier) -> None:
        """A part that was added has to arrive as well."""
        begin(barrier, 2)
        adder = part(0)
        barrier.expect_more(adder, 0, "added")
        assert arrive(barrier, adder).outcome is WAITING
        assert arrive(barrier, part(1)).outcome is WAITING
        answer = arrive(barrier, part(0, "added"))
        assert (answer.outcome, answer.parts) == (CLAIMED, 3)
        assert set(gathered(barrier)) == {(0, "task-0"), (1, "task-1"), (0, "added")}

    def added_arrives_first(self, barrier: Barrier) -> None:
        """The added part may arrive before its adder; it does not stand for a header task."""
        begin(barrier, 2)
        adder = part(0)
        barrier.expect_more(adder, 0, "added")
        assert arrive(barrier, part(0, "added")).outcome is WAITING
        assert arrive(barrier, part(1)).outcome is WAITING
        assert arrive(barrier, adder).outcome is CLAIMED

    def idempotent(self, barrier: Barrier) -> None:
        """The same member of the same slot is expected once, however often it is added."""
        begin(barrier, 1)
        for _ in range(3):
            barrier.expect_more(part(0), 0, "added")
        arrive(barrier, part(0))
        assert arrive(barrier, part(0, "added")).outcome is CLAIMED

    def any_member_fills_the_slot(self, barrier: Barrier) -> None:
        """An adder that ran twice named two members: one of them is enough, and one is yielded."""
        begin(barrier, 1)
        barrier.expect_more(part(0), 0, "first run")
        barrier.expect_more(part(0), 0, "second run")
        arrive(barrier, part(0))
        answer = arrive(barrier, part(0, "second run"))
        assert (answer.outcome, answer.parts) == (CLAIMED, 2)
        assert set(gathered(barrier)) == {(0, "task-0"), (0, "second run")}

    def both_members_arrive(self, barrier: Barrier) -> None:
        """Two members of one slot are one part; neither stands for a header task."""
        begin(barrier, 2)
        for member in ("first run", "second run"):
            barrier.expect_more(part(0), 0, member)
            assert arrive(barrier, part(0, member)).outcome is WAITING
        assert arrive(barrier, part(0)).outcome is WAITING
        answer = arrive(barrier, part(1))
        assert (answer.outcome, answer.parts) == (CLAIMED, 3)
        assert len(gathered(barrier)) == 3

    def slots_are_separate(self, barrier: Barrier) -> None:
        """Two slots of one adder, and the same slot of two adders, are parts of their own."""
        begin(barrier, 2)
        for adder, slot, member in ((0, 0, "a"), (0, 1, "b"), (1, 0, "c")):
            barrier.expect_more(part(adder), slot, member)
        arrivals = [(0, "task-0"), (0, "a"), (1, "c"), (1, "task-1"), (0, "b")]
        outcomes = [arrive(barrier, part(*each)).outcome for each in arrivals]
        assert outcomes == [WAITING] * 4 + [CLAIMED]
        assert set(gathered(barrier)) == set(arrivals)

    def adders_of_one_name(self, barrier: Barrier) -> None:
        """A frozen signature that stands twice in a header adds parts at each of its places."""
        begin(barrier, 2)
        for place, member in ((0, "a"), (1, "b")):
            barrier.expect_more(part(place, "same"), 0, member)
        arrivals = [(0, "same"), (1, "same"), (0, "a"), (1, "b")]
        outcomes = [arrive(barrier, part(*each)).outcome for each in arrivals]
        assert outcomes == [WAITING] * 3 + [CLAIMED]
        assert set(gathered(barrier)) == set(arrivals)

    def before_the_size(self, barrier: Barrier) -> None:
        """Parts that are added before the size is known still count when the size arrives."""
        barrier.open(b"")
        barrier.expect_more(part(0), 0, "added")
        arrive(barrier, part(0))
        assert barrier.expect(publisher(), 1).outcome is WAITING
        assert arrive(barrier, part(0, "added")).outcome is CLAIMED

    def claim_fixes_the_choice(self, barrier: Barrier) -> None:
        """Another member of a filled slot that arrives after the claim changes no value."""
        begin(barrier, 1)
        barrier.expect_more(part(0), 0, "first run")
        barrier.expect_more(part(0), 0, "second run")
        arrive(barrier, part(0))
        assert arrive(barrier, part(0, "second run")).outcome is CLAIMED
        before = gathered(barrier)
        assert arrive(barrier, part(0, "first run")).outcome is HELD
        assert gathered(barrier) == before
        assert arrive(barrier, part(0, "second run")).parts == len(before)
        assert gathered(barrier) == before

    def too_late_to_add(self, barrier: Barrier) -> None:
        """A part that is added after the claim is not expected, and does not count."""
        holder = complete(barrier)
        before = gathered(barrier)
        barrier.expect_more(part(0), 0, "too late")
        assert arrive(barrier, part(0, "too late")).outcome is HELD
        assert gathered(barrier) == before
        assert arrive(barrier, part(holder.place)).parts == len(before)
        assert gathered(barrier) == before

    @thorough
    def while_parts_are_read(self, store: Store, barrier: Barrier) -> None:
        """A part that is added while the claimer reads the parts is not yielded."""
        size = 1_100 if latency(store) < FAST else 60
        complete(barrier, size)
        # Without the retry layer, which reads all parts before it yields the first one.
        bare = innermost(store) if "barrier" in store.native else store
        reading = bare.barrier(barrier.name, TTL).parts()
        listed = [next(reading)[1]]
        for slot in range(30):
            barrier.expect_more(part(0), slot, f"too late {slot}")
            arrive(barrier, part(0, f"too late {slot}"))
        listed += [member for _, member, _ in reading]
        assert sorted(listed) == sorted(f"task-{place}" for place in range(size))

    def after_closing(self, barrier: Barrier) -> None:
        """Adding to a closed barrier changes nothing."""
        close(barrier, complete(barrier))
        barrier.expect_more(part(0), 0, "too late")
        assert arrive(barrier, part(0, "too late")).outcome is CLOSED


class Members(Area):
    """Small sets that grow."""

    area = "members"
    rule = "members"

    def add_member(self, store: Store, key: str) -> None:
        """A set of members grows by one, and an addition again changes nothing."""
        assert store.add_member(key, "a", TTL) == {"a"}
        assert store.add_member(key, "b", TTL) == {"a", "b"}
        assert store.add_member(key, "a", TTL) == {"a", "b"}

    def reads_as_a_list(self, store: Store, key: str) -> None:
        """A set of members can be read as a JSON list, alone and in batches, and deleted."""
        odd = ["", "a:b", 'ключ\n"$.x', "m" * 500]
        for member in odd:
            store.add_member(key, member, TTL)
        assert sorted(json.loads(value_at(store, key))) == sorted(odd)
        assert sorted(json.loads(store.get_batch([key])[key])) == sorted(odd)
        store.delete(key)
        assert store.get(key) is None
        assert store.add_member(key, "again", TTL) == {"again"}

    def expired_set_begins_anew(self, store: Store, key: str) -> Waits:
        """A set that has expired is empty, whether or not the store has removed it yet."""
        store.add_member(key, "old", SHORT)
        yield SHORT
        assert store.add_member(key, "new", TTL) == {"new"}
        assert json.loads(value_at(store, key)) == ["new"]
