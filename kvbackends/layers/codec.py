"""The base of layers that change bytes: encryption, signatures, compression."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping

from kvbackends.contract.barrier import Barrier
from kvbackends.contract.records import Entry, Feature, Offer, Rank, RankOf, Subscription
from kvbackends.contract.store import Store
from kvbackends.layers.barriers import WrappedBarrier
from kvbackends.layers.layer import Layer

NEED_PLAIN_BYTES = frozenset({"increment", "add_member"})
"""A store cannot add to an encoded value: these are derived from the encoded five methods."""


class Codec(Layer):
    """Encodes every value on its way into the store, and decodes it on its way out.

    A subclass implements `encode` and `decode`, and says by how many bytes an encoded value may be
    longer.  `encode` may return other bytes each time (a nonce).  What `decode` raises reaches the
    reader.  Keys, ids and facets stay readable, because the store lists and finds by them: a layer
    that hides those too hides `find` (`native`, `features`) and empties `Offer.facets`.

    Attributes:
        overhead: Bytes by which `encode` makes a value longer, at most.
    """

    overhead: int = 0

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        largest = inner.limits.value_bytes
        if largest is not None:
            self.limits = inner.limits._replace(value_bytes=largest - self.overhead)

    @abstractmethod
    def encode(self, value: bytes) -> bytes:
        """The bytes to store in place of `value`."""

    @abstractmethod
    def decode(self, stored: bytes) -> bytes:
        """The value; raises a `StoreError` for bytes that `encode` did not return."""

    @property
    def native(self) -> frozenset[str]:
        """The inner store's overrides that work on encoded values."""
        return super().native - NEED_PLAIN_BYTES

    @property
    def features(self) -> Feature:
        """The inner store's features that work on encoded values."""
        return super().features & ~Feature.INCREMENT

    def get(self, key: str) -> Entry | None:
        """Read and decode."""
        entry = self.inner.get(key)
        return entry and entry._replace(value=self.decode(entry.value))

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Encode and store."""
        self.inner.set(key, self.encode(value), ttl)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Encode and store; versions are the inner store's."""
        return self.inner.compare_and_set(key, self.encode(value), version, ttl)

    def around_get_batch(
        self, operation: Callable[..., Mapping[str, bytes]], keys: Collection[str]
    ) -> Mapping[str, bytes]:
        """Read and decode."""
        return {key: self.decode(stored) for key, stored in operation(keys).items()}

    def around_offer(self, operation: Callable[..., bool], offer: Offer, rank_of: RankOf) -> bool:
        """Encode and offer.

        A repeated offer may be other bytes than the first: then the store refuses it because of the
        first, and the decoded record tells.
        """
        if operation(self._offer(offer), self._rank_of(rank_of)):
            return True
        entry = self.get(offer.key)
        return entry is not None and entry.value == offer.value

    def around_barrier(
        self, operation: Callable[..., Barrier], name: str, ttl: float | None = None
    ) -> Barrier:
        """A barrier that encodes payloads, parts and results."""
        return WrappedBarrier(
            operation(name, ttl),
            encode=self.encode,
            decode=self.decode,
            encode_offer=self._offer,
            rank_through=self._rank_of,
        )

    def around_subscribe(self, operation: Callable[..., Subscription]) -> Subscription:
        """A subscription that names keys only: the values that it carries are encoded."""
        return _Untold(operation())

    def _offer(self, offer: Offer) -> Offer:
        return offer._replace(value=self.encode(offer.value))

    def _rank_of(self, rank_of: RankOf) -> RankOf:
        def decoded_rank(stored: bytes) -> Rank:
            return rank_of(self.decode(stored))

        return decoded_rank


class _Untold:
    """A subscription that names keys without their values."""

    def __init__(self, inner: Subscription) -> None:
        self._inner = inner
        self.watch = inner.watch
        self.unwatch = inner.unwatch
        self.wake = inner.wake
        self.close = inner.close

    def wait(self, timeout: float) -> Collection[str] | None:
        hints = self._inner.wait(timeout)
        return hints and list(hints)
