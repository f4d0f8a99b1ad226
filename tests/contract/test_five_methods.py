"""The five methods, times to live and versions."""

import math
import time
from collections.abc import Callable

import pytest

from kvbackends import Rank, Store, open_store
from kvbackends.layers.guard import Guard
from tests.support.chords import offer, part, publisher, rank_of
from tests.support.dict_store import DictStore

SHORT = 0.08
"""Seconds: a time to live that a test can wait for."""

ODD_KEYS = {
    "empty": "",
    "dots": "..",
    "blank": "with blank",
    "newline": "line\nbreak",
    "nul": "nul\0byte",
    "unicode": "schlüssel-鍵-🔑",
    "quotes": 'it\'s "quoted" `so`',
    "wildcards": "a*b?c%d_e[f]",
    "separators": "a/b\\c:d.e;f,g#h",
    "dollar": "$where.$gt",
    "long": "long-" * 200,
    "very long": "v" * 70_000,
}


def outlive(store: Store, ttl: float = SHORT) -> None:
    """Sleep until a key with this ttl must be gone."""
    time.sleep(ttl + store.limits.ttl_step + 0.02)


def brief(store: Store) -> float:
    """A time to live in which a test can do a few calls, on a slow store or machine too."""
    store.ping()  # connects
    began = time.monotonic()
    store.ping()
    return max(0.3, 20 * (time.monotonic() - began))


class TestFiveMethods:
    def test_absent_key_is_none(self, store: Store, key: str):
        """A key that was never written is None."""
        assert store.get(key) is None

    def test_set_then_get(self, store: Store, key: str):
        """What was set is read."""
        store.set(key, b"value")
        assert store.get(key).value == b"value"

    def test_set_replaces(self, store: Store, key: str):
        """`set` stores unconditionally."""
        store.set(key, b"old")
        store.set(key, b"new")
        assert store.get(key).value == b"new"

    def test_delete(self, store: Store, key: str):
        """A deleted key is absent, and deleting an absent one is fine."""
        store.set(key, b"value")
        store.delete(key)
        store.delete(key)
        assert store.get(key) is None

    def test_all_bytes(self, store: Store, key: str):
        """Values are bytes: every byte, in every position, and none are changed."""
        for value in (bytes(range(256)), bytes(range(255, -1, -1)), b"\xff\x00" * 999):
            store.set(key, value)
            read = store.get(key).value
            assert read == value
            assert type(read) is bytes

    def test_empty_value(self, store: Store, key: str):
        """An empty value is a value."""
        store.set(key, b"")
        assert store.get(key).value == b""
        assert store.get_batch([key]) == {key: b""}
        assert not store.compare_and_set(key, b"x", None)

    def test_large_value(self, store: Store, key: str):
        """A megabyte comes back as it was."""
        value = bytes(range(256)) * 4096
        store.set(key, value)
        assert store.get(key).value == value

    @pytest.mark.parametrize("odd", ODD_KEYS.values(), ids=ODD_KEYS)
    def test_odd_keys(self, store: Store, odd: str):
        """Any text is a key, at any length, for reading alone, in batches and ranked."""
        store.set(odd, b"value")
        assert store.get(odd).value == b"value"
        assert store.get(odd + "x") is None
        assert store.get_batch([odd, odd + "x"]) == {odd: b"value"}
        store.delete_batch([odd])
        assert store.get(odd) is None
        assert store.offer(offer(odd, Rank.FAILED), rank_of)
        assert store.get(odd).value == b"2"
        store.delete(odd)
        assert store.get(odd) is None

    def test_keys_are_case_sensitive(self, store: Store, key: str):
        """Keys that differ in case only are different keys."""
        store.set(key, b"lower")
        assert store.get(key.upper()) is None

    def test_batch(self, store: Store, key: str):
        """A batch has the keys that exist, under their names, and leaves out the others."""
        keys = [f"{key}-{i}" for i in range(50)]
        for i, each in enumerate(keys[::2]):
            store.set(each, b"%d" % i)
        assert store.get_batch(keys) == {each: b"%d" % i for i, each in enumerate(keys[::2])}

    def test_empty_batch(self, store: Store):
        """A batch of nothing is nothing."""
        assert store.get_batch([]) == {}

    def test_delete_batch(self, store: Store, key: str):
        """A batch removes the keys that exist, and absent ones are fine; the others stay."""
        keys = [f"{key}-{i}" for i in range(30)]
        for each in keys[::2]:
            store.set(each, b"v")
        store.delete_batch(keys[:20])
        store.delete_batch([])
        assert set(store.get_batch(keys)) == set(keys[20::2])

    def test_second_connection_sees_it(self, opener: Callable[[], Store], key: str):
        """What one connection has written another reads, and closing the first changes nothing."""
        first, second = opener(), opener()
        first.set(key, b"value")
        assert second.get(key).value == b"value"
        first.close()
        assert second.get(key).value == b"value"
        second.close()

    def test_reopens_after_close(self, store: Store, key: str):
        """A call after `close` opens the store again."""
        store.set(key, b"value")
        store.close()
        store.close()
        assert store.get(key).value == b"value"

    def test_ping(self, store: Store):
        """A store that can be reached answers."""
        store.ping()


class TestTimeToLive:
    @pytest.mark.parametrize("ttl", [0, -1, 0.0, -0.5, math.nan, math.inf, -math.inf])
    def test_refused(self, store: Store, key: str, ttl: float):
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

    def test_lives_as_long_as_told(self, store: Store, key: str):
        """A key is there before its time is over, whole and fractional seconds alike."""
        store.set(key, b"v", 0.9)
        store.set(f"{key}-int", b"v", 3)
        time.sleep(0.2)
        assert store.get(key).value == b"v"
        assert store.get(f"{key}-int").value == b"v"

    def test_gone_from_every_read(self, store: Store, key: str):
        """An expired key is absent at once, from every read, swept or not."""
        ttl = brief(store)
        store.set(key, b"v", ttl)
        version = store.get(key).version
        outlive(store, ttl)
        assert store.get(key) is None
        assert store.get_batch([key]) == {}
        assert not store.touch(key, 10)
        assert not store.compare_and_set(key, b"x", version)
        assert store.compare_and_set(key, b"new", None)

    def test_without_ttl_it_stays(self, store: Store, key: str):
        """A write without a ttl takes away the one that was there."""
        store.set(key, b"v", SHORT)
        store.set(key, b"v")
        outlive(store)
        assert store.get(key).value == b"v"

    def test_last_write_counts(self, store: Store, key: str):
        """The ttl is the last write's."""
        store.set(key, b"v", 60)
        store.set(key, b"v", SHORT)
        outlive(store)
        assert store.get(key) is None

    def test_compare_and_set_gives_its_own(self, store: Store, key: str):
        """A compare_and_set brings its ttl, also where it stores the same bytes."""
        store.set(key, b"v", 60)
        assert store.compare_and_set(key, b"v", store.get(key).version, SHORT)
        outlive(store)
        assert store.get(key) is None

    def test_touch(self, store: Store, key: str):
        """`touch` prolongs, shortens and takes away, and keeps the value."""
        ttl = brief(store)
        for suffix, before, after, there in (
            ("longer", ttl, 60, True),
            ("shorter", 60, ttl, False),
            ("for ever", ttl, None, True),
        ):
            store.set(f"{key}-{suffix}", b"v", before)
            assert store.touch(f"{key}-{suffix}", after)
            outlive(store, ttl)
            assert (store.get_batch([f"{key}-{suffix}"]) == {f"{key}-{suffix}": b"v"}) is there

    def test_touch_absent(self, store: Store, key: str):
        """Touching an absent key says so and creates nothing."""
        assert not store.touch(key, 10)
        assert store.get(key) is None

    def test_months(self, store: Store, key: str):
        """A ttl above 30 days, where some stores take it for a date, is one."""
        store.set(key, b"v", 90 * 86400)
        assert store.get(key).value == b"v"


class TestCompareAndSet:
    def test_only_if_absent(self, store: Store, key: str):
        """Version None stores only where nothing is."""
        assert store.compare_and_set(key, b"first", None)
        assert not store.compare_and_set(key, b"second", None)
        assert store.get(key).value == b"first"

    def test_with_the_version_read(self, store: Store, key: str):
        """The version that was read is the one to compare with."""
        store.set(key, b"one")
        assert store.compare_and_set(key, b"two", store.get(key).version)
        assert store.get(key).value == b"two"

    def test_stale(self, store: Store, key: str):
        """A version from before another write is False, and nothing is stored."""
        store.set(key, b"one")
        stale = store.get(key).version
        store.set(key, b"two")
        assert not store.compare_and_set(key, b"three", stale)
        assert store.get(key).value == b"two"

    def test_deleted(self, store: Store, key: str):
        """A version of a key that was deleted is False, not a creation."""
        store.set(key, b"one")
        version = store.get(key).version
        store.delete(key)
        assert not store.compare_and_set(key, b"two", version)
        assert store.get(key) is None

    def test_version_never_returns_with_other_bytes(self, store: Store, key: str):
        """After delete and re-creation an old version does not fit other bytes."""
        versions = {}
        for i in range(20):
            store.set(key, b"%d" % i)
            versions[store.get(key).version] = i
            store.delete(key)
        assert len(versions) == 20
        store.set(key, b"last")
        assert not any(store.compare_and_set(key, b"bad", version) for version in versions)

    def test_same_bytes(self, store: Store, key: str):
        """Storing the bytes that are there is a success."""
        store.set(key, b"same")
        assert store.compare_and_set(key, b"same", store.get(key).version)

    def test_version_is_the_bytes(self, store: Store, key: str):
        """Equal versions mean equal bytes: a read between writes never mixes them."""
        seen: dict[object, bytes] = {}
        for i in (1, 2, 1, 2, 3):
            store.set(key, b"%d" % i)
            entry = store.get(key)
            assert seen.setdefault(entry.version, entry.value) == entry.value


def test_guard_refuses_before_the_store_is_asked():
    """A ttl that is none never reaches an adapter."""
    inner = DictStore()
    with pytest.raises(ValueError, match="time to live"):
        Guard(inner).set("k", b"v", -1)
    assert inner.rows == {}


def test_memory_stores_of_other_names_are_other_stores(key: str):
    """Two names, two stores."""
    open_store("memory://one-name").set(key, b"v")
    assert open_store("memory://other-name").get(key) is None
