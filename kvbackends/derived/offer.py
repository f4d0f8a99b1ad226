"""The ranked write over five methods."""

from kvbackends.derived.primitives import LostRaces, Primitives
from kvbackends.records import Offer, RankOf


def offer(store: Primitives, offer: Offer, rank_of: RankOf) -> bool:
    """Store the offer unless a record is there that does not yield.

    The first step assumes that nothing is there: one call for most results.  A record that equals
    the offer is the offer, stored by an earlier attempt.
    """
    if store.compare_and_set(offer.key, offer.value, None, offer.ttl):
        return True
    races = LostRaces()
    while True:
        entry = store.get(offer.key)
        old, version = (None, None) if entry is None else entry
        if old == offer.value:
            return True
        if old is not None and not rank_of(old).yields_to(offer.rank):
            return False
        if store.compare_and_set(offer.key, offer.value, version, offer.ttl):
            return True
        races.count(version)
