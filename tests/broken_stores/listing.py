"""Listings that name too much or too little."""

import fnmatch
import itertools
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kvbackends.contract import Arrival, Offer, Part, RankOf
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import World


@caught_by("listing.wildcards_are_letters")
class PrefixIsAGlob(ReferenceStore):
    """The prefix is matched as a glob, and a ``*`` or ``?`` in it stands for anything (SCAN)."""

    def scan(self, prefix: str) -> Iterator[str]:
        return (key for key in super().scan("") if fnmatch.fnmatchcase(key, f"{prefix}*"))


@caught_by("listing.wildcards_are_letters")
class PrefixIsLike(ReferenceStore):
    """The prefix is matched by LIKE, and a ``%`` or ``_`` in it stands for anything."""

    def scan(self, prefix: str) -> Iterator[str]:
        pattern = re.escape(prefix).replace("%", ".*").replace("_", ".")
        return (key for key in super().scan("") if re.match(pattern, key, re.DOTALL))


@caught_by("listing.lists_a_prefix")
class ListsExpired(ReferenceStore):
    """Keys that have expired are listed until they are swept."""

    def scan(self, prefix: str) -> Iterator[str]:
        with self.world() as world:
            return iter([key for key in world.rows if key.startswith(prefix)])


@caught_by("listing.lists_a_prefix")
class PrefixAnywhere(ReferenceStore):
    """Keys are listed that differ from the prefix in case (LIKE of SQLite and MySQL)."""

    def scan(self, prefix: str) -> Iterator[str]:
        return (key for key in super().scan("") if key.lower().startswith(prefix.lower()))


@caught_by("listing.finds_by_facets")
class FindsAnyFacet(ReferenceStore):
    """Records are found that have one of the facets that were asked for, instead of all."""

    def find(self, facets: Mapping[str, str]) -> Iterable[str] | None:
        find = super().find
        return {key for each in facets.items() for key in find(dict([each])) or ()}


@caught_by("listing.lists_a_prefix")
class EndsAtTheFirstPlane(ReferenceStore):
    """A range that ends at the prefix and U+FFFF leaves out what goes on with an emoji."""

    def scan(self, prefix: str) -> Iterator[str]:
        return (key for key in super().scan(prefix) if key < f"{prefix}\uffff")


@caught_by("listing.lists_a_prefix")
class DotIsNoNewline(ReferenceStore):
    """A regular expression ends the prefix with ``.*``, which stops at the end of a line."""

    def scan(self, prefix: str) -> Iterator[str]:
        return (key for key in super().scan("") if re.fullmatch(re.escape(prefix) + ".*", key))


@caught_by("listings.above_a_page")
class ListsAPage(ReferenceStore):
    """The listing ends with its first page of 1,000 keys."""

    def scan(self, prefix: str) -> Iterator[str]:
        return itertools.islice(super().scan(prefix), 1_000)


@caught_by("listings.above_a_window", slow=True)
class ListsAWindow(ReferenceStore):
    """A search ends after 10,000 hits, however it is paged (Elasticsearch's window)."""

    def scan(self, prefix: str) -> Iterator[str]:
        return itertools.islice(super().scan(prefix), 10_000)


@caught_by("listings.above_a_page")
class ListsTwice(ReferenceStore):
    """A key may be listed twice (SCAN, while the table of keys grows)."""

    def scan(self, prefix: str) -> Iterator[str]:
        keys = list(super().scan(prefix))
        return iter(keys + keys[1_000:])


@caught_by("listings.above_a_page")
class NothingBeginsWithNothing(ReferenceStore):
    """The empty prefix is taken for none, and lists nothing."""

    def scan(self, prefix: str) -> Iterator[str]:
        return super().scan(prefix) if prefix else iter(())


@caught_by("listings.while_keys_are_deleted")
class ListsByOffset(ReferenceStore):
    """Pages are read by offset: where keys before it were deleted, as many are passed over."""

    def scan(self, prefix: str) -> Iterator[str]:
        for begin in itertools.count(0, 50):
            page = sorted(super().scan(prefix))[begin : begin + 50]
            if not page:
                return
            yield from page


@caught_by("listings.of_another_connection")
class ListsItsOwn(ReferenceStore):
    """A connection lists the keys that it has written itself, whether or not they are left."""

    def __init__(self, url: Any) -> None:
        super().__init__(url)
        self.written: set[str] = set()

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.written.add(key)
        super().set(key, value, ttl)

    def scan(self, prefix: str) -> Iterator[str]:
        return (key for key in super().scan(prefix) if key in self.written)


@caught_by("listings.facets_of_what_is_stored")
class FacetsOfAllOffers(ReferenceStore):
    """The facets of earlier records of a key are not removed from the index."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        index = vars(world).setdefault("index", {})
        stored = super().ranked(world, offer, rank_of)
        if stored:
            index.setdefault(offer.key, []).append(offer.facets)
        return stored

    def find(self, facets: Mapping[str, str]) -> Iterable[str] | None:
        with self.world() as world:
            index = vars(world).get("index", {})
            live = [key for key, _ in world.live()]
        wanted = facets.items()
        return [key for key in live if any(wanted <= f.items() for f in index.get(key, ()))]


@caught_by("listings.facets_of_what_is_stored")
class FacetsAreMerged(ReferenceStore):
    """A record keeps the facets of the one before that it has none of its own for."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        row = world.row(offer.key)
        merged = {**row.facets, **offer.facets} if row else offer.facets
        return super().ranked(world, offer._replace(facets=merged), rank_of)


@caught_by("listings.facets_of_what_is_stored")
class FindsExpired(ReferenceStore):
    """Records that have expired are found until they are swept."""

    def find(self, facets: Mapping[str, str]) -> Iterable[str] | None:
        with self.world() as world:
            return [key for key, row in world.rows.items() if facets.items() <= row.facets.items()]


@caught_by("listings.facets_of_what_is_stored")
class CompletingHasNoFacets(ReferenceStore):
    """The result that is stored by closing a barrier has no facets."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
            super().close(part, offer and offer._replace(facets={}), rank_of)


@caught_by("listings.facets_of_what_is_stored")
class FinishHasNoFacets(ReferenceStore):
    """A result that is stored together with its part has no facets."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def finish(
            self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
        ) -> Arrival:
            return super().finish(part, offer._replace(facets={}), rank_of, evict)


@caught_by("sweeps.beside_writers")
class SweepsWhatItFound(ReferenceStore):
    """Expired keys are looked for, and then removed, also if they were written meanwhile."""

    def sweep(self, limit: int = 1000) -> int:
        with self.world() as world:
            live = {key for key, _ in world.live()}
            expired = [key for key in world.rows if key not in live][:limit]
        time.sleep(0.002)
        for key in expired:
            self.delete(key)
        return len(expired)


@caught_by("sweeps.barriers_stay")
class SweepsBarriersByTheirFirst(ReferenceStore):
    """Barriers are swept by the time that they were opened with, though parts have renewed it."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def open(self, payload: bytes) -> None:
            super().open(payload)
            with self.store.world() as world:
                vars(world).setdefault("opened", {})[self.name] = self.store.expires(self.ttl)

    def sweep(self, limit: int = 1000) -> int:
        with self.world() as world:
            for name, expires in vars(world).get("opened", {}).items():
                if expires <= time.monotonic():
                    world.barriers.pop(name, None)
        return super().sweep(limit)
