"""The layer next to the adapter: it checks what every adapter would have to check."""

import hashlib
import math
import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Any

from kvbackends.contract.records import Entry, Limits, Offer, Part, RankOf, Subscription
from kvbackends.contract.store import Store
from kvbackends.errors import ValueTooLarge
from kvbackends.layers.layer import Layer


class Guard(Layer):
    """Keeps the store's limits: values too large are refused, odd keys are hashed, ttls checked."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._largest = inner.limits.value_bytes
        self._key = _key_mapping(inner.limits)

    def get(self, key: str) -> Entry | None:
        """The value under the key as the store can hold it."""
        return self.inner.get(self._key(key))

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Refuses values too large and ttls that are none."""
        self.inner.set(self._key(key), self._fits(value), valid_ttl(ttl))

    def delete(self, key: str) -> None:
        """Removes the key as the store can hold it."""
        self.inner.delete(self._key(key))

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Refuses values too large and ttls that are none."""
        return self.inner.compare_and_set(
            self._key(key), self._fits(value), version, valid_ttl(ttl)
        )

    def around_get_batch(
        self, operation: Callable[..., Mapping[str, bytes]], keys: Collection[str]
    ) -> Mapping[str, bytes]:
        """The answer names the keys as they were asked for."""
        if self._key is _as_it_is:
            return operation(keys)
        held = {self._key(key): key for key in keys}
        return {held[key]: value for key, value in operation(list(held)).items()}

    def around_delete_batch(self, operation: Callable[..., None], keys: Collection[str]) -> None:
        """Removes the keys as the store can hold them."""
        operation([self._key(key) for key in keys])

    def around_offer(self, operation: Callable[..., bool], offer: Offer, rank_of: RankOf) -> bool:
        """Checks the offer."""
        return operation(self._offer(offer), rank_of)

    def around_finish(
        self,
        operation: Callable[..., Any],
        offer: Offer,
        part: Part,
        rank_of: RankOf,
        ttl: float | None,
        evict: str | None = None,
    ) -> Any:
        """Checks the offer and the part."""
        return operation(self._offer(offer), self._part(part), rank_of, valid_ttl(ttl), evict)

    def around_open_barrier(
        self, operation: Callable[..., None], barrier: str, about: bytes, ttl: float | None
    ) -> None:
        """Checks the key and the ttl."""
        operation(self._key(barrier), self._fits(about), valid_ttl(ttl))

    def around_expect(
        self, operation: Callable[..., Any], part: Part, size: int, ttl: float | None
    ) -> Any:
        """Checks the key and the ttl."""
        return operation(self._part(part), size, valid_ttl(ttl))

    def around_expect_more(
        self,
        operation: Callable[..., None],
        part: Part,
        slot: int,
        member: str,
        ttl: float | None,
    ) -> None:
        """Checks the key and the ttl."""
        operation(self._part(part), slot, member, valid_ttl(ttl))

    def around_arrive(
        self,
        operation: Callable[..., Any],
        part: Part,
        value: bytes | None,
        ttl: float | None,
        evict: str | None = None,
    ) -> Any:
        """Checks the part, its value and the ttl."""
        fitting = None if value is None else self._fits(value)
        return operation(self._part(part), fitting, valid_ttl(ttl), evict)

    def around_parts(
        self, operation: Callable[..., Iterator[tuple[int, str, bytes]]], barrier: str
    ) -> Iterator[tuple[int, str, bytes]]:
        """The parts under the key as the store can hold it."""
        return operation(self._key(barrier))

    def around_renew(self, operation: Callable[..., bool], part: Part) -> bool:
        """Checks the key."""
        return operation(self._part(part))

    def around_close_barrier(
        self,
        operation: Callable[..., None],
        part: Part,
        ttl: float | None,
        offer: Offer | None,
        rank_of: RankOf,
    ) -> None:
        """Checks the part and the offer."""
        checked = None if offer is None else self._offer(offer)
        operation(self._part(part), valid_ttl(ttl), checked, rank_of)

    def around_add_member(
        self,
        operation: Callable[..., frozenset[str]],
        key: str,
        member: str,
        ttl: float | None,
    ) -> frozenset[str]:
        """Checks the key and the ttl."""
        return operation(self._key(key), member, valid_ttl(ttl))

    def around_touch(self, operation: Callable[..., bool], key: str, ttl: float | None) -> bool:
        """Checks the key and the ttl."""
        return operation(self._key(key), valid_ttl(ttl))

    def around_increment(
        self, operation: Callable[..., int], key: str, by: int, ttl: float | None
    ) -> int:
        """Checks the key and the ttl."""
        return operation(self._key(key), by, valid_ttl(ttl))

    def around_subscribe(self, operation: Callable[..., Subscription]) -> Subscription:
        """The subscription tells of keys as they were asked for."""
        inner = operation()
        return inner if self._key is _as_it_is else _Translated(inner, self._key)

    def _offer(self, offer: Offer) -> Offer:
        if self._largest is not None and len(offer.value) > self._largest:
            self._fits(offer.value)
        valid_ttl(offer.ttl)
        if self._key is _as_it_is:
            return offer
        return offer._replace(key=self._key(offer.key))

    def _part(self, part: Part) -> Part:
        return part if self._key is _as_it_is else part._replace(barrier=self._key(part.barrier))

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


def _key_mapping(limits: Limits) -> Callable[[str], str]:
    longest, pattern = limits.key_bytes, limits.key_pattern
    if longest is None and pattern is None:
        return _as_it_is
    full_match = re.compile(pattern or ".*", re.DOTALL).fullmatch

    def held(key: str) -> str:
        data = key.encode()
        if full_match(key) and (longest is None or len(data) <= longest):
            return key
        return f"kvh-{hashlib.sha256(data).hexdigest()}"

    return held
