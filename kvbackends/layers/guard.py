"""The layer next to the adapter: enforces `Store.limits`, so that no adapter has to."""

import hashlib
import math
import re
from collections.abc import Callable, Collection, Hashable, Mapping

from kvbackends.contract.barrier import Barrier
from kvbackends.contract.derived import batches
from kvbackends.contract.records import Entry, Limits, Offer, RankOf, Subscription
from kvbackends.contract.store import Store
from kvbackends.errors import ConfigurationError, ValueTooLarge
from kvbackends.layers.barriers import WrappedBarrier
from kvbackends.layers.layer import Layer

SHORTEST = 36
"""Bytes of the shortest hashed key: 128 bits of the hash are enough for no two to be equal."""


class Guard(Layer):
    """Refuses too large values and invalid ttls, hashes odd keys, and divides large batches."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._largest = inner.limits.value_bytes
        self._most = inner.limits.batch_keys
        self._key = key_mapping(inner.limits)
        if self._key is _as_it_is:  # saves two calls of each read
            self.get = inner.get  # type: ignore[method-assign]

    def get(self, key: str) -> Entry | None:
        """Read the key as the store can hold it."""
        return self.inner.get(self._key(key))

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store; raises `ValueTooLarge`, or `ValueError` for an invalid ttl."""
        self.inner.set(self._key(key), self._fits(value), valid_ttl(ttl))

    def delete(self, key: str) -> None:
        """Remove the key as the store can hold it."""
        self.inner.delete(self._key(key))

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Store; raises `ValueTooLarge`, or `ValueError` for an invalid ttl."""
        return self.inner.compare_and_set(
            self._key(key), self._fits(value), version, valid_ttl(ttl)
        )

    def around_get_batch(
        self, operation: Callable[..., Mapping[str, bytes]], keys: Collection[str]
    ) -> Mapping[str, bytes]:
        """Read the keys as the store can hold them; the answer names them as the caller did."""
        if self._key is _as_it_is and len(keys) <= self._most:
            return operation(keys)
        held = {self._key(key): key for key in keys}
        found = [operation(batch) for batch in batches(self.inner, held)]
        return {held[key]: value for each in found for key, value in each.items()}

    def around_delete_batch(self, operation: Callable[..., None], keys: Collection[str]) -> None:
        """Remove the keys as the store can hold them."""
        for batch in batches(self.inner, [self._key(key) for key in keys]):
            operation(batch)

    def around_offer(self, operation: Callable[..., bool], offer: Offer, rank_of: RankOf) -> bool:
        """Store the checked offer."""
        return operation(self._offer(offer), rank_of)

    def around_barrier(
        self, operation: Callable[..., Barrier], name: str, ttl: float | None = None
    ) -> Barrier:
        """A barrier that checks its values and offers, and has its key as the store can hold it."""
        key = name if self._key is _as_it_is else self._key(name)
        inner = operation(key, valid_ttl(ttl))
        return WrappedBarrier(inner, encode=self._fits, encode_offer=self._offer)

    def around_add_member(
        self,
        operation: Callable[..., frozenset[str]],
        key: str,
        member: str,
        ttl: float | None,
    ) -> frozenset[str]:
        """Add to the checked key."""
        return operation(self._key(key), member, valid_ttl(ttl))

    def around_touch(self, operation: Callable[..., bool], key: str, ttl: float | None) -> bool:
        """Renew the checked key."""
        return operation(self._key(key), valid_ttl(ttl))

    def around_increment(
        self, operation: Callable[..., int], key: str, by: int, ttl: float | None
    ) -> int:
        """Count at the checked key."""
        return operation(self._key(key), by, valid_ttl(ttl))

    def around_lifetimes(
        self, operation: Callable[..., Mapping[str, float | None]], keys: Collection[str]
    ) -> Mapping[str, float | None]:
        """Ask for the keys as the store can hold them; the answer names them as the caller did."""
        held = {self._key(key): key for key in keys}
        return {held[key]: left for key, left in operation(list(held)).items()}

    def around_subscribe(self, operation: Callable[..., Subscription]) -> Subscription:
        """A subscription that names keys as its user does."""
        inner = operation()
        return inner if self._key is _as_it_is else _Translated(inner, self._key)

    def _offer(self, offer: Offer) -> Offer:
        if self._largest is not None and len(offer.value) > self._largest:
            self._fits(offer.value)
        valid_ttl(offer.ttl)
        if self._key is _as_it_is:
            return offer
        return offer._replace(key=self._key(offer.key))

    def _fits(self, value: bytes) -> bytes:
        if self._largest is not None and len(value) > self._largest:
            raise ValueTooLarge(
                f"a value of {len(value)} bytes is above the store's limit of {self._largest}; "
                "return less, store it elsewhere and return its address, or add chunk=1 to the URL"
            )
        return value


class _Translated:
    """A subscription over hashed keys."""

    def __init__(self, inner: Subscription, held: Callable[[str], str]) -> None:
        self._inner = inner
        self._held = held
        self._asked: dict[str, str] = {}
        self.wake = inner.wake
        self.close = inner.close

    def watch(self, keys: Collection[str]) -> None:
        held = {self._held(key): key for key in keys}
        self._asked.update(held)
        self._inner.watch(held.keys())

    def unwatch(self, keys: Collection[str]) -> None:
        held = [self._held(key) for key in keys]
        for key in held:
            self._asked.pop(key, None)
        self._inner.unwatch(held)

    def wait(self, timeout: float) -> Collection[str] | None:
        held = self._inner.wait(timeout)
        if isinstance(held, dict):
            return {self._asked[key]: told for key, told in held.items() if key in self._asked}
        return held and [self._asked[key] for key in held if key in self._asked]


def valid_ttl(ttl: float | None) -> float | None:
    """The ttl, if it is None or a number of seconds above zero; else `ValueError`."""
    if ttl is None or 0 < ttl < math.inf:
        return ttl
    raise ValueError(f"a time to live is None or a number of seconds above 0, not {ttl!r}")


def _as_it_is(key: str) -> str:
    return key


def key_mapping(limits: Limits) -> Callable[[str], str]:
    """Return the function from a key to the key under which a store with these limits holds it.

    Raises `ConfigurationError` if the limits leave no room for a hashed key.
    """
    longest, pattern = limits.key_bytes, limits.key_pattern
    if longest is None and pattern is None:
        return _as_it_is
    full_match = re.compile(pattern or ".*", re.DOTALL).fullmatch
    if not full_match(_hashed(b"", longest)) or (longest is not None and longest < SHORTEST):
        raise ConfigurationError(
            f"the store's limits (key_bytes={longest}, key_pattern={pattern!r}) have no room for a "
            f"hashed key: {SHORTEST} bytes or more, such as {_hashed(b'', longest)!r}"
        )

    def held(key: str) -> str:
        data = key.encode()
        if full_match(key) and (longest is None or len(data) <= longest):
            return key
        return _hashed(data, longest)

    return held


def _hashed(data: bytes, longest: int | None) -> str:
    return f"kvh-{hashlib.sha256(data).hexdigest()}"[:longest]
