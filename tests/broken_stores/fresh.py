"""Stores that break a sentence of the contract which is easily overlooked."""

import fnmatch
import json
import re
import time
import zlib
from collections.abc import Collection, Iterator, Mapping

from kvbackends.contract import Arrival, BarrierState, Feature, Limits, Part, StoreURL
from kvbackends.stores.memory import MemorySubscription
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by


@caught_by("listings.while_keys_are_rewritten")
class ListsByAge(ReferenceStore):
    """Pages go by when a key was written: one that is written meanwhile comes again."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.written: dict[str, int] = {}

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self.world():
            self.written[key] = max(self.written.values(), default=0) + 1
            super().set(key, value, ttl)

    def scan(self, prefix: str) -> Iterator[str]:
        seen = -1
        while ages := sorted((self.written.get(k, 0), k) for k in super().scan(prefix)):
            page = [each for each in ages if each[0] > seen][:100]
            if not page:
                return
            seen = page[-1][0]
            yield from (key for _, key in page)


@caught_by("inspecting.looking_changes_nothing")
class LookingProlongs(ReferenceStore):
    """Looking at a barrier renews it, so that a forgotten one stays as long as it is looked at."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def state(self) -> BarrierState | None:
            with self.store.world() as world:
                self.store.opened(world, self.name, None)
            return super().state()


@caught_by("waiting.watched_again")
class DeafAfterUnwatching(ReferenceStore):
    """A key that was unwatched once is told of no more, though it is watched again."""

    class subscription_type(MemorySubscription):  # noqa: N801
        gone: frozenset[str] = frozenset()

        def watch(self, keys: Collection[str]) -> None:
            super().watch(set(keys) - self.gone)

        def unwatch(self, keys: Collection[str]) -> None:
            super().unwatch(keys)
            self.gone |= set(keys)


@caught_by("keys.large_everywhere")
class PayloadTruncated(ReferenceStore):
    """The payload of a barrier is cut at 65,535 bytes."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def open(self, payload: bytes) -> None:
            super().open(payload[:65_535])


@caught_by("inspecting.expired_keys_have_no_lifetime")
class ExpiredHaveLifetimes(ReferenceStore):
    """Expired keys have lifetimes, below zero."""

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        with self.world() as world:
            rows = {key: world.rows[key] for key in keys if key in world.rows}
        now = time.monotonic()
        return {k: None if r.expires == float("inf") else r.expires - now for k, r in rows.items()}


@caught_by("lasting.confirmed_is_there")
class ClosingDropsFacets(ReferenceStore):
    """Facets are an index in memory, which closing a connection throws away."""

    def close(self) -> None:
        with self.world() as world:
            for key, row in world.rows.items():
                world.rows[key] = row._replace(facets={})


@caught_by("sweeping.frees_barriers")
class SweepsNoBarriers(ReferenceStore):
    """Only plain keys are swept: expired barriers stay for ever."""

    def sweep(self, limit: int = 1000) -> int:
        with self.world() as world:
            barriers, world.barriers = world.barriers, {}
            try:
                return world.sweep(limit)
            finally:
                world.barriers = barriers


@caught_by("sweeping.frees_barriers")
class SweepsNoTombstones(ReferenceStore):
    """Expired barriers are swept, but for those that were closed."""

    def sweep(self, limit: int = 1000) -> int:
        with self.world() as world:
            closed = {name: each for name, each in world.barriers.items() if each.done}
            for name in closed:
                del world.barriers[name]
            try:
                return world.sweep(limit)
            finally:
                world.barriers.update(closed)


@caught_by("ttl.reopened")
class ReopeningKeepsTheLongerTime(ReferenceStore):
    """A barrier that is opened again lives as long as its older run, if that is longer."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def open(self, payload: bytes) -> None:
            with self.store.world() as world:
                old = world.barrier(self.name)
                super().open(payload)
                new = world.barriers[self.name]
                new.expires = max(new.expires, old.expires if old else 0)


@caught_by("ttl.size_keeps_its_barrier")
class SizeDoesNotRenew(ReferenceStore):
    """The size is written without renewing its barrier."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def expect(self, part: Part, size: int) -> Arrival:
            with self.store.world() as world:
                state = world.barrier(self.name)
                expires = state.expires if state else 0
                answer = super().expect(part, size)
                if state is not None:
                    state.expires = expires
                return answer


@caught_by("ttl.reopened")
class ReopeningKeepsTheTime(ReferenceStore):
    """A barrier that is opened again ends when its older run would have ended."""

    class barrier_type(SizeDoesNotRenew.barrier_type):  # noqa: N801
        def open(self, payload: bytes) -> None:
            with self.store.world() as world:
                old = world.barrier(self.name)
                super().open(payload)
                if old is not None:
                    world.barriers[self.name].expires = old.expires


class Understands(ReferenceStore):
    """Stores what it takes a value for; a subclass says what that is."""

    def understood(self, value: bytes) -> bytes:
        raise NotImplementedError

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        super().set(key, self.understood(value), ttl)


@caught_by("keys.nothing_is_understood")
class UnpacksValues(Understands):
    """What begins like zlib's format was packed by the client, and is unpacked for it."""

    def understood(self, value: bytes) -> bytes:
        return zlib.decompress(value) if value.startswith(b"\x78\xda") else value


@caught_by("keys.nothing_is_understood")
class JsonColumn(Understands):
    """What is JSON is kept as JSON, and comes back in another spelling (PostgreSQL's jsonb)."""

    def understood(self, value: bytes) -> bytes:
        try:
            return json.dumps(json.loads(value), sort_keys=True).encode()
        except ValueError:
            return value


@caught_by("keys.nothing_is_understood")
class UndoesEscapes(Understands):
    """A backslash and an n in a value come back as a new line (LOAD DATA)."""

    def understood(self, value: bytes) -> bytes:
        return value.replace(rb"\n", b"\n")


@caught_by("listing.wildcards_are_letters")
class GlobUnderAPattern(ReferenceStore):
    """Keys are hashed that have other letters than the store's, and prefixes are globs."""

    limits = Limits(key_pattern=r"[A-Za-z0-9-]+")

    def scan(self, prefix: str) -> Iterator[str]:
        return (key for key in super().scan("") if fnmatch.fnmatchcase(key, f"{prefix}*"))


@caught_by("listing.wildcards_are_letters")
class LikeUnderAPattern(ReferenceStore):
    """Keys may have underscores, and a prefix is matched by LIKE."""

    limits = Limits(key_pattern=r"[A-Za-z0-9_-]+")

    def scan(self, prefix: str) -> Iterator[str]:
        pattern = re.escape(prefix).replace("%", ".*").replace("_", ".")
        return (key for key in super().scan("") if re.match(pattern, key, re.DOTALL))


@caught_by("freeing.expired_keys_go", slow=True)
class NothingGoes(ReferenceStore):
    """AUTOEXPIRE is promised, and what has expired is passed over, for ever."""

    promises = Feature.AUTOEXPIRE
