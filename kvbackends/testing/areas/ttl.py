"""Times to live."""

import math
import time
from collections.abc import Mapping

import pytest

from kvbackends.contract import Arrival, Barrier, Feature, Outcome, Rank, Store
from kvbackends.testing.check import Area, last
from kvbackends.testing.delayed import Waits
from kvbackends.testing.overlapped import side_by_side
from kvbackends.testing.tools import (
    SHORT,
    TTL,
    arrive,
    begin,
    close,
    complete,
    offer,
    outlive,
    part,
    publisher,
    rank_of,
    value_at,
    version_at,
    within,
)

DAY = 86_400
"""Seconds."""
EXPIRED = 8
"""Number of expired keys to sweep."""
TURNS = 5
"""Attempts to sweep all of them: another client of the server may sweep, too."""
LONGER = 4
"""A store may keep a barrier longer than its ttl, but not as many times as long."""
ROUNDS = 20_000
"""The most sweeps of five keys each: other runs may have left expired keys on the server."""


class TimeToLive(Area):
    """Keys expire after their ttl, and not before."""

    area = "ttl"
    rule = "time-to-live"

    @pytest.mark.parametrize("ttl", [0, -1, 0.0, -0.5, math.nan, math.inf, -math.inf])
    def refused(self, store: Store, key: str, ttl: float) -> None:
        """A time to live is None or a number of seconds above zero; nothing else is stored."""
        opened = f"{key}-barrier"
        store.barrier(opened, TTL).open(b"")
        writes = [
            lambda: store.set(key, b"v", ttl),
            lambda: store.compare_and_set(key, b"v", None, ttl),
            lambda: store.offer(offer(key, Rank.FAILED, ttl=ttl), rank_of),
            lambda: store.increment(key, 1, ttl),
            lambda: store.add_member(key, "m", ttl),
            lambda: store.barrier(key, ttl).open(b""),
            lambda: store.barrier(opened, ttl).arrive(part(0), b"v"),
            lambda: store.barrier(opened, ttl).expect(publisher(), 2),
        ]
        for write in writes:
            with pytest.raises(ValueError, match="time to live"):
                write()
        assert store.get(key) is None

    def part_keeps_its_barrier(self, store: Store, barrier: Barrier) -> None:
        """An arriving part extends the life of its barrier's payload and size to its own ttl."""

        def late(ttl: float) -> Arrival:
            opener = store.barrier(barrier.name, ttl / 2)
            opener.open(b"payload")
            opener.expect(publisher(), 2)
            worker = store.barrier(barrier.name, ttl)
            worker.arrive(part(0), b"v")
            time.sleep(0.6 * ttl)
            return worker.arrive(part(1), b"v")

        claimed, _ = within(store, late)
        assert (claimed.outcome, claimed.payload) == (Outcome.CLAIMED, b"payload")

    def size_keeps_its_barrier(self, store: Store, barrier: Barrier) -> Waits:
        """The size, too, extends the life of its barrier to its own ttl."""

        def early(ttl: float) -> Outcome:
            store.barrier(barrier.name, ttl).open(b"payload")
            return barrier.expect(publisher(), 2).outcome

        outcome, ttl = within(store, early)
        assert outcome is Outcome.WAITING
        yield ttl
        assert arrive(barrier, part(0)).outcome is Outcome.WAITING
        assert arrive(barrier, part(1)).outcome is Outcome.CLAIMED

    def reopened(self, store: Store, barrier: Barrier) -> Waits:
        """Opening a barrier again gives it the new ttl, longer or shorter than the old one."""
        longer, shorter = barrier, store.barrier(f"{barrier.name}-shorter", TTL)
        store.barrier(longer.name, SHORT).open(b"old")
        begin(longer, 1)
        begin(shorter, 1)
        store.barrier(shorter.name, SHORT).open(b"new")
        yield LONGER * SHORT
        assert arrive(longer, part(0)).outcome is Outcome.CLAIMED
        assert arrive(shorter, part(0)).outcome is Outcome.UNKNOWN, "the older ttl was kept"

    def lives_as_long_as_told(self, store: Store, key: str) -> None:
        """A key is there before its time is over, whole and fractional seconds alike."""
        store.set(f"{key}-int", b"v", 30)

        def late(ttl: float) -> Mapping[str, bytes]:
            store.set(key, b"v", ttl)
            time.sleep(ttl * 0.6)
            return store.get_batch([key, f"{key}-int"])

        assert within(store, late)[0] == {key: b"v", f"{key}-int": b"v"}

    def gone_from_every_read(self, store: Store, key: str) -> None:
        """An expired key is absent at once, from every read, swept or not."""
        version, ttl = within(store, lambda ttl: _version(store, key, ttl))
        assert version is not None, "it was gone before its time"
        outlive(store, ttl)
        assert store.get(key) is None
        assert store.get_batch([key]) == {}
        assert not store.touch(key, 10)
        assert not store.compare_and_set(key, b"x", version)
        assert store.compare_and_set(key, b"new", None)

    def without_ttl_it_stays(self, store: Store, key: str) -> Waits:
        """A write without a ttl takes away the one that was there."""
        store.set(key, b"v", SHORT)
        store.set(key, b"v")
        yield SHORT
        assert value_at(store, key) == b"v"

    def last_write_counts(self, store: Store, key: str) -> Waits:
        """The ttl is the last write's."""
        store.set(key, b"v", TTL)
        store.set(key, b"v", SHORT)
        yield SHORT
        assert store.get(key) is None

    def compare_and_set_gives_its_own(self, store: Store, key: str) -> Waits:
        """A compare_and_set brings its ttl, also where it stores the same bytes."""
        store.set(key, b"v", TTL)
        assert store.compare_and_set(key, b"v", version_at(store, key), SHORT)
        yield SHORT
        assert store.get(key) is None

    def touch(self, store: Store, key: str) -> Waits:
        """`touch` prolongs, shortens and takes away, and keeps the value."""
        cases = {"longer": (True, TTL), "shorter": (False, SHORT), "for ever": (True, None)}

        def touched(ttl: float) -> list[bool]:
            for suffix, (short, _) in cases.items():
                store.set(f"{key}-{suffix}", b"v", ttl if short else TTL)
            return [store.touch(f"{key}-{name}", to) for name, (_, to) in cases.items()]

        answers, ttl = within(store, touched, calls=8)
        assert answers == [True] * 3
        yield max(ttl, SHORT)
        left = {f"{key}-longer": b"v", f"{key}-for ever": b"v"}
        assert store.get_batch([f"{key}-{suffix}" for suffix in cases]) == left

    def touch_absent(self, store: Store, key: str) -> None:
        """Touching an absent key says so and creates nothing."""
        assert not store.touch(key, 10)
        assert store.get(key) is None

    def months(self, store: Store, key: str) -> None:
        """A ttl above 30 days, which some stores take for a date, is a ttl.

        So is one whose milliseconds need more than 31 bits, or more than 32.  A store that tells
        lifetimes does not shorten it either.
        """
        for ttl in (2**31 // 1000 + 1, 2**32 / 1000, 90 * DAY, 400 * DAY):
            each = f"{key}-{ttl}"
            store.set(each, b"v", ttl)
            assert value_at(store, each) == b"v", f"a ttl of {ttl} s"
            left = store.lifetimes([each])[each] if "lifetimes" in store.native else ttl
            assert (left or 0) > ttl - TTL, f"a ttl of {ttl} s"


class Sweeping(Area):
    """Freeing what has expired."""

    area = "sweeping"
    rule = "sweeping"
    alone = True

    @last
    def bounded(self, store: Store, key: str) -> None:
        """`sweep` removes at most the given number of expired keys, and no live ones."""
        store.set(f"{key}-live", b"v", TTL)
        _expire(store, key)
        assert 0 <= store.sweep(3) <= 3
        store.sweep()
        assert value_at(store, f"{key}-live") == b"v"

    @last
    def frees(self, store: Store, key: str) -> None:
        """`sweep` removes and counts expired keys, unless the server expires them itself."""
        must_free = "sweep" in store.native and not store.features & Feature.AUTOEXPIRE
        for turn in range(TURNS if must_free else 1):
            _expire(store, f"{key}-{turn}")
            swept = _swept(store)
            if swept >= EXPIRED:
                break
        assert not must_free or swept >= EXPIRED, f"of {EXPIRED} expired keys {swept} were swept"

    @last
    def frees_barriers(self, store: Store, key: str) -> None:
        """`sweep` removes and counts expired barriers, open ones and tombstones alike."""
        if "sweep" not in store.native or store.features & Feature.AUTOEXPIRE:
            pytest.skip("the server removes what has expired by itself")
        for turn in range(TURNS):
            _expire_barriers(store, f"{key}-{turn}")
            swept = _swept(store)
            if swept >= EXPIRED:
                break
        assert swept >= EXPIRED, f"of {EXPIRED} expired barriers, half of them closed, {swept} went"

    @last
    def nothing_to_sweep(self, store: Store, key: str) -> None:
        """Live keys are never swept, whatever was written over or deleted, or expires soon."""

        def soon(ttl: float) -> object:
            store.set(f"{key}-3", b"v", ttl)
            store.sweep()
            return store.get(f"{key}-3")

        assert within(store, soon)[0] is not None, "a key was swept before its time"
        store.set(key, b"v", SHORT)
        store.set(key, b"v", TTL)
        store.set(f"{key}-2", b"v", SHORT)
        store.delete(f"{key}-2")
        store.set(f"{key}-2", b"v")
        _expire(store, f"{key}-expired")
        store.sweep()
        assert set(store.get_batch([key, f"{key}-2"])) == {key, f"{key}-2"}


def _expire(store: Store, key: str) -> None:
    """Write some keys, and let them expire; nothing, if the store does not sweep.

    None expires before the last one is written: a write may remove expired keys, too.
    """
    if "sweep" not in store.native:
        return  # they would be swept, and counted, by another check

    def write(ttl: float) -> None:
        for i in range(EXPIRED):
            store.set(f"{key}-{i}", b"v", ttl)

    _, ttl = within(store, write, calls=EXPIRED)
    outlive(store, ttl)


def _expire_barriers(store: Store, key: str) -> None:
    """Open some barriers, close every other one, and let all expire."""

    def write(n: int, ttl: float) -> None:
        barrier = store.barrier(f"{key}-{n}", ttl)
        if n % 2:
            close(barrier, complete(barrier, 1))
        else:
            barrier.open(b"payload")

    _swept(store)
    _, ttl = within(store, lambda ttl: side_by_side(lambda n: write(n, ttl), range(EXPIRED)))
    outlive(store, LONGER * ttl)


def _swept(store: Store) -> int:
    """Sweep until nothing is left, and return the number of keys that were removed."""
    swept = [store.sweep(5)]
    while swept[-1]:
        assert len(swept) < ROUNDS, "the same keys are swept again and again"
        swept.append(store.sweep(5))
    return sum(swept)


def _version(store: Store, key: str, ttl: float) -> object:
    store.set(key, b"v", ttl)
    entry = store.get(key)
    return entry and entry.version
