"""Values above the store's limit, split into several keys: ``chunk=1`` in the URL.

The chunks are written first, under keys of their own; then a *manifest* takes the value's place.
Its random token is part of the chunks' keys, so a chunk never changes: a reader that finds them all
has the value that the manifest stood for.  Small values stay as they are, for other readers too.
"""

import secrets
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import NamedTuple

from kvbackends.contract.barrier import Barrier
from kvbackends.contract.derived import get_many
from kvbackends.contract.records import Entry, Offer, RankOf
from kvbackends.contract.store import Store
from kvbackends.errors import StoreError, ValueTooLarge
from kvbackends.layers.barriers import ChunkedBarrier
from kvbackends.layers.guard import valid_ttl
from kvbackends.layers.layer import Layer
from kvbackends.layers.manifest import (
    MAGIC,
    MOST_CHUNKS,
    Manifest,
    Ranking,
    is_chunk,
    manifest_of,
)

MARGIN = 300.0
"""Seconds that chunks outlive their manifest: for writing all of them before it, and reading all
of them after it."""


class ManifestVersion(NamedTuple):
    """The version of a large value; a writer that replaces it knows which chunks to remove."""

    version: Hashable
    manifest: bytes


class Chunks(Layer):
    """Lifts the limit on the size of values, to `largest` bytes.

    A value of which a chunk is missing, on a store that loses keys before their time, is absent.
    Chunks of replaced values are removed where the layer learns of them, else they expire.
    Reading a broken manifest raises `StoreError`; other operations take it for a plain value.
    """

    def __init__(self, inner: Store, largest: int = 100 << 20) -> None:
        super().__init__(inner)
        if inner.limits.value_bytes is None:
            raise ValueError("this store has no limit to lift")
        self._size = inner.limits.value_bytes
        self._largest = min(largest, self._size * MOST_CHUNKS)
        self._at_once = max(self._largest // self._size, 1)
        self.limits = inner.limits._replace(value_bytes=self._largest)

    # -- the five -----------------------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """The joined value.  If it is replaced meanwhile, the new one."""
        entry = self.inner.get(key)
        while entry is not None and (manifest := self._sound(key, entry.value)) is not None:
            value = self.joined(key, manifest)
            if value is not None:
                return Entry(value, ManifestVersion(entry.version, entry.value))
            before, entry = entry, self.inner.get(key)
            if entry == before:
                return None
        return entry

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Stores the chunks, then the manifest; removes the chunks of what was there."""
        self.put(key, value, ttl)

    def delete(self, key: str) -> None:
        """Removes the manifest, then the chunks."""
        old = self.inner.get(key)
        self.inner.delete(key)
        self.discard(key, old and old.value)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Stores the chunks, then the manifest if the version is the same."""
        old = None
        if isinstance(version, ManifestVersion):
            version, old = version
        new = self.split(key, value, ttl)
        done = self.inner.compare_and_set(key, new, version, ttl)
        if not done and version is None and (torn := self._torn(key)) is not None:
            done = self.inner.compare_and_set(key, new, torn.version, ttl)
        self.discard(key, old if done else new)
        return done

    # -- native operations that carry values --------------------------------------------------

    def around_get_batch(
        self, operation: Callable[..., Mapping[str, bytes]], keys: Collection[str]
    ) -> Mapping[str, bytes]:
        """The joined values."""
        found = dict(operation(keys))
        for key, stored in tuple(found.items()):
            manifest = self._sound(key, stored)
            if manifest is None:
                continue
            value = self.joined(key, manifest)
            entry = self.get(key) if value is None else Entry(value, None)
            if entry is None:
                del found[key]
            else:
                found[key] = entry.value
        return found

    def around_delete_batch(self, operation: Callable[..., None], keys: Collection[str]) -> None:
        """Removes the manifests, then the chunks."""
        found = dict(get_many(self.inner, keys))
        operation(keys)
        for key, stored in found.items():
            self.discard(key, stored)

    def around_offer(self, operation: Callable[..., bool], offer: Offer, rank_of: RankOf) -> bool:
        """The manifest of a large value has its rank.

        A repeated offer is another manifest than the first, so the store may refuse what it holds.
        """
        ranking = Ranking(rank_of)
        if self._offered(operation, offer, ranking):
            return True
        if self._torn(offer.key) is not None:
            self.inner.delete(offer.key)
            return self._offered(operation, offer, ranking)
        if not ranking.is_unsure and not self.is_large(offer.value):
            return False
        entry = self.get(offer.key)
        if entry is not None and ranking.is_unsure and isinstance(entry.version, ManifestVersion):
            ranking.known[entry.version.manifest] = rank_of(entry.value)
            if self._offered(operation, offer, ranking):
                return True
        return entry is not None and entry.value == offer.value

    def around_barrier(
        self, operation: Callable[..., Barrier], name: str, ttl: float | None = None
    ) -> Barrier:
        """A barrier whose large values are in chunks."""
        return ChunkedBarrier(operation(name, ttl), self)

    def around_touch(self, operation: Callable[..., bool], key: str, ttl: float | None) -> bool:
        """Chunks first; again if the value was replaced meanwhile."""
        entry = self.inner.get(key)
        while entry is not None:
            manifest = manifest_of(entry.value)
            for each in manifest.keys(key) if manifest else ():
                self.inner.touch(each, _longer(ttl))
            if not operation(key, ttl):
                return False
            before, entry = entry, self.inner.get(key)
            if manifest is None or (entry and entry.value) == before.value:
                return True
        return False

    def around_scan(self, operation: Callable[..., Iterator[str]], prefix: str) -> Iterator[str]:
        """Without the keys of chunks."""
        return (key for key in operation(prefix) if not is_chunk(key))

    # -- splitting and joining ----------------------------------------------------------------

    def is_large(self, value: bytes) -> bool:
        """True if the value is split; one that looks like a manifest is, lest it is read as one."""
        return len(value) > self._size or value.startswith(MAGIC)

    def split(self, base: str, value: bytes, ttl: float | None, rank: int = 0) -> bytes:
        """The bytes to store at `base`: the value, or a manifest whose chunks are stored by now."""
        if not self.is_large(value):
            return value
        if len(value) > self._largest:
            raise ValueTooLarge(
                f"a value of {len(value)} bytes is above the limit of {self._largest} for values "
                "that are split; return less, or raise unpacked_mb for all readers and writers"
            )
        count = -(-len(value) // self._size)
        manifest = Manifest(secrets.token_hex(8), count, len(value), rank)
        for number, key in enumerate(manifest.keys(base)):
            piece = value[number * self._size : (number + 1) * self._size]
            self.inner.set(key, piece, _longer(ttl))
        return manifest.encode()

    def joined(self, base: str, manifest: Manifest) -> bytes | None:
        """The value that the manifest at `base` stands for; None if a chunk is missing.

        It is read in steps, so that no more than about twice `largest` bytes are in memory.
        """
        value, keys = bytearray(), manifest.keys(base)
        for start in range(0, len(keys), self._at_once):
            some = keys[start : start + self._at_once]
            found = dict(get_many(self.inner, some))
            value += b"".join(found.get(key, b"") for key in some)
            if len(found) < len(some) or len(value) > min(manifest.length, self._largest):
                return None
        return bytes(value) if len(value) == manifest.length else None

    def _sound(self, key: str, stored: bytes) -> Manifest | None:
        """The manifest, if the stored bytes are one; raises if its value cannot be read."""
        manifest = manifest_of(stored)
        if manifest is None and stored.startswith(MAGIC):
            raise StoreError(f"the manifest of a split value at {key!r} is broken; delete the key")
        if manifest is not None and manifest.length > self._largest:
            raise ValueTooLarge(
                f"the split value at {key!r} has {manifest.length} bytes, above the limit of "
                f"{self._largest}; raise unpacked_mb to read it"
            )
        return manifest

    def _torn(self, key: str) -> Entry | None:
        """The manifest at `key`, if chunks of it are missing and it is not just being replaced."""
        entry = self.inner.get(key)
        manifest = manifest_of(entry and entry.value)
        if manifest is None or self.joined(key, manifest) is not None:
            return None
        return entry if self.inner.get(key) == entry else None

    def put(self, key: str, value: bytes, ttl: float | None) -> bytes:
        """`set`; the bytes that are stored at `key`."""
        old, new = self.inner.get(key), self.split(key, value, ttl)
        self.inner.set(key, new, ttl)
        self.discard(key, old and old.value)
        return new

    def discard(self, base: str, stored: bytes | None) -> None:
        """Remove the chunks of bytes that are no longer stored at `base`."""
        manifest = manifest_of(stored)
        for key in manifest.keys(base) if manifest else ():
            self.inner.delete(key)

    def _offered(self, operation: Callable[..., bool], offer: Offer, ranking: Ranking) -> bool:
        new = self.split(offer.key, offer.value, offer.ttl, offer.rank)
        done = operation(offer._replace(value=new), ranking)
        for each in ranking.seen if done else [new]:
            self.discard(offer.key, each)
        return done


def _longer(ttl: float | None) -> float | None:
    checked = valid_ttl(ttl)
    return None if checked is None else checked + MARGIN
