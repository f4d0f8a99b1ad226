"""The base of layers that change bytes: encryption, signatures, compression."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping

from kvbackends.contract.records import (
    Arrival,
    Entry,
    Feature,
    Offer,
    Part,
    Rank,
    RankOf,
    Subscription,
)
from kvbackends.contract.store import Store
from kvbackends.layers.layer import Layer

NEED_PLAIN_BYTES = frozenset({"increment", "add_member"})
"""A store cannot add to what it cannot read: these are derived over the encoded five."""


class Codec(Layer):
    """Encodes every value on its way into the store, and decodes it on its way out.

    A subclass writes `encode` and `decode`, and says how many bytes longer an encoded value may
    be.  `encode` may give other bytes each time (a nonce).  Whatever `decode` raises reaches
    whoever reads.  Keys, ids and facets stay as they are: the store lists and finds by them, so
    a layer that hides those too hides `find` (`native`, `features`) and empties `Offer.facets`.
    """

    overhead: int = 0
    """Bytes by which `encode` makes a value longer, at most."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        largest = inner.limits.value_bytes
        if largest is not None:
            self.limits = inner.limits._replace(value_bytes=largest - self.overhead)

    @abstractmethod
    def encode(self, value: bytes) -> bytes:
        """What is stored in place of `value`."""

    @abstractmethod
    def decode(self, stored: bytes) -> bytes:
        """The value; raises a `StoreError` if `stored` is not what `encode` makes."""

    @property
    def native(self) -> frozenset[str]:
        """Of the inner store, what works without reading values."""
        return super().native - NEED_PLAIN_BYTES

    @property
    def features(self) -> Feature:
        """Of the inner store, what works without reading values."""
        return super().features & ~Feature.INCREMENT

    def get(self, key: str) -> Entry | None:
        """The decoded value."""
        entry = self.inner.get(key)
        return entry and entry._replace(value=self.decode(entry.value))

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Stores the value encoded."""
        self.inner.set(key, self.encode(value), ttl)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Stores the value encoded; versions are the inner store's."""
        return self.inner.compare_and_set(key, self.encode(value), version, ttl)

    def around_get_batch(
        self, operation: Callable[..., Mapping[str, bytes]], keys: Collection[str]
    ) -> Mapping[str, bytes]:
        """The decoded values."""
        return {key: self.decode(stored) for key, stored in operation(keys).items()}

    def around_offer(self, operation: Callable[..., bool], offer: Offer, rank_of: RankOf) -> bool:
        """Offers the value encoded.

        A repeated offer is other bytes than the first, so the store may refuse what it holds.
        """
        if operation(self._offer(offer), self._rank_of(rank_of)):
            return True
        entry = self.get(offer.key)
        return entry is not None and entry.value == offer.value

    def around_finish(
        self,
        operation: Callable[..., Arrival],
        offer: Offer,
        part: Part,
        rank_of: RankOf,
        ttl: float | None,
        evict: str | None = None,
    ) -> Arrival:
        """The result and the part are the same encoded bytes."""
        arrival = operation(self._offer(offer), part, self._rank_of(rank_of), ttl, evict)
        return self._arrival(arrival)

    def around_open_barrier(
        self, operation: Callable[..., None], barrier: str, about: bytes, ttl: float | None
    ) -> None:
        """Keeps `about` encoded."""
        operation(barrier, self.encode(about), ttl)

    def around_expect(
        self, operation: Callable[..., Arrival], part: Part, size: int, ttl: float | None
    ) -> Arrival:
        """Decodes what the claim is told."""
        return self._arrival(operation(part, size, ttl))

    def around_arrive(
        self,
        operation: Callable[..., Arrival],
        part: Part,
        value: bytes | None,
        ttl: float | None,
        evict: str | None = None,
    ) -> Arrival:
        """Records the value encoded, and decodes what the claim is told."""
        encoded = None if value is None else self.encode(value)
        return self._arrival(operation(part, encoded, ttl, evict))

    def around_parts(
        self, operation: Callable[..., Iterator[tuple[int, str, bytes]]], barrier: str
    ) -> Iterator[tuple[int, str, bytes]]:
        """The decoded values of the parts."""
        for place, member, stored in operation(barrier):
            yield place, member, self.decode(stored)

    def around_close_barrier(
        self,
        operation: Callable[..., None],
        part: Part,
        ttl: float | None,
        offer: Offer | None,
        rank_of: RankOf,
    ) -> None:
        """Offers the completing result encoded."""
        encoded = None if offer is None else self._offer(offer)
        operation(part, ttl, encoded, self._rank_of(rank_of))

    def around_subscribe(self, operation: Callable[..., Subscription]) -> Subscription:
        """What is told is encoded: the values are read, and decoded there."""
        return _Untold(operation())

    def _offer(self, offer: Offer) -> Offer:
        return offer._replace(value=self.encode(offer.value))

    def _rank_of(self, rank_of: RankOf) -> RankOf:
        def decoded_rank(stored: bytes) -> Rank:
            return rank_of(self.decode(stored))

        return decoded_rank

    def _arrival(self, arrival: Arrival) -> Arrival:
        about = arrival.about
        return arrival._replace(about=self.decode(about)) if about else arrival


class _Untold:
    """A subscription that names keys and tells no values."""

    def __init__(self, inner: Subscription) -> None:
        self._inner = inner
        self.watch = inner.watch
        self.unwatch = inner.unwatch
        self.wake = inner.wake
        self.close = inner.close

    def wait(self, timeout: float) -> Collection[str] | None:
        hints = self._inner.wait(timeout)
        return hints and list(hints)
