"""The storage contract: five methods to write, and what is derived from them."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

from kvbackends.contract import derived, pages, polling
from kvbackends.contract.options import Options
from kvbackends.contract.paged import Paged
from kvbackends.contract.records import (
    Arrival,
    Entry,
    Feature,
    Limits,
    Offer,
    Outcome,
    Part,
    Rank,
    RankOf,
    Subscription,
)
from kvbackends.contract.stepwise import Barrier, Visit
from kvbackends.contract.url import StoreURL
from kvbackends.errors import NotSupported

BARRIER = (
    "open_barrier",
    "expect",
    "expect_more",
    "arrive",
    "parts",
    "renew",
    "close_barrier",
)
"""Overridden together or not at all: half a barrier would keep its parts in two places.

A class that overrides `Store.barrier` has overridden all.
"""

ACCELERABLE = (
    *BARRIER,
    "get_batch",
    "delete_batch",
    "offer",
    "finish",
    "add_member",
    "touch",
    "increment",
    "sweep",
    "scan",
    "find",
    "subscribe",
)
"""The operations that a store may override: for speed, never for meaning."""

_SHOWN_BY = {
    "get_batch": Feature.NATIVE_JOIN,
    "offer": Feature.NATIVE_RANK,
    "arrive": Feature.NATIVE_CHORD,
    "subscribe": Feature.PUSH,
    "increment": Feature.INCREMENT,
    "scan": Feature.LISTING,
    "find": Feature.FACETS,
}


class Store(ABC):
    """A key-value store.  Keys are `str`, values `bytes`, a ttl is seconds > 0 or None (for ever).

    An expired key is absent from every read, whether or not the store has removed it yet.  Every
    method is safe from any thread; a client made before a fork is never used after it
    (`kvbackends.contract.process.PerProcess`).  Three families of keys never mix: ranked (`offer`,
    `finish`), plain (`set`, `compare_and_set`, `increment`, `touch`) and barriers.
    """

    options_type: ClassVar[type[Options]] = Options
    promises: Feature = Feature.NONE
    """Declared flags (AUTOEXPIRE, DURABLE, SHARED); an instance may know better than its class."""
    limits: Limits = Limits()
    transient_errors: tuple[type[BaseException], ...] = ()
    """The exceptions after which the same call may succeed; the outcome is unknown.

    Where a driver has one class for "try again" and "never", the adapter raises one of its own.  A
    driver must not send a write again by itself, unless it does so exactly once: the answer to the
    second sending would say that a race was lost which the first has won.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = [name for name in BARRIER if _overrides(cls, name)]
        fused = cls.finish is not Store.finish
        if (own or fused) and len(own) < len(BARRIER):
            missing = ", ".join(sorted(set(BARRIER) - set(own)))
            raise TypeError(
                f"{cls.__name__} overrides a part of the barrier only; missing: {missing}"
            )

    # -- the five -----------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_url(cls, url: StoreURL, options: Any) -> Self:
        """Build without any I/O; `options` is a filled `cls.options_type`."""

    @abstractmethod
    def get(self, key: str) -> Entry | None:
        """The value and its version, or None if the key is absent or expired."""

    @abstractmethod
    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store unconditionally."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove; an absent key is fine."""

    @abstractmethod
    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Store if the stored version is `version` (None: if the key is absent), atomically.

        A lost race is False, never an exception.  A key that has expired is absent here too: what
        the store's own condition cannot ask, such as the expiry, may be a part of the version.

        After a transient error False means that `value` is not stored now: it may have been, and
        been replaced since.  Whoever loops over this has to know its own work when it reads it.
        """

    # -- derived: override for speed, never for meaning ---------------------------------------

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """The values of those keys that exist.

        At most ``limits.batch_keys`` different keys: `kvbackends.contract.derived.get_many` has
        made the batches.
        """
        return derived.get_batch(self, keys)

    def delete_batch(self, keys: Collection[str]) -> None:
        """Remove at most ``limits.batch_keys`` keys; absent ones are fine."""
        derived.delete_batch(self, keys)

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """Store a ranked record unless a better one is there; wake those who wait for its key.

        True if it is stored, False if the stored record does not yield (`Rank.yields_to`).
        """
        return derived.offer(self, offer, rank_of)

    def finish(
        self,
        offer: Offer,
        part: Part,
        rank_of: RankOf,
        ttl: float | None,
        evict: str | None = None,
    ) -> Arrival:
        """`arrive` with the offer's bytes, and `offer`.

        A success is stored only if the answer is WAITING: the result of the part that completes
        the barrier is stored by `close_barrier`, after the dispatch.  A failure is stored first.
        """
        if offer.rank is not Rank.SUCCEEDED:
            self.offer(offer, rank_of)
        arrival = self.arrive(part, offer.value, ttl, evict)
        if offer.rank is Rank.SUCCEEDED and arrival.outcome is Outcome.WAITING:
            self.offer(offer, rank_of)
        return arrival

    def barrier(self, name: str, ttl: float | None) -> Barrier:
        """The requests of the seven operations that follow, for one of them at a time.

        This is what to override for a barrier of the store's own; derived: pages of parts.
        """
        return Paged(self, name, ttl)

    def open_barrier(self, barrier: str, about: bytes, ttl: float | None) -> None:
        """Begin a new run: nothing that arrived before counts.

        `about` is handed to the delivery that claims the barrier.
        """
        self.barrier(barrier, ttl).open(about)

    def expect(self, part: Part, size: int, ttl: float | None) -> Arrival:
        """How many parts the header has; may complete the barrier, like any arrival.

        `part` names the publisher: its place is `SIZE_PLACE`.
        """
        return self.barrier(part.barrier, ttl).visit(Visit(part, size=size))

    def expect_more(self, part: Part, slot: int, member: str, ttl: float | None) -> None:
        """Expect one part more, which `member` fills.

        `(part, slot)` is the identity: when the adder runs again it names another member of the
        same slot, and any one of them fills it.
        """
        self.barrier(part.barrier, ttl).add(part, slot, member)

    def arrive(
        self, part: Part, value: bytes | None, ttl: float | None, evict: str | None = None
    ) -> Arrival:
        """Record a part once (the first value stays) and claim the barrier if it is complete.

        With the value None nothing is recorded: look, and claim, only.  A part that arrives breaks
        a claim of an earlier delivery of its own at once; any other claim is broken only if its
        holder is `evict`.
        """
        return self.barrier(part.barrier, ttl).visit(Visit(part, value, evict))

    def parts(self, barrier: str) -> Iterator[tuple[int, str, bytes]]:
        """The parts of the header, and one for each added slot, in no order.

        Place, member and value of each.
        """
        return self.barrier(barrier, None).parts()

    def renew(self, part: Part) -> bool:
        """True if this delivery still holds the claim: asked just before the publish."""
        return self.barrier(part.barrier, None).renew(part)

    def close_barrier(
        self, part: Part, ttl: float | None, offer: Offer | None, rank_of: RankOf
    ) -> None:
        """The dispatch is done.

        Writes the tombstone, whoever holds the claim by now; then stores `offer`, the completing
        result; then drops the parts.
        """
        self.barrier(part.barrier, ttl).close(lambda: offer and self.offer(offer, rank_of))

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        """Put `member` into the small set at `key`, once; all its members now.

        `get` and `get_batch` read the set as a JSON list of texts, `delete` removes it, and nothing
        else is done with its key.  A set that has expired begins anew.
        """
        return pages.add_member(self, key, member, ttl)

    def touch(self, key: str, ttl: float | None) -> bool:
        """Give the key a new time to live; False if it is absent."""
        return derived.touch(self, key, ttl)

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """Add to the decimal number at `key` (absent: 0); the sum."""
        return derived.increment(self, key, by, ttl)

    def sweep(self, limit: int = 1000) -> int:
        """Remove at most `limit` expired keys; how many were removed."""
        return 0

    def scan(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in no order."""
        raise NotSupported(f"{type(self).__name__} cannot list its keys")

    def find(self, facets: Mapping[str, str]) -> Iterable[str] | None:
        """Keys that were offered with these facets, or None: scan and decode."""
        return None

    def subscribe(self) -> Subscription:
        """Tells one thread which keys to look at again."""
        return polling.Polling()

    def ping(self) -> None:
        """Raise if the store cannot be reached."""
        self.get("kvbackends-ping")

    def close(self) -> None:
        """Give up connections and threads; a later call opens them again."""

    # -- what it advertises -------------------------------------------------------------------

    @property
    def native(self) -> frozenset[str]:
        """Names of the derived operations that this class overrides."""
        return frozenset(name for name in ACCELERABLE if _overrides(type(self), name))

    @property
    def features(self) -> Feature:
        """What this store advertises: its promises, and what `native` shows."""
        flags = self.promises
        for name in self.native & _SHOWN_BY.keys():
            flags |= _SHOWN_BY[name]
        return flags


def _overrides(cls: type[Store], name: str) -> bool:
    whole = name in BARRIER and cls.barrier is not Store.barrier
    return whole or getattr(cls, name) is not getattr(Store, name)
