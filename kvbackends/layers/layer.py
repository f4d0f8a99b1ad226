"""The bases of layers: a store around another, and a barrier around another."""

import functools
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Self

from kvbackends.contract.barrier import Barrier
from kvbackends.contract.records import Arrival, Entry, Feature, Offer, Part, RankOf
from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL


class Layer(Store):
    """A store around another.

    Operations in ``inner.native`` go to `inner`, through `around`; the others are derived here,
    over this layer's own five methods, so that each primitive passes every layer.  A layer that
    changes bytes does so in each operation that carries them (`kvbackends.layers.codec.Codec`), and
    for barriers in one place, `around_barrier` with a `WrappedBarrier`.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.limits = inner.limits
        self.promises = inner.promises
        self.transient_errors = inner.transient_errors
        for name in self.native:
            setattr(self, name, self.around(name, getattr(inner, name)))

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        """What this layer makes of `inner`'s native operation.

        A method ``around_offer(self, operation, offer, rank_of)`` stands in for `offer`, and so
        on; an operation without one is called directly, so a layer that leaves it costs nothing.
        """
        wrapper = getattr(self, f"around_{name}", None)
        return operation if wrapper is None else functools.partial(wrapper, operation)

    @property
    def native(self) -> frozenset[str]:
        """What the innermost store overrides."""
        return self.inner.native

    @classmethod
    def from_url(cls, url: StoreURL, options: Any) -> Self:
        """A layer has no URL."""
        raise TypeError(f"{cls.__name__} wraps a store; it is not opened by a URL")

    def get(self, key: str) -> Entry | None:
        """As `inner` does."""
        return self.inner.get(key)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """As `inner` does."""
        self.inner.set(key, value, ttl)

    def delete(self, key: str) -> None:
        """As `inner` does."""
        self.inner.delete(key)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """As `inner` does."""
        return self.inner.compare_and_set(key, value, version, ttl)

    def ping(self) -> None:
        """As `inner` does."""
        self.inner.ping()

    def close(self) -> None:
        """As `inner` does."""
        self.inner.close()

    @property
    def features(self) -> Feature:
        """What the innermost store advertises."""
        return self.inner.features


class WrappedBarrier(Barrier):
    """A barrier around another: values go in through `encode` and come out through `decode`.

    Args:
        inner: The barrier that everything is passed on to.
        encode: The bytes to store for a part's value or a payload.
        decode: The value for bytes that `encode` returned.
        encode_offer: The offer to store for an offer.
        rank_through: The `RankOf` of encoded bytes for the one of values.
    """

    def __init__(
        self,
        inner: Barrier,
        *,
        encode: Callable[[bytes], bytes],
        encode_offer: Callable[[Offer], Offer],
        decode: Callable[[bytes], bytes] = lambda stored: stored,
        rank_through: Callable[[RankOf], RankOf] = lambda rank_of: rank_of,
    ) -> None:
        super().__init__(inner.name, inner.ttl)
        self.inner = inner
        self._encode = encode
        self._encode_offer = encode_offer
        self._decode = decode
        self._rank_through = rank_through

    def open(self, payload: bytes) -> None:
        """Keep the payload encoded."""
        self.inner.open(self._encode(payload))

    def expect(self, part: Part, size: int) -> Arrival:
        """Pass it on; a claim is answered with the decoded payload."""
        return self._decoded(self.inner.expect(part, size))

    def expect_more(self, part: Part, slot: int, member: str) -> None:
        """Pass it on."""
        self.inner.expect_more(part, slot, member)

    def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
        """Record the value encoded."""
        encoded = None if value is None else self._encode(value)
        return self._decoded(self.inner.arrive(part, encoded, evict))

    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        """Record and store the same encoded bytes."""
        encoded, ranking = self._encode_offer(offer), self._rank_through(rank_of)
        return self._decoded(self.inner.finish(part, encoded, ranking, evict))

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """The parts with their decoded values."""
        for place, member, stored in self.inner.parts():
            yield place, member, self._decode(stored)

    def renew(self, part: Part) -> bool:
        """Pass it on."""
        return self.inner.renew(part)

    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        """Store the completing result encoded."""
        encoded = None if offer is None else self._encode_offer(offer)
        self.inner.close(part, encoded, self._rank_through(rank_of))

    def _decoded(self, arrival: Arrival) -> Arrival:
        payload = arrival.payload
        return arrival._replace(payload=self._decode(payload)) if payload else arrival


def innermost(store: Store) -> Store:
    """The adapter's store behind all layers."""
    while isinstance(store, Layer):
        store = store.inner
    return store
