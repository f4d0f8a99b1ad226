"""Barriers that count wrongly, keep what they should not, or answer too little."""

import time
from typing import Any

from kvbackends.contract import Arrival, Offer, Outcome, Part, Rank, RankOf
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import Identity, State, World


@caught_by("parts.the_last_claims")
class ForgetsThePayload(ReferenceStore):
    """The claim is answered without the payload."""

    def arrived(self, world: World, barrier: Any, *told: Any) -> Arrival:
        return super().arrived(world, barrier, *told)._replace(payload=b"")


@caught_by("parts.size_at_any_time")
class SizeNeverClaims(ReferenceStore):
    """The size is stored, and nobody looks whether the barrier is complete by it."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def expect(self, part: Part, size: int) -> Arrival:
            super().expect(part, size)
            return Arrival(Outcome.WAITING)


@caught_by("parts.empty_header")
class ZeroIsNoSize(ReferenceStore):
    """``if not size``: a header without tasks is one whose size is not known."""

    class state_type(State):  # noqa: N801
        def chosen(self) -> list[Identity] | None:
            return super().chosen() if self.size else None


@caught_by("parts.odd_members_and_values")
class MembersAreSplit(ReferenceStore):
    """A part's field is "place:member", split at each colon."""

    class state_type(State):  # noqa: N801
        def identity(self, part: Part) -> Identity:
            return part.place, part.member.partition(":")[0]


@caught_by("parts.odd_barrier")
class NamesAreASCII(ReferenceStore):
    """The name of a barrier passes through ASCII."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def open(self, payload: bytes) -> None:
            self.name.encode("ascii")
            super().open(payload)


@caught_by("parts.barriers_do_not_mix")
class NamesLoseTheirNumber(ReferenceStore):
    """The digits at the end of a barrier's name are taken for the number of a shard."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def __init__(self, store: ReferenceStore, name: str, ttl: float | None) -> None:
            super().__init__(store, name.rstrip("0123456789"), ttl)


@caught_by("parts.many_in_random_order")
class FiftyParts(ReferenceStore):
    """A page holds fifty members, and there is one page."""

    class state_type(State):  # noqa: N801
        def record(self, part: Part, value: bytes) -> None:
            if len(self.parts) < 50:
                super().record(part, value)


@caught_by("parts.looking_records_nothing")
class LookingRecords(ReferenceStore):
    """An arrival without a value is recorded with an empty one."""

    def arrived(
        self, world: World, barrier: Any, part: Part, value: bytes | None, evict: str | None
    ) -> Arrival:
        return super().arrived(world, barrier, part, value or b"", evict)


@caught_by("parts.size_may_be_told_again")
class SizesAddUp(ReferenceStore):
    """The size is added to the one that is there (an increment)."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def expect(self, part: Part, size: int) -> Arrival:
            with self.store.world() as world:
                state = world.barrier(self.name)
                return super().expect(part, size + ((state and state.size) or 0))


@caught_by("sizes.whole")
class ValuesStay(ReferenceStore):
    """Closing leaves the values of the parts, which can still be listed."""

    class state_type(State):  # noqa: N801
        def tombstone(self, expires: float) -> State:
            return type(self)(expires, parts=self.parts, size=self.size, done=True)


@caught_by("claims.the_size_takes_over_too")
class SizeLooksOnly(ReferenceStore):
    """The publisher's redelivery brings the size, and is treated as a visit without a part."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def expect(self, part: Part, size: int) -> Arrival:
            with self.store.world() as world:
                state = self.store.opened(world, self.name, self.ttl)
                if state is None or state.size is None:
                    return super().expect(part, size)
                return state.claim(part, None, arrives=False)


@caught_by("claims.an_arrival_without_value_claims_no_empty_run")
class NoSizeIsZero(ReferenceStore):
    """A size that has not come yet counts as zero, and so does the number of parts."""

    class state_type(State):  # noqa: N801
        def chosen(self) -> list[Identity] | None:
            return super().chosen() if self.size is not None or self.parts else []


@caught_by("claims.nobody_holds_what_was_not_claimed")
class NoHolderIsEverybody(ReferenceStore):
    """Renewing succeeds unless another delivery holds the claim."""

    class state_type(State):  # noqa: N801
        def held_by(self, part: Part) -> bool:
            return self.holder is None or super().held_by(part)


@caught_by("reopening.values_are_the_new_runs")
class OldValuesStay(ReferenceStore):
    """Values are stored under a name without the run, if there is none yet."""

    class state_type(State):  # noqa: N801
        values: dict[Identity, bytes] | None = None

        def record(self, part: Part, value: bytes) -> None:
            self.values = {} if self.values is None else self.values
            super().record(part, self.values.setdefault(self.identity(part), value))

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def open(self, payload: bytes) -> None:
            with self.store.world() as world:
                before: Any = world.barriers.get(self.name)
                super().open(payload)
                now: Any = world.barriers[self.name]
                now.values = before.values if before else None


@caught_by("reopening.after_closing")
class ClosedForEver(ReferenceStore):
    """A barrier that was closed once is not opened again."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def open(self, payload: bytes) -> None:
            with self.store.world() as world:
                state = world.barrier(self.name)
                if state is None or not state.done:
                    super().open(payload)


class CountsAll(State):
    """Every part counts, whatever was added."""

    def chosen(self) -> list[Identity] | None:
        return None if self.size is None or len(self.parts) < self.size else list(self.parts)


@caught_by("adding.waits_for_the_added")
class AddsNothing(ReferenceStore):
    """What is added after the size is known is not waited for."""

    class state_type(State):  # noqa: N801
        def add(self, part: Part, slot: int, member: str) -> None:
            if self.size is None:
                super().add(part, slot, member)


@caught_by("adding.added_arrives_first")
class AddedStandsForATask(ReferenceStore):
    """An added part counts as one of the header's."""

    state_type = CountsAll


@caught_by("adding.both_members_arrive")
class EachMemberIsExpected(ReferenceStore):
    """Each member of a slot is waited for."""

    class state_type(State):  # noqa: N801
        def add(self, part: Part, slot: int, member: str) -> None:
            self.slots.setdefault(f"{slot}:{member}", []).append(member)


@caught_by("adding.slots_are_separate")
class OneSlotForEachAdder(ReferenceStore):
    """A slot is known by its adder, without its number."""

    class state_type(State):  # noqa: N801
        def add(self, part: Part, slot: int, member: str) -> None:
            super().add(part, 0, member)


@caught_by("adding.claim_fixes_the_choice")
class LatestMemberIsChosen(ReferenceStore):
    """Of the members of a slot the one that arrived last is yielded, also after the claim."""

    class state_type(State):  # noqa: N801
        def first(self, members: list[str]) -> Identity | None:
            return next((each for each in reversed(self.parts) if each[1] in members), None)


@caught_by("adding.after_closing")
class AddingReopens(ReferenceStore):
    """Adding to a closed barrier makes a new record of it (an upsert)."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def expect_more(self, part: Part, slot: int, member: str) -> None:
            with self.store.world() as world:
                state = world.barrier(self.name)
                if state is not None:
                    state.done = False
            super().expect_more(part, slot, member)


class ClaimsLater(ReferenceBarrier):
    """Records in one step, and claims in a second one that does not look for a holder."""

    def claimed(self, part: Part) -> Arrival:
        time.sleep(0.02)  # longer than a thread waits for its turn on a busy machine
        with self.store.world() as world:
            state = self.store.opened(world, self.name, self.ttl)
            chosen = state.chosen() if state else None
            if state is None or chosen is None:
                return Arrival(Outcome.WAITING)
            state.holder = part
            return Arrival(Outcome.CLAIMED, parts=len(chosen))


@caught_by("threads.one_claims")
class LastTwoClaim(ReferenceStore):
    """A part is recorded in one step, and the claim made in another, without a condition."""

    class barrier_type(ClaimsLater):  # noqa: N801
        def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
            with self.store.world() as world:
                state = self.store.opened(world, self.name, self.ttl)
                assert state is not None
                state.record(part, value or b"")
            return self.claimed(part)


@caught_by("threads.the_size_races_too")
class SizeClaimsBesides(ReferenceStore):
    """The size is stored in one step, and the claim made in another, without a condition."""

    class barrier_type(ClaimsLater):  # noqa: N801
        def expect(self, part: Part, size: int) -> Arrival:
            with self.store.world() as world:
                state = self.store.opened(world, self.name, self.ttl)
                assert state is not None
                state.size = size
            return self.claimed(part)

        def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
            answer = super().arrive(part, value, evict)
            return self.claimed(part) if answer.outcome is Outcome.HELD else answer


@caught_by("threads.one_evicts")
class EvictsByAnyName(ReferenceStore):
    """Evicting takes the claim from its present holder, whichever was named."""

    class state_type(State):  # noqa: N801
        def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
            return evict is not None or super().breaks(holder, part, evict, arrives=arrives)


class Finishes(ReferenceBarrier):
    """Stores a success if `stores` says so."""

    def stores(self, outcome: Outcome) -> bool:
        return outcome is Outcome.WAITING

    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        with self.store.world() as world:
            arrival = self.store.arrived(world, self, part, offer.value, evict)
            if offer.rank is not Rank.SUCCEEDED or self.stores(arrival.outcome):
                self.store.ranked(world, offer, rank_of)
            return arrival


@caught_by("finishing.waiting")
class FinishOnlyArrives(ReferenceStore):
    """`finish` records the part, and leaves each success to the end."""

    class barrier_type(Finishes):  # noqa: N801
        def stores(self, outcome: Outcome) -> bool:
            return False


@caught_by("finishing.held")
class StoresWhileHeld(ReferenceStore):
    """A success is stored unless its own delivery has claimed."""

    class barrier_type(Finishes):  # noqa: N801
        def stores(self, outcome: Outcome) -> bool:
            return outcome in {Outcome.WAITING, Outcome.HELD}


@caught_by("finishing.closed")
class StoresWhenClosed(ReferenceStore):
    """A success that comes after the tombstone is stored by the barrier."""

    class barrier_type(Finishes):  # noqa: N801
        def stores(self, outcome: Outcome) -> bool:
            return outcome in {Outcome.WAITING, Outcome.CLOSED}


@caught_by("finishing.first_part_stays")
class FailureReplacesThePart(ReferenceStore):
    """A failure replaces the value of its part (an upsert of both rows)."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def finish(
            self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
        ) -> Arrival:
            with self.store.world() as world:
                state = world.barrier(self.name)
                if state is not None and offer.rank is Rank.FAILED:
                    state.parts.pop(state.identity(part), None)
                return super().finish(part, offer, rank_of, evict)


@caught_by("histories.arrive")
class NobodyClaims(ReferenceStore):
    """The answer is always that parts are missing."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
            super().arrive(part, value, evict)
            return Arrival(Outcome.WAITING)
