"""Barriers that count wrongly."""

import itertools
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kvbackends.contract import (
    Arrival,
    Barrier,
    Offer,
    Outcome,
    Part,
    Rank,
    RankOf,
    StoreURL,
    finish_in_steps,
)
from tests.broken_stores.reference import FileStore, ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import Identity, State, World


@dataclass
class _CountingDeliveries(State):
    deliveries: int = 0

    def record(self, part: Part, value: bytes) -> None:
        super().record(part, value)
        self.deliveries += 1

    def chosen(self) -> list[Identity] | None:
        enough = self.size is not None and self.deliveries >= self.size + len(self.slots)
        return super().chosen() or (list(self.parts) if enough else None)


@caught_by("parts.never_opened")
class BeginsOnArrival(ReferenceStore):
    """A part whose barrier has expired begins another one, and waits for parts that were lost."""

    def opened(self, world: World, name: str, ttl: float | None) -> State:
        world.barriers.setdefault(name, self.state_type(self.expires(ttl)))
        found = super().opened(world, name, ttl)
        return found or self.state_type(self.expires(ttl))


@caught_by("finishing.never_opened")
class StoresWhatReturnsToNothing(ReferenceStore):
    """`finish` stores a success that finds no barrier: its redelivery cannot fail the chord."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def finish(
            self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
        ) -> Arrival:
            arrival = super().finish(part, offer, rank_of, evict)
            if arrival.outcome is Outcome.UNKNOWN:
                self.store.offer(offer, rank_of)
            return arrival


@caught_by("parts.duplicates_count_once")
class CountsDeliveries(ReferenceStore):
    """A counter goes up with each arrival, also with the same part's second (Celery's own bug)."""

    state_type = _CountingDeliveries


_COMING = bytes([0, *b"coming"])
"""Stands for a value that is counted and not yet there."""


@dataclass
class _CountingFirst(State):
    def record(self, part: Part, value: bytes) -> None:
        super().record(part, _COMING)

    def listed(self) -> list[tuple[Identity, bytes]]:
        return [(each, value) for each, value in super().listed() if value is not _COMING]


@caught_by("threads.claimer_sees_all")
class CountsBeforeItRecords(ReferenceStore):
    """The count goes up first and the value is stored afterwards: the claimer misses one."""

    state_type = _CountingFirst

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def finish(
            self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
        ) -> Arrival:
            return finish_in_steps(self, self.store, part, offer, rank_of, evict)

        def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
            answer = super().arrive(part, value, evict)
            time.sleep(random.uniform(0, 0.01))
            with self.store.world() as world:
                state = world.barrier(self.name)
                if value is not None and state is not None:
                    self.store_late(state, state.identity(part), value)
            return answer

        def store_late(self, state: State, identity: Identity, value: bytes) -> None:
            if state.parts.get(identity) is _COMING:
                state.parts[identity] = value


@caught_by("parts.first_value_stays")
class LastValueStays(ReferenceStore):
    """A part that is delivered again brings another value, after the first may have been read."""

    @dataclass
    class state_type(State):  # noqa: N801 - the name that the store asks for
        def record(self, part: Part, value: bytes) -> None:
            self.parts[self.identity(part)] = value


@caught_by("parts.first_value_stays_after_the_claim")
class LastValueStaysAfterTheClaim(ReferenceStore):
    """What is delivered again after the claim replaces the part: a second publish differs."""

    @dataclass
    class state_type(State):  # noqa: N801
        def record(self, part: Part, value: bytes) -> None:
            if self.holder is not None:
                self.parts[self.identity(part)] = value
            super().record(part, value)


@caught_by("parts.two_members_at_one_place")
class PlaceIsIdentity(ReferenceStore):
    """Parts are identified by their place in the header, which `add_to_chord` repeats."""

    @dataclass
    class state_type(State):  # noqa: N801
        def record(self, part: Part, value: bytes) -> None:
            if part.place not in {place for place, _ in self.parts}:
                super().record(part, value)


@caught_by("parts.one_member_at_two_places")
class MemberIsIdentity(ReferenceStore):
    """Parts are identified by the task's id, which a frozen signature has twice in a header."""

    @dataclass
    class state_type(State):  # noqa: N801
        def record(self, part: Part, value: bytes) -> None:
            if part.member not in {member for _, member in self.parts}:
                super().record(part, value)


@caught_by("sizes.above_a_page")
class PartsTruncated(ReferenceStore):
    """The read of the parts ends with the first page of 1,000."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def parts(self) -> Iterator[tuple[int, str, bytes]]:
            return itertools.islice(super().parts(), 1000)


@caught_by("sizes.hundreds")
class PartsTruncatedEarly(ReferenceStore):
    """The read of the parts ends with the first page of 256."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def parts(self) -> Iterator[tuple[int, str, bytes]]:
            return itertools.islice(super().parts(), 256)


@caught_by("kills.at_each_step")
class PartsAreBuffered(FileStore):
    """A part that does not complete its barrier is sent together with the next call."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.buffered: list[tuple[Barrier, Part, bytes]] = []

    @contextmanager
    def world(self) -> Iterator[World]:
        with super().world() as world:
            for barrier, part, value in self.buffered:
                super().arrived(world, barrier, part, value, None)
            self.buffered.clear()
            yield world

    def arrived(
        self,
        world: World,
        barrier: Barrier,
        part: Part,
        value: bytes | None,
        evict: str | None,
    ) -> Arrival:
        state = world.barrier(barrier.name)
        if state is None or value is None or state.arrived() + 1 >= (state.size or 0):
            return super().arrived(world, barrier, part, value, evict)
        self.buffered.append((barrier, part, value))
        return Arrival(Outcome.WAITING)


@caught_by("adding.before_the_size")
class SizeResetsExtras(ReferenceStore):
    """`expect` writes the whole record, and parts that were added before are lost."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def expect(self, part: Part, size: int) -> Arrival:
            with self.store.world() as world:
                state = world.barrier(self.name)
                if state is not None:
                    state.slots.clear()
            return super().expect(part, size)


@caught_by("adding.idempotent")
class AddsEachTime(ReferenceStore):
    """Each message that adds a part expects one more, also the same message again."""

    @dataclass
    class state_type(State):  # noqa: N801
        def add(self, part: Part, slot: int, member: str) -> None:
            super().add(part, slot + 100 * len(self.slots), member)


@caught_by("adding.adders_of_one_name")
class SlotsOfAMember(ReferenceStore):
    """A slot is named after the adder's task id, which a frozen signature has twice in a header."""

    @dataclass
    class state_type(State):  # noqa: N801
        def add(self, part: Part, slot: int, member: str) -> None:
            super().add(part._replace(place=0), slot, member)


@caught_by("adding.any_member_fills_the_slot")
class EveryMemberExpected(ReferenceStore):
    """An adder that ran twice is waited for twice: its first run's part never comes."""

    @dataclass
    class state_type(State):  # noqa: N801
        def add(self, part: Part, slot: int, member: str) -> None:
            super().add(part._replace(member=member), slot, member)


@caught_by("adding.too_late_to_add")
class AddsAfterTheClaim(ReferenceStore):
    """A part that is added during the dispatch changes the number of parts that it counted."""

    @dataclass
    class state_type(State):  # noqa: N801
        def add(self, part: Part, slot: int, member: str) -> None:
            holder, self.holder = self.holder, None
            super().add(part, slot, member)
            self.holder = holder


@caught_by("adding.while_parts_are_read")
class ListsInSteps(ReferenceStore):
    """The parts are read in pages, and what is no part of the header is asked for only once."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def parts(self) -> Iterator[tuple[int, str, bytes]]:
            wanted = {(place, member) for place, member, _ in super().parts()}
            seen = set(self.recorded()) - wanted
            while page := {each: v for each, v in self.recorded().items() if each not in seen}:
                for each, value in list(page.items())[:50]:
                    seen.add(each)
                    yield *each, value

        def recorded(self) -> dict[Identity, bytes]:
            with self.store.world() as world:
                state = world.barrier(self.name)
                return dict(state.parts) if state else {}


@caught_by("reopening.nothing_earlier_counts")
class OldPartsCount(ReferenceStore):
    """Opening a barrier again keeps the parts of its last run."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def open(self, payload: bytes) -> None:
            with self.store.world() as world:
                old = world.barrier(self.name)
                super().open(payload)
                if old is not None:
                    world.barriers[self.name].parts = old.parts


@caught_by("finishing.completing")
class SuccessTooEarly(ReferenceStore):
    """`finish` stores the completing success at once: a crash now loses the chord for ever."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def finish(
            self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
        ) -> Arrival:
            self.store.offer(offer, rank_of)
            return super().finish(part, offer, rank_of, evict)


@caught_by("finishing.failure_is_stored_first")
class FailureTooLate(ReferenceStore):
    """`finish` keeps a failure that completes the barrier back, as it does a success."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def finish(
            self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
        ) -> Arrival:
            arrival = self.arrive(part, offer.value, evict)
            if arrival.outcome is Outcome.WAITING:
                self.store.offer(offer, rank_of)
            return arrival


@caught_by("finishing.rank_holds")
class FinishSetsUnranked(ReferenceStore):
    """`finish` sets the result without asking for ranks: a late failure replaces a success."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def finish(
            self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
        ) -> Arrival:
            return super().finish(part, offer, lambda _: Rank.UNREADY, evict)
