"""The base of layers: a store around another."""

import functools
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Self

from kvbackends.contract.records import Entry, Feature
from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL


class Layer(Store):
    """A store around another.

    Operations in ``inner.native`` go to `inner`, through `around`; the others are derived here,
    over this layer's own five methods, so that each primitive passes every layer.  A layer that
    changes bytes does so in each operation that carries them (`kvbackends.layers.codec.Codec`), and
    for barriers in one place, `around_barrier` with a `kvbackends.layers.barriers.WrappedBarrier`.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.limits = inner.limits
        self.promises = inner.promises
        self.transient_errors = inner.transient_errors
        for name in self.native:
            setattr(self, name, self.around(name, getattr(inner, name)))

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        """Return this layer's form of `inner`'s native operation.

        A method ``around_offer(self, operation, offer, rank_of)`` stands in for `offer`, and so
        on; an operation without one is called directly, so a layer that leaves it costs nothing.
        """
        wrapper = getattr(self, f"around_{name}", None)
        return operation if wrapper is None else functools.partial(wrapper, operation)

    @property
    def native(self) -> frozenset[str]:
        """The operations that the innermost store overrides."""
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
        """The features of the innermost store."""
        return self.inner.features


def outside_in(store: Store) -> Iterator[Store]:
    """The layers of `store`, outermost first, then the adapter's store."""
    while isinstance(store, Layer):
        yield store
        store = store.inner
    yield store


def innermost(store: Store) -> Store:
    """The adapter's store behind all layers."""
    *_, last = outside_in(store)
    return last
