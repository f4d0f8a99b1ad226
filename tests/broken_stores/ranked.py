"""Ranked writes that keep the wrong record."""

import time
from collections.abc import Mapping

from kvbackends.contract import Entry, Offer, Rank, RankOf
from tests.broken_stores.reference import ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import World


@caught_by("threads.best_rank_wins")
class OfferReadsThenWrites(ReferenceStore):
    """The rank is read in one call and the record written in another."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        entry = self.get(offer.key)
        old = entry and entry.value
        if old is not None and old != offer.value and not rank_of(old).yields_to(offer.rank):
            return False
        time.sleep(0.001)
        self.set(offer.key, offer.value, offer.ttl)
        self.tell(offer.key)
        return True


@caught_by("ranks.advisory")
class AdviceIsNotSent(ReferenceStore):
    """Advisory offers are never sent."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        return True if offer.advisory else super().offer(offer, rank_of)


@caught_by("ranks.advisory")
class AdviceCreatesOnly(ReferenceStore):
    """An advisory offer is stored only where nothing is (SET NX)."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        is_there = offer.advisory and self.get(offer.key) is not None
        return is_there or super().offer(offer, rank_of)


@caught_by("waiting.an_offer_ends_a_wait")
class AdviceTellsNobody(ReferenceStore):
    """An advisory offer is sent without a notification."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        listeners = self.space.listeners
        with self.world():
            try:
                self.space.listeners = frozenset() if offer.advisory else listeners
                return super().offer(offer, rank_of)
            finally:
                self.space.listeners = listeners


class Ranking(ReferenceStore):
    """Correct, if `yields` is."""

    def yields(self, old: Rank, new: Rank) -> bool:
        return old.yields_to(new)

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        row = world.row(offer.key)
        if row and row.value != offer.value and not self.yields(rank_of(row.value), offer.rank):
            return False
        return super().ranked(world, offer, lambda _: Rank.UNREADY)


@caught_by("ranks.matrix")
class RankAsText(Ranking):
    """Ranks are compared by their names, and UNREADY comes after SUCCEEDED in the alphabet."""

    def yields(self, old: Rank, new: Rank) -> bool:
        return old.name <= new.name and old is not Rank.SUCCEEDED


@caught_by("ranks.matrix")
class SuccessIsReplaced(Ranking):
    """Of equal ranks the later replaces, also a success, which is final."""

    def yields(self, old: Rank, new: Rank) -> bool:
        return old <= new


@caught_by("ranks.matrix")
class FirstOfEqualsStays(Ranking):
    """Of equal ranks the first stays, so that progress is never shown."""

    def yields(self, old: Rank, new: Rank) -> bool:
        return old < new


@caught_by("ranks.equal_bytes")
class OwnAttemptIsLost(ReferenceStore):
    """An offer that is repeated after a lost answer is refused, as if a better one were there."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        row = world.row(offer.key)
        known = row is not None and row.value == offer.value
        return super().ranked(world, offer, rank_of) and not known


class RankBeside(ReferenceStore):
    """Correct, if what is kept beside is forgotten together with the record."""

    def beside(self, world: World) -> dict[str, Rank]:
        ranks: dict[str, Rank] = vars(world).setdefault("ranks", {})
        return ranks

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        ranks = self.beside(world)
        if ranks.get(offer.key, Rank.UNREADY) > offer.rank:
            return False
        stored = super().ranked(world, offer, rank_of)
        if stored:
            ranks[offer.key] = offer.rank
        return stored


@caught_by("ranks.any_rank_after_expiry")
class RankOutlivesExpiry(RankBeside):
    """The rank is kept under a key of its own that does not expire with the record."""

    def delete(self, key: str) -> None:
        with self.world() as world:
            self.beside(world).pop(key, None)
        super().delete(key)


@caught_by("ranks.any_rank_after_delete")
class RankOutlivesDelete(RankBeside):
    """The rank is kept under a key of its own, which `delete` leaves behind."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        if offer.key in world.rows and world.row(offer.key) is None:
            self.beside(world).pop(offer.key, None)
        return super().ranked(world, offer, rank_of)


@caught_by("ranks.any_rank_of")
class OnlyOwnRecordsRanked(ReferenceStore):
    """Only records that were offered have a rank; what an older worker has set is replaced."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        row = world.row(offer.key)
        if row is not None and "offered" not in row.facets:
            world.rows.pop(offer.key)
        facets: Mapping[str, str] = {**offer.facets, "offered": ""}
        return super().ranked(world, offer._replace(facets=facets), rank_of)


@caught_by("ranks.unready_after_delete_is_the_old_version_gone")
class SuccessesCached(ReferenceStore):
    """A connection keeps the successes that it stored, which nothing replaces but a delete."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        stored = super().offer(offer, rank_of)
        if stored and offer.rank is Rank.SUCCEEDED and offer.ttl is None:
            vars(self).setdefault("cached", {})[offer.key] = offer.value
        return stored

    def get(self, key: str) -> Entry | None:
        value = vars(self).get("cached", {}).get(key)
        return super().get(key) if value is None else Entry(value, value)

    def delete(self, key: str) -> None:
        vars(self).get("cached", {}).pop(key, None)
        super().delete(key)


@caught_by("ranks.set_over_an_offer")
class RankOutlivesSet(ReferenceStore):
    """The rank stands in a column beside the record, and `set` replaces the record alone."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        row = world.row(offer.key)
        ranks: dict[str, Rank] = vars(world).setdefault("ranks", {})
        old = ranks.get(offer.key) if row else None
        stored = super().ranked(world, offer, lambda value: old or rank_of(value))
        if stored:
            ranks[offer.key] = offer.rank
        return stored

    def delete(self, key: str) -> None:
        with self.world() as world:
            vars(world).get("ranks", {}).pop(key, None)
        super().delete(key)


@caught_by("ranks.ttl_of_the_last_stored")
class RefusedProlongs(ReferenceStore):
    """An offer that is refused gives its time to live to what is there."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        stored = super().ranked(world, offer, rank_of)
        if not stored:
            world.prolong(offer.key, self.expires(offer.ttl))
        return stored


@caught_by("ranks.any_rank_after_expiry")
class RanksExpired(ReferenceStore):
    """A record that has expired is ranked until it is swept."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        row = world.rows.get(offer.key)
        if row and row.value != offer.value and not rank_of(row.value).yields_to(offer.rank):
            return False
        return super().ranked(world, offer, rank_of)
