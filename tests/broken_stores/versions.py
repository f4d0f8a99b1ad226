"""Comparing and setting, wrongly."""

import itertools
import time
import zlib
from collections.abc import Hashable
from typing import Any

from kvbackends.contract import Entry, StoreURL
from tests.broken_stores.reference import ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import World


@caught_by("threads.no_update_is_lost")
class LostUpdate(ReferenceStore):
    """The version is compared in one call and the value stored in another."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        entry = self.get(key)
        if (entry and entry.version) != version:
            return False
        time.sleep(0.001)
        self.set(key, value, ttl)
        return True


@caught_by("threads.one_creates")
class CreatedTwice(ReferenceStore):
    """Creation alone is no compare-and-set: "is it absent?", then an unconditional write."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        if version is not None:
            return super().compare_and_set(key, value, version, ttl)
        if self.get(key) is not None:
            return False
        time.sleep(0.001)
        self.set(key, value, ttl)
        return True


@caught_by("versions.stale")
class VersionIgnored(ReferenceStore):
    """The condition is "the key exists", whatever its version (an update without WHERE)."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self.world() as world:
            if (world.row(key) is None) != (version is None):
                return False
            world.put(key, value, self.expires(ttl))
            return True


@caught_by("versions.own_bytes_are_no_win")
class OwnBytesWin(ReferenceStore):
    """A refused insert reads the row, and takes equal bytes for its own: two writers create it."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        done = super().compare_and_set(key, value, version, ttl)
        entry = self.get(key) if version is None else None
        return done or (entry is not None and entry.value == value)


@caught_by("versions.own_bytes_are_no_win")
class OwnBytesWinLater(ReferenceStore):
    """A refused update counts as done where the row holds the bytes that it would have written."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        done = super().compare_and_set(key, value, version, ttl)
        entry = None if version is None else self.get(key)
        return done or (entry is not None and entry.value == value)


@caught_by("versions.of_new_connections")
class VersionsOfAConnection(ReferenceStore):
    """Each connection counts its own writes, and takes the count for the version."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.writes = itertools.count(1)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self.world() as world:
            super().set(key, value, ttl)
            world.rows[key] = world.rows[key]._replace(version=str(next(self.writes)))


@caught_by("versions.twins")
class VersionIsAdler(ReferenceStore):
    """The version is the value's Adler-32, which short values often share."""

    class world_type(World):  # noqa: N801
        def put(self, key: str, value: bytes, *rest: Any) -> None:
            super().put(key, value, *rest)
            self.rows[key] = self.rows[key]._replace(version=str(zlib.adler32(value)))


@caught_by("versions.version_never_returns_with_other_bytes")
class VersionRepeats(ReferenceStore):
    """Versions count the writes of a key and begin anew with it after a delete."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self.world() as world:
            row = world.row(key)
            world.put(key, value, self.expires(ttl))
            count = int(row.version) + 1 if row else 1
            world.rows[key] = world.rows[key]._replace(version=str(count))


@caught_by("versions.version_is_the_bytes")
class VersionIsTheLength(ReferenceStore):
    """The version is a weak one: other bytes of the same length have the same (a weak ETag)."""

    def get(self, key: str) -> Entry | None:
        entry = super().get(key)
        return entry and Entry(entry.value, len(entry.value))


@caught_by("versions.deleted")
class DeletedIsCreated(ReferenceStore):
    """A compare-and-set of a key that is gone creates it (an upsert)."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self.world() as world:
            absent = world.row(key) is None
        return super().compare_and_set(key, value, None if absent else version, ttl)


@caught_by("versions.same_bytes")
class SameBytesAreNoChange(ReferenceStore):
    """The driver counts changed rows, and none is where the same bytes are stored (MySQL)."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self.world() as world:
            row = world.row(key)
            changes = row is None or row.value != value
            return super().compare_and_set(key, value, version, ttl) and changes


@caught_by("versions.stale")
class LostRaceRaises(ReferenceStore):
    """A lost race comes out as the driver's exception (a version conflict), not as False."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        if not super().compare_and_set(key, value, version, ttl):
            raise RuntimeError("version conflict")
        return True


@caught_by("versions.with_the_version_read")
class NoVersionFits(ReferenceStore):
    """Versions are read as text and compared as bytes: no write over another one ever succeeds."""

    def get(self, key: str) -> Entry | None:
        entry = super().get(key)
        return entry and Entry(entry.value, str(entry.version).encode())
