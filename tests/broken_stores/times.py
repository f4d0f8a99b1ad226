"""Times to live that are lost, rounded or misread."""

import time
from collections.abc import Hashable

from tests.broken_stores.reference import ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import State, World


@caught_by("ttl.lives_as_long_as_told")
class RoundedToZero(ReferenceStore):
    """Whole seconds, rounded down: a fraction of one is none, and the key is dead at once."""

    def expires(self, ttl: float | None) -> float:
        return super().expires(ttl and int(ttl))


@caught_by("ttl.gone_from_every_read")
class ZeroIsForEver(ReferenceStore):
    """Whole seconds, rounded down, and 0 means "never expires" to the server (memcached)."""

    def expires(self, ttl: float | None) -> float:
        return super().expires((ttl and int(ttl)) or None)


@caught_by("ttl.part_keeps_its_barrier")
class BarrierKeepsItsFirst(ReferenceStore):
    """A part has its own time to live, and the record that counts it has the one it began with."""

    def opened(self, world: World, name: str, ttl: float | None) -> State | None:
        return world.barrier(name)


@caught_by("ttl.compare_and_set_gives_its_own")
class LostOnCompareAndSet(ReferenceStore):
    """The conditional write keeps no time to live: its results stay for ever."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        return super().compare_and_set(key, value, version, None)


@caught_by("ttl.gone_from_every_read")
class TouchRevives(ReferenceStore):
    """Touching an expired key that is not swept yet brings it back."""

    def touch(self, key: str, ttl: float | None) -> bool:
        with self.world() as world:
            if key not in world.rows:
                return False
            world.prolong(key, self.expires(ttl))
            return True


@caught_by("ttl.touch_absent")
class TouchCreates(ReferenceStore):
    """Touching an absent key creates it, empty (an upsert)."""

    def touch(self, key: str, ttl: float | None) -> bool:
        with self.world() as world:
            row = world.row(key)
            world.put(key, row.value if row else b"", self.expires(ttl))
            return True


@caught_by("methods.set_then_get")
class NoneIsZero(ReferenceStore):
    """``ttl or 0``: a key that was to stay for ever is gone at once."""

    def expires(self, ttl: float | None) -> float:
        return super().expires(ttl or 0)


@caught_by("ttl.without_ttl_it_stays")
class OldTimeStays(ReferenceStore):
    """A write without a time to live leaves the one that was there (a partial update)."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self.world() as world:
            row = world.row(key)
            world.put(key, value, row.expires if row and ttl is None else self.expires(ttl))


@caught_by("ttl.months")
class MillisecondsIn32Bits(ReferenceStore):
    """A time to live is sent as a signed number of milliseconds of 32 bits, and wraps around."""

    def expires(self, ttl: float | None) -> float:
        return super().expires(ttl and (int(ttl * 1000) + 2**31) % 2**32 / 1000 - 2**31 / 1000)


@caught_by("ttl.months")
class MonthsAreCut(ReferenceStore):
    """A time to live is at most 2**31 milliseconds, and a longer one is cut to that."""

    def expires(self, ttl: float | None) -> float:
        return super().expires(ttl and min(ttl, 2**31 / 1000))


@caught_by("ttl.months")
class MonthsAreADate(ReferenceStore):
    """A time to live above 30 days is taken for a date, in 1970 (memcached)."""

    def expires(self, ttl: float | None) -> float:
        return super().expires(ttl if ttl is None or ttl <= 30 * 86400 else ttl - time.time())


@caught_by("ttl.gone_from_every_read")
class ExpiredStandsInTheWay(ReferenceStore):
    """An expired key that is not swept yet makes the creation of a new one fail (a unique key)."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self.world() as world:
            if version is None and key in world.rows:
                return False
            return super().compare_and_set(key, value, version, ttl)


@caught_by("sweeping.nothing_to_sweep")
class SweepsInAdvance(ReferenceStore):
    """A sweep removes what expires within the next second (its clock is another host's)."""

    def sweep(self, limit: int = 1000) -> int:
        with self.world() as world:
            soon = [key for key, row in world.live() if row.expires < time.monotonic() + 1]
            for key in soon:
                del world.rows[key]
            return super().sweep(limit)


@caught_by("sweeping.nothing_to_sweep")
class SweepsByOldTime(ReferenceStore):
    """The sweep goes by the time that a key was first given, though it was prolonged since."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self.world() as world:
            first = min(self.expires(ttl), getattr(world, f"first-{key}", float("inf")))
            setattr(world, f"first-{key}", first)
        super().set(key, value, ttl)

    def sweep(self, limit: int = 1000) -> int:
        now = time.monotonic()
        with self.world() as world:
            first = {key: getattr(world, f"first-{key}", now) for key in world.rows}
            expired = [key for key in world.rows if first[key] < now][:limit]
            for key in expired:
                del world.rows[key]
        return len(expired)


@caught_by("sweeping.bounded")
class SweepsUnbounded(ReferenceStore):
    """A sweep removes all that has expired, at once, and holds the lock for as long as it takes."""

    def sweep(self, limit: int = 1000) -> int:
        return super().sweep(1_000_000)


@caught_by("sweeping.frees")
class SweepOnlyCounts(ReferenceStore):
    """A sweep counts the expired keys and removes none (the delete was never committed)."""

    def sweep(self, limit: int = 1000) -> int:
        with self.world() as world:
            return min(limit, sum(world.row(key) is None for key in world.rows))


@caught_by("sweeping.frees")
class SweepsNothing(ReferenceStore):
    """A sweep looks for what has expired by another clock, and never finds any."""

    def sweep(self, limit: int = 1000) -> int:
        return 0
