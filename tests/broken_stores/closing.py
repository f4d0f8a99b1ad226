"""Barriers that leave something behind, or nothing."""

import time
from dataclasses import dataclass, field
from typing import Any

from kvbackends.contract import Arrival, Barrier, Offer, Outcome, Part, RankOf, StoreURL
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import Identity, State, World


@caught_by("closing.late_arrival")
class LeavesAPart(ReferenceStore):
    """Closing deletes all parts but the one that closed."""

    @dataclass
    class state_type(State):  # noqa: N801 - the name that the store asks for
        def tombstone(self, expires: float) -> State:
            closed = super().tombstone(expires)
            closed.parts = dict(list(self.parts.items())[-1:])
            return closed


@caught_by("closing.late_arrival")
class NoTombstone(ReferenceStore):
    """Closing deletes everything, and a late duplicate begins the barrier anew."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
            super().close(part, offer, rank_of)
            with self.store.world() as world:
                world.barriers.pop(self.name, None)


@caught_by("closing.tombstone_expires")
class TombstoneForEver(ReferenceStore):
    """The tombstone is written without a time to live."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
            ReferenceBarrier(self.store, self.name, None).close(part, offer, rank_of)


@caught_by("closing.late_part_is_not_kept")
class LatePartsStay(ReferenceStore):
    """A part that comes after the tombstone is written before the answer CLOSED is known."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.late: dict[tuple[str, int, str], bytes] = {}

    def arrived(
        self,
        world: World,
        barrier: Barrier,
        part: Part,
        value: bytes | None,
        evict: str | None,
    ) -> Arrival:
        written = (barrier.name, part.place, part.member)
        state = world.barrier(barrier.name)
        if value is not None and state is not None and state.done:
            self.late[written] = value
            return Arrival(Outcome.CLOSED)
        if value is not None:
            value = self.late.get(written, value)
        return super().arrived(world, barrier, part, value, evict)


@caught_by("closing.tombstone_has_its_own_ttl")
class TombstoneInherits(ReferenceStore):
    """Closing sets a flag in the barrier's row, which keeps its expiry."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
            with self.store.world() as world:
                before = world.barrier(self.name)
                super().close(part, offer, rank_of)
                if before is not None:
                    world.barriers[self.name].expires = before.expires


@caught_by("closing.expired_parts_are_missed")
class ShortestLifeCounts(ReferenceStore):
    """A barrier expires as its shortest-lived part does."""

    def opened(self, world: World, name: str, ttl: float | None) -> State | None:
        state = world.barrier(name)
        if state is not None:
            state.expires = min(state.expires, self.expires(ttl))
        return state


@caught_by("closing.expired_parts_are_missed")
class ExpiredPartsAreEmpty(ReferenceStore):
    """Parts expire on their own, and one that has is still listed, without its value."""

    @dataclass
    class state_type(State):  # noqa: N801
        ends: dict[Identity, float] = field(default_factory=dict)

        def listed(self) -> list[tuple[Identity, bytes]]:
            now = time.monotonic()
            return [(each, b"" if self.ends[each] < now else v) for each, v in super().listed()]

    def arrived(
        self,
        world: World,
        barrier: Barrier,
        part: Part,
        value: bytes | None,
        evict: str | None,
    ) -> Arrival:
        answer = super().arrived(world, barrier, part, value, evict)
        state: Any = world.barrier(barrier.name)
        if state is not None:
            state.ends.setdefault(state.identity(part), self.expires(barrier.ttl))
        return answer


@caught_by("closing.by_a_former_claimant")
class OnlyTheClaimantCloses(ReferenceStore):
    """A delivery that lost its claim after publishing cannot close: another publishes again."""

    @dataclass
    class state_type(State):  # noqa: N801
        def may_be_closed_by(self, part: Part) -> bool:
            return super().may_be_closed_by(part) and (self.done or self.held_by(part))


@caught_by("reopening.old_claim_is_void")
class OldRunClosesTheNew(ReferenceStore):
    """A dispatch that ends after the barrier was opened again closes the new run."""

    @dataclass
    class state_type(State):  # noqa: N801
        def may_be_closed_by(self, part: Part) -> bool:
            return True


@caught_by("closing.stores_the_completing_result")
class CompletingResultIsLost(ReferenceStore):
    """Closing forgets the result that it was given: the last task stays PENDING."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
            super().close(part, None, rank_of)


@caught_by("closing.again")
class ClosingTwiceRaises(ReferenceStore):
    """Closing what is closed raises "not found", though only the first answer was lost."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
            with self.store.world() as world:
                state = world.barrier(self.name)
            if state is not None and state.done:
                raise RuntimeError("not found")
            super().close(part, offer, rank_of)


@caught_by("closing.by_another_connection")
class AnswersFromMemory(ReferenceStore):
    """A connection repeats the answer WAITING, whatever other connections did since."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.waiting: set[str] = set()

    class barrier_type(ReferenceBarrier):  # noqa: N801
        store: "AnswersFromMemory"

        def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
            if value is None and self.name in self.store.waiting:
                return Arrival(Outcome.WAITING)
            answer = super().arrive(part, value, evict)
            if answer.outcome is Outcome.WAITING and value is not None:
                self.store.waiting.add(self.name)
            else:
                self.store.waiting.discard(self.name)
            return answer
