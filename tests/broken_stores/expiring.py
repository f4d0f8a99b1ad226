"""Times to live that only some writes give."""

from collections.abc import Hashable

import msgspec

from kvbackends.contract import Arrival, Limits, Offer, Part, RankOf
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import World


@caught_by("expiring.fractions_count")
class WholeSeconds(ReferenceStore):
    """Fractions of a second are cut off, and nothing lives shorter than a second."""

    limits = Limits(ttl_step=1.0)

    def expires(self, ttl: float | None) -> float:
        return super().expires(ttl and max(1, int(ttl)))


@caught_by("expiring.fractions_count")
class RoundedSeconds(ReferenceStore):
    """Seconds are rounded, up or down; nothing lives shorter than a second."""

    limits = Limits(ttl_step=1.0)

    def expires(self, ttl: float | None) -> float:
        return super().expires(ttl and max(1, round(ttl)))


@caught_by("expiring.fractions_count")
class OffersInWholeSeconds(ReferenceStore):
    """Only `offer` cuts the fraction of a second off."""

    limits = Limits(ttl_step=1.0)

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        return super().offer(offer._replace(ttl=offer.ttl and max(1, int(offer.ttl))), rank_of)


@caught_by("expiring.every_write_gives_its_own")
class CountingKeepsTheTime(ReferenceStore):
    """An addition keeps the time to live that its number was made with (INCR)."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        with self.world() as world:
            row = world.row(key)
            total = super().increment(key, by, ttl)
            if row is not None:
                world.prolong(key, row.expires)
            return total


@caught_by("expiring.every_write_gives_its_own")
class KnownMembersKeepTheTime(ReferenceStore):
    """A member that is in the set already changes nothing, not its time to live either."""

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        with self.world() as world:
            row = world.row(key)
            members = [] if row is None else msgspec.json.decode(row.value, type=list[str])
            return frozenset(members) if member in members else super().add_member(key, member, ttl)


@caught_by("expiring.every_write_gives_its_own")
class FinishesForEver(ReferenceStore):
    """A result that is stored together with its part never expires."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def finish(
            self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
        ) -> Arrival:
            return super().finish(part, offer._replace(ttl=None), rank_of, evict)


@caught_by("expiring.every_write_gives_its_own")
class ForEverIsForgotten(ReferenceStore):
    """An offer without a time to live leaves the one of the record before."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        row = world.row(offer.key)
        stored = super().ranked(world, offer, rank_of)
        if stored and row is not None and offer.ttl is None:
            world.prolong(offer.key, row.expires)
        return stored


@caught_by("expiring.every_write_gives_its_own")
class SwapsForEver(ReferenceStore):
    """Only a `compare_and_set` that creates its key gives it a time to live."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        given = ttl if version is None else None
        return super().compare_and_set(key, value, version, given)
