"""Claims that are lost, stolen, or held for ever."""

from dataclasses import dataclass

from kvbackends.contract import SIZE_PLACE, Arrival, Part
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import State


@caught_by("claims.evicting")
class ClaimWithoutLease(ReferenceStore):
    """A claim is never given up: the chord of a dead worker waits for ever."""

    @dataclass
    class state_type(State):  # noqa: N801 - the name that the store asks for
        def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
            return super().breaks(holder, part, None, arrives=arrives)


@caught_by("claims.evicted_twice")
class EvictsAnybody(ReferenceStore):
    """`evict` ignores its holder's name: two deliveries that evict a third both publish."""

    @dataclass
    class state_type(State):  # noqa: N801
        def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
            return evict is not None or super().breaks(holder, part, evict, arrives=arrives)


@caught_by("claims.same_delivery_asks_again")
class OwnClaimIsUnknown(ReferenceStore):
    """A delivery that asks again after a lost answer does not recognise its claim, and waits."""

    @dataclass
    class state_type(State):  # noqa: N801
        def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
            other = holder.delivery != part.delivery
            return other and super().breaks(holder, part, evict, arrives=arrives)


@caught_by("claims.own_part_takes_over_at_once")
class RedeliveryWaits(ReferenceStore):
    """A redelivered message waits out the lease of its own earlier delivery."""

    @dataclass
    class state_type(State):  # noqa: N801
        def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
            return super().breaks(holder, part, evict, arrives=False)


@caught_by("claims.own_part_takes_over_at_once")
class PayloadForTheFirstClaim(ReferenceStore):
    """Only the first claim is answered with the payload: the next delivery knows no body."""

    @dataclass
    class state_type(State):  # noqa: N801
        def claim(self, part: Part, evict: str | None, *, arrives: bool) -> Arrival:
            before = self.holder
            answer = super().claim(part, evict, arrives=arrives)
            return answer if before in (None, self.holder) else answer._replace(payload=b"")


@caught_by("claims.evicting")
class EvictedWithoutPayload(ReferenceStore):
    """An eviction is a statement of its own, which does not read the payload."""

    @dataclass
    class state_type(State):  # noqa: N801
        def claim(self, part: Part, evict: str | None, *, arrives: bool) -> Arrival:
            evicts = self.holder is not None and self.holder.delivery == evict
            answer = super().claim(part, evict, arrives=arrives)
            return answer._replace(payload=b"") if evicts else answer


@caught_by("claims.an_arrival_without_value_leaves_the_claim")
class LookingTakesBack(ReferenceStore):
    """An arrival without a value takes the claim back: two live deliveries evict each other."""

    @dataclass
    class state_type(State):  # noqa: N801
        def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
            return super().breaks(holder, part, evict, arrives=True)


@caught_by("claims.others_are_held")
class EverybodyClaims(ReferenceStore):
    """Each delivery that finds the barrier complete dispatches, also while another one does."""

    @dataclass
    class state_type(State):  # noqa: N801
        def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
            return True


@caught_by("claims.own_part_takes_over_at_once")
class RenewedByPart(ReferenceStore):
    """Any delivery of the claiming part renews, so that the one that was replaced publishes too."""

    @dataclass
    class state_type(State):  # noqa: N801
        def held_by(self, part: Part) -> bool:
            return self.holder is not None and self.identity(self.holder) == self.identity(part)


@caught_by("faults.retried")
class OwnSizeIsHeld(ReferenceStore):
    """A publisher whose answer was lost finds its own claim in its way when it asks again."""

    @dataclass
    class state_type(State):  # noqa: N801
        def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
            publisher = part.place == SIZE_PLACE and holder.delivery == part.delivery
            return not publisher and super().breaks(holder, part, evict, arrives=arrives)


@caught_by("faults.one_object_serves_on")
class ObjectServesOnce(ReferenceStore):
    """A barrier object keeps what its first arrival was answered, and answers it again."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        first: Arrival | None = None

        def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
            self.first = self.first or super().arrive(part, value, evict)
            return self.first


@caught_by("parts.size_at_any_time")
class SizeClaimsNoPayload(ReferenceStore):
    """The publisher that completes the barrier is not given the payload: it made it, after all."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def expect(self, part: Part, size: int) -> Arrival:
            return super().expect(part, size)._replace(payload=b"")


@caught_by("parts.one_member_at_two_places")
class TakesOverByMember(ReferenceStore):
    """A claim is taken over by the same task at another place of the header."""

    class state_type(State):  # noqa: N801
        def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
            is_same = arrives and holder.member == part.member
            return is_same or super().breaks(holder, part, evict, arrives=arrives)


@caught_by("parts.two_members_at_one_place")
class TakesOverByPlace(ReferenceStore):
    """A claim is taken over by another task at the same place of the header."""

    class state_type(State):  # noqa: N801
        def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
            is_same = arrives and holder.place == part.place
            return is_same or super().breaks(holder, part, evict, arrives=arrives)


@caught_by("reopening.nothing_earlier_counts")
class SlotsOfTheRunBefore(ReferenceStore):
    """Opening again removes the parts, and not what was added: the new run waits for it."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def open(self, payload: bytes) -> None:
            with self.store.world() as world:
                before = world.barrier(self.name)
                super().open(payload)
                world.barriers[self.name].slots = before.slots if before else {}


@caught_by("reopening.nothing_earlier_counts")
class SizeOfTheRunBefore(ReferenceStore):
    """Opening again leaves the size there until the new one comes."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def open(self, payload: bytes) -> None:
            with self.store.world() as world:
                before = world.barrier(self.name)
                super().open(payload)
                world.barriers[self.name].size = before.size if before else None
