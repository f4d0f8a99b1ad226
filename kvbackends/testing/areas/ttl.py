"""Times to live."""

import math
import time

import pytest

from kvbackends import Rank, Store
from kvbackends.testing.registry import Area
from kvbackends.testing.tools import (
    SHORT,
    offer,
    outlive,
    part,
    publisher,
    rank_of,
    value_at,
    version_at,
)

READABLE = 0.5
"""Seconds: a time to live in which a busy machine reads, too."""


class TimeToLive(Area):
    """What expires, and when."""

    area = "ttl"
    rule = "time-to-live"

    @pytest.mark.parametrize("ttl", [0, -1, 0.0, -0.5, math.nan, math.inf, -math.inf])
    def refused(self, store: Store, key: str, ttl: float) -> None:
        """A time to live is None or a number of seconds above zero; nothing else is stored."""
        writes = [
            lambda: store.set(key, b"v", ttl),
            lambda: store.compare_and_set(key, b"v", None, ttl),
            lambda: store.offer(offer(key, Rank.FAILED, ttl=ttl), rank_of),
            lambda: store.increment(key, 1, ttl),
            lambda: store.add_member(key, "m", ttl),
            lambda: store.open_barrier(key, b"", ttl),
            lambda: store.arrive(part(key, 0), b"v", ttl),
            lambda: store.expect(publisher(key), 2, ttl),
        ]
        for write in writes:
            with pytest.raises(ValueError, match="time to live"):
                write()
        assert store.get(key) is None

    def lives_as_long_as_told(self, store: Store, key: str) -> None:
        """A key is there before its time is over, whole and fractional seconds alike."""
        store.set(key, b"v", 0.9)
        store.set(f"{key}-int", b"v", 3)
        time.sleep(0.2)
        assert value_at(store, key) == b"v"
        assert value_at(store, f"{key}-int") == b"v"

    def gone_from_every_read(self, store: Store, key: str) -> None:
        """An expired key is absent at once, from every read, swept or not."""
        store.set(key, b"v", READABLE)
        version = version_at(store, key)
        outlive(store, READABLE)
        assert store.get(key) is None
        assert store.get_batch([key]) == {}
        assert not store.touch(key, 10)
        assert not store.compare_and_set(key, b"x", version)
        assert store.compare_and_set(key, b"new", None)

    def without_ttl_it_stays(self, store: Store, key: str) -> None:
        """A write without a ttl takes away the one that was there."""
        store.set(key, b"v", SHORT)
        store.set(key, b"v")
        outlive(store)
        assert value_at(store, key) == b"v"

    def last_write_counts(self, store: Store, key: str) -> None:
        """The ttl is the last write's."""
        store.set(key, b"v", 60)
        store.set(key, b"v", SHORT)
        outlive(store)
        assert store.get(key) is None

    def compare_and_set_gives_its_own(self, store: Store, key: str) -> None:
        """A compare_and_set brings its ttl, also where it stores the same bytes."""
        store.set(key, b"v", 60)
        assert store.compare_and_set(key, b"v", version_at(store, key), SHORT)
        outlive(store)
        assert store.get(key) is None

    def touch(self, store: Store, key: str) -> None:
        """`touch` prolongs, shortens and takes away, and keeps the value."""
        for suffix, before, after, there in (
            ("longer", READABLE, 60, True),
            ("shorter", 60, SHORT, False),
            ("for ever", READABLE, None, True),
        ):
            store.set(f"{key}-{suffix}", b"v", before)
            assert store.touch(f"{key}-{suffix}", after)
            outlive(store, READABLE)
            assert (store.get_batch([f"{key}-{suffix}"]) == {f"{key}-{suffix}": b"v"}) is there

    def touch_absent(self, store: Store, key: str) -> None:
        """Touching an absent key says so and creates nothing."""
        assert not store.touch(key, 10)
        assert store.get(key) is None

    def months(self, store: Store, key: str) -> None:
        """A ttl above 30 days, where some stores take it for a date, is one."""
        store.set(key, b"v", 90 * 86400)
        assert value_at(store, key) == b"v"
