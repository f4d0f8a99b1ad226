"""Stores that take different keys, versions or kinds of records for the same."""

import unicodedata
import zlib
from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kvbackends.contract import Entry, Offer, RankOf
from tests.broken_stores.plain import OtherKeys
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import World


class OtherKeysInBatches(OtherKeys):
    """Correct, if `held` is."""

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        found = super().get_batch([self.held(key) for key in keys])
        return {key: found[self.held(key)] for key in keys if self.held(key) in found}


@caught_by("keys.similar")
class KeysNormalised(OtherKeysInBatches):
    """A letter with an accent is one key in one code point and in two (a file name on a Mac)."""

    def held(self, key: str) -> str:
        return unicodedata.normalize("NFC", key)


@caught_by("keys.similar")
class AccentsIgnored(OtherKeysInBatches):
    """Keys are compared without accents (a collation ending in `_ai`)."""

    def held(self, key: str) -> str:
        return "".join(c for c in unicodedata.normalize("NFD", key) if not unicodedata.combining(c))


@caught_by("keys.similar")
class NoPlaneButTheFirst(OtherKeysInBatches):
    """Letters of four bytes are one and the same (utf8mb3)."""

    def held(self, key: str) -> str:
        return "".join(c if ord(c) < 65_536 else "?" for c in key)


@caught_by("keys.similar")
class KeyEndsAtNul(OtherKeysInBatches):
    """A library in C ends a key at its first zero, and keeps the length beside it."""

    def held(self, key: str) -> str:
        return key.partition("\0")[0] + f" {len(key)}"


@caught_by("keys.longest")
class LongKeysAlike(OtherKeysInBatches):
    """Of a long key the first 4,096 letters and the length are compared."""

    def held(self, key: str) -> str:
        return key if len(key) < 4_096 else f"{key[:4_096]}{len(key)}"


@caught_by("keys.read_as_bytes")
class BatchOfBytearrays(ReferenceStore):
    """A batch hands out the driver's buffers: they are equal to bytes, and cannot be hashed."""

    def get_batch(self, keys: Collection[str]) -> Any:
        return {key: bytearray(value) for key, value in super().get_batch(keys).items()}


@caught_by("keys.read_as_bytes")
class PayloadIsText(ReferenceStore):
    """The payload of a barrier passes through text."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def open(self, payload: bytes) -> None:
            super().open(payload.decode(errors="replace").encode())


@caught_by("keys.kinds_in_one_batch")
class SetsOfAnotherType(ReferenceStore):
    """A batch fails that has a set among its keys (MGET passes over it)."""

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        with self.world() as world:
            vars(world).setdefault("sets", set()).add(key)
        return super().add_member(key, member, ttl)

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        with self.world() as world:
            sets = vars(world).get("sets", set())
        return super().get_batch([key for key in keys if key not in sets])


@caught_by("keys.bad_record")
class LockedByAnError(ReferenceStore):
    """An error while a record is ranked leaves the lock held: other threads wait for ever."""

    @contextmanager
    def world(self) -> Iterator[World]:
        lock = self.space.lock()
        if not lock.acquire(timeout=0.5):
            raise RuntimeError("lock wait timeout exceeded")
        yield self.space.world
        lock.release()


@caught_by("keys.bad_record")
class BadIsReplaced(ReferenceStore):
    """A record that cannot be ranked is replaced by any other."""

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        row = world.row(offer.key)
        try:
            _ = row and rank_of(row.value)
        except ValueError:
            world.rows.pop(offer.key)
        return super().ranked(world, offer, rank_of)


@caught_by("keys.large_everywhere")
class OffersTruncated(ReferenceStore):
    """`set` knows how large values are stored, and `offer` cuts them at 65,535 bytes."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        return super().offer(offer._replace(value=offer.value[:65_535]), rank_of)


@caught_by("limits.large_batch")
class AnswerTooLarge(ReferenceStore):
    """A batch is answered up to eight megabytes; what comes after them is lost."""

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        found, size = {}, 0
        for key, value in super().get_batch(keys).items():
            size += len(value)
            if size < 8 << 20:
                found[key] = value
        return found


@caught_by("limits.largest_batch")
class DeletesAPage(ReferenceStore):
    """A batch of deletes ends with its first page of 500 keys."""

    def delete_batch(self, keys: Collection[str]) -> None:
        super().delete_batch(list(keys)[:500])


@caught_by("versions.twins")
class VersionIsACheckSum(ReferenceStore):
    """The version is the CRC-32 of the bytes."""

    def get(self, key: str) -> Entry | None:
        entry = super().get(key)
        return entry and Entry(entry.value, zlib.crc32(entry.value))

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self.world() as world:
            row = world.row(key)
            if (row and zlib.crc32(row.value)) != version:
                return False
            world.put(key, value, self.expires(ttl))
            return True


class _Counting(World):
    def put(
        self, key: str, value: bytes, expires: float, facets: Mapping[str, str] | None = None
    ) -> None:
        counts: dict[str, int] = vars(self).setdefault("counts", {})
        if key in self.rows and self.row(key) is None:
            counts.pop(key, None)
        counts[key] = counts.get(key, 0) + 1
        super().put(key, value, expires, facets)
        self.rows[key] = self.rows[key]._replace(version=str(counts[key]))


@caught_by("versions.version_after_expiry")
class VersionsExpire(ReferenceStore):
    """Versions count the writes of a key, and begin anew when it has expired."""

    world_type = _Counting
