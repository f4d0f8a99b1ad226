"""Batches and counters that differ from single reads."""

import itertools
import json
import time
from collections.abc import Collection, Mapping

from tests.broken_stores.reference import ReferenceStore
from tests.broken_stores.registry import caught_by


@caught_by("methods.batch")
class BatchDropsKeys(ReferenceStore):
    """The server answers the first 20 keys of a batch, and the rest is not requested."""

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        return super().get_batch(list(itertools.islice(keys, 20)))


@caught_by("methods.batch")
class BatchHasMissing(ReferenceStore):
    """A batch names the keys that are missing too, with empty values."""

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        return {**dict.fromkeys(keys, b""), **super().get_batch(keys)}


@caught_by("ttl.gone_from_every_read")
class BatchReadsExpired(ReferenceStore):
    """Only `get` filters what has expired; the query of the batch has forgotten to."""

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        with self.world() as world:
            return {key: world.rows[key].value for key in keys if key in world.rows}


@caught_by("methods.empty_batch")
class EmptyBatch(ReferenceStore):
    """A batch of no keys is sent, and the server refuses it (MGET without arguments)."""

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        if not keys:
            raise RuntimeError("wrong number of arguments")
        return super().get_batch(keys)


@caught_by("threads.no_increment_is_lost")
class IncrementInTwoSteps(ReferenceStore):
    """A counter is read and then written, and an addition in between is lost."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        entry = self.get(key)
        time.sleep(0.001)
        total = int(entry.value if entry else b"0") + by
        self.set(key, b"%d" % total, ttl)
        return total


@caught_by("counters.ttl")
class IncrementForEver(ReferenceStore):
    """A counter never expires: the command that counts takes no time to live (INCRBY)."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        return super().increment(key, by, None)


@caught_by("counters.is_a_decimal")
class IncrementBinary(ReferenceStore):
    """A counter is packed as eight bytes, and cannot go on from a decimal."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        with self.world() as world:
            row = world.row(key)
            total = int.from_bytes(row.value if row else b"", signed=True) + by
            world.put(key, total.to_bytes(8, signed=True), self.expires(ttl))
            return total


@caught_by("counters.is_a_decimal")
class SumsKeepTheirWidth(ReferenceStore):
    """A sum that has fewer digits than before is padded with blanks (memcached's DECR)."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        with self.world() as world:
            row = world.row(key)
            width = len(row.value) if row else 0
            total = super().increment(key, by, ttl)
            world.put(key, (b"%d" % total).ljust(width), self.expires(ttl))
            return total


@caught_by("counters.any_length")
class IncrementWraps(ReferenceStore):
    """A number has 64 bits, and goes on from below where it has reached their end."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        with self.world() as world:
            row = world.row(key)
            total = (int(row.value if row else b"0") + by + 2**63) % 2**64 - 2**63
            world.put(key, b"%d" % total, self.expires(ttl))
            return total


@caught_by("methods.delete_batch")
class DeletesTheFirst(ReferenceStore):
    """A batch of deletes ends with the first page of ten keys."""

    def delete_batch(self, keys: Collection[str]) -> None:
        super().delete_batch(list(itertools.islice(keys, 10)))


@caught_by("pickling.group")
class BatchInReverse(ReferenceStore):
    """The values of a batch are joined with its keys in the wrong order."""

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        found = super().get_batch(keys)
        return dict(zip(found, reversed(list(found.values())), strict=True))


@caught_by("members.reads_as_a_list")
class MembersInLines(ReferenceStore):
    """A set is kept as text, one member in each line, and a member with two lines becomes two."""

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        with self.world() as world:
            row = world.row(key)
            members = {*(json.loads(row.value) if row else ()), *member.splitlines()}
            world.put(key, json.dumps(sorted(members)).encode(), self.expires(ttl))
            return frozenset(members)


@caught_by("members.expired_set_begins_anew")
class ExpiredMembersReturn(ReferenceStore):
    """Adding to a set that has expired and is not swept brings its members back ($addToSet)."""

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        with self.world() as world:
            if key in world.rows:
                world.prolong(key, self.expires(ttl))
            return super().add_member(key, member, ttl)
