"""Barriers that leave something behind, or nothing."""

from dataclasses import dataclass

from kvbackends.contract import Arrival, Offer, Outcome, Part, RankOf, StoreURL
from tests.broken_stores.reference import ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import Barrier


@caught_by("closing.late_arrival")
class LeavesAPart(ReferenceStore):
    """Closing deletes all parts but the one that closed."""

    @dataclass
    class barrier_type(Barrier):  # noqa: N801 - the name that the store asks for
        def tombstone(self, expires: float) -> Barrier:
            closed = super().tombstone(expires)
            closed.parts = dict(list(self.parts.items())[-1:])
            return closed


@caught_by("closing.late_arrival")
class NoTombstone(ReferenceStore):
    """Closing deletes everything, and a late duplicate begins the barrier anew."""

    def close_barrier(
        self, part: Part, ttl: float | None, offer: Offer | None, rank_of: RankOf
    ) -> None:
        super().close_barrier(part, ttl, offer, rank_of)
        with self.world() as world:
            world.barriers.pop(part.barrier, None)


@caught_by("closing.tombstone_expires")
class TombstoneForEver(ReferenceStore):
    """The tombstone is written without a time to live."""

    def close_barrier(
        self, part: Part, ttl: float | None, offer: Offer | None, rank_of: RankOf
    ) -> None:
        super().close_barrier(part, None, offer, rank_of)


@caught_by("closing.whoever_owns_it")
class OnlyTheOwnerCloses(ReferenceStore):
    """Who lost the claim after publishing cannot close, and the chord is published again."""

    @dataclass
    class barrier_type(Barrier):  # noqa: N801
        def may_be_closed_by(self, part: Part) -> bool:
            return super().may_be_closed_by(part) and (self.done or self.held_by(part))


@caught_by("reopening.old_claim_is_void")
class OldRunClosesTheNew(ReferenceStore):
    """A dispatch that ends after the barrier was opened again closes the new run."""

    @dataclass
    class barrier_type(Barrier):  # noqa: N801
        def may_be_closed_by(self, part: Part) -> bool:
            return True


@caught_by("closing.stores_the_completing_result")
class CompletingResultIsLost(ReferenceStore):
    """Closing forgets the result that it was given: the last task stays PENDING."""

    def close_barrier(
        self, part: Part, ttl: float | None, offer: Offer | None, rank_of: RankOf
    ) -> None:
        super().close_barrier(part, ttl, None, rank_of)


@caught_by("closing.again")
class ClosingTwiceRaises(ReferenceStore):
    """Closing what is closed raises "not found", though only the first answer was lost."""

    def close_barrier(
        self, part: Part, ttl: float | None, offer: Offer | None, rank_of: RankOf
    ) -> None:
        with self.world() as world:
            barrier = world.barrier(part.barrier)
        if barrier is not None and barrier.done:
            raise RuntimeError("not found")
        super().close_barrier(part, ttl, offer, rank_of)


@caught_by("closing.by_another_connection")
class AnswersFromMemory(ReferenceStore):
    """Who waited when this connection looked last is told to wait on, whatever others did since."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.waiting: set[str] = set()

    def arrive(
        self, part: Part, value: bytes | None, ttl: float | None, evict: str | None = None
    ) -> Arrival:
        if value is None and part.barrier in self.waiting:
            return Arrival(Outcome.WAITING)
        answer = super().arrive(part, value, ttl, evict)
        if answer.outcome is Outcome.WAITING and value is not None:
            self.waiting.add(part.barrier)
        else:
            self.waiting.discard(part.barrier)
        return answer
