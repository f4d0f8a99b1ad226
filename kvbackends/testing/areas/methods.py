"""The five methods."""

import pytest

from kvbackends.contract import Rank, Store
from kvbackends.testing.check import Area
from kvbackends.testing.tools import TTL, Opener, offer, rank_of, value_at

ODD_KEYS = {
    "blank": "with blank",
    "blank at the end": "ends with ",
    "newline": "line\nbreak",
    "nul": "nul\0byte",
    "unicode": "schlüssel-鍵-🔑",
    "quotes": 'it\'s "quoted" `so`',
    "wildcards": "a*b?c%d_e[f]",
    "separators": "a/b\\c:d.e;f,g#h",
    "dollar": "$where.$gt",
    "long": "long-" * 200,
    "very long": "v" * 70_000,
    "exactly ten thousand characters": "t" * (10_000 - len(f"kvt-key-{'0' * 32}")),
}
BARE_KEYS = ("", ".", "..", "/")
"""Keys that are odd without a prefix; the check removes them."""


class Methods(Area):
    """Reading and writing bytes under keys."""

    area = "methods"
    rule = "the-five-methods"

    def absent_key_is_none(self, store: Store, key: str) -> None:
        """A key that was never written is None."""
        assert store.get(key) is None

    def set_then_get(self, store: Store, key: str) -> None:
        """`get` returns the value that `set` stored."""
        store.set(key, b"value")
        assert value_at(store, key) == b"value"

    def set_replaces(self, store: Store, key: str) -> None:
        """`set` stores unconditionally."""
        store.set(key, b"old")
        store.set(key, b"new")
        assert value_at(store, key) == b"new"

    def delete(self, store: Store, key: str) -> None:
        """A deleted key is absent, and deleting an absent key does nothing."""
        store.set(key, b"value")
        store.delete(key)
        store.delete(key)
        assert store.get(key) is None

    def all_bytes(self, store: Store, key: str) -> None:
        """Values may hold any bytes, and come back unchanged."""
        for value in (bytes(range(256)), bytes(range(255, -1, -1)), b"\xff\x00" * 999):
            store.set(key, value)
            read = value_at(store, key)
            assert read == value
            assert type(read) is bytes

    def empty_value(self, store: Store, key: str) -> None:
        """An empty value is a value."""
        store.set(key, b"")
        assert value_at(store, key) == b""
        assert store.get_batch([key]) == {key: b""}
        assert not store.compare_and_set(key, b"x", None)

    def large_value(self, store: Store, key: str) -> None:
        """A value of a megabyte, or of the declared limit, comes back unchanged."""
        value = (bytes(range(256)) * 4096)[: store.limits.value_bytes]
        store.set(key, value)
        assert value_at(store, key) == value

    @pytest.mark.parametrize("odd", ODD_KEYS.values(), ids=ODD_KEYS)
    def odd_keys(self, store: Store, key: str, odd: str) -> None:
        """A key may be any text of any length, for single reads, batches and ranked writes."""
        odd = f"{key}{odd}"
        store.set(odd, b"value")
        assert value_at(store, odd) == b"value"
        for near in (odd + "x", odd[:-1]):
            assert store.get(near) is None
            assert store.get_batch([odd, near]) == {odd: b"value"}
        store.delete(odd)
        assert store.offer(offer(odd, Rank.FAILED), rank_of)
        assert value_at(store, odd) == b"2"

    def bare_keys(self, store: Store) -> None:
        """The empty key, and keys with a meaning in paths, are keys like any other."""
        for bare in BARE_KEYS:
            store.set(bare, b"value", TTL)
            assert value_at(store, bare) == b"value"
            assert store.get_batch([bare]) == {bare: b"value"}
            store.delete(bare)
            assert store.get(bare) is None

    def keys_are_case_sensitive(self, store: Store, key: str) -> None:
        """Keys that differ in case only are different keys."""
        store.set(key, b"lower")
        assert store.get(key.upper()) is None

    def batch(self, store: Store, key: str) -> None:
        """A batch returns the values of the keys that exist, and omits the others."""
        keys = [f"{key}-{i}" for i in range(50)]
        for i, each in enumerate(keys[::2]):
            store.set(each, b"%d" % i)
        assert store.get_batch(keys) == {each: b"%d" % i for i, each in enumerate(keys[::2])}

    def empty_batch(self, store: Store) -> None:
        """An empty batch returns an empty mapping."""
        assert store.get_batch([]) == {}

    def delete_batch(self, store: Store, key: str) -> None:
        """A batch deletes its keys, whether or not they exist, and no others."""
        keys = [f"{key}-{i}" for i in range(30)]
        for each in keys[::2]:
            store.set(each, b"v")
        store.delete_batch(keys[:20])
        store.delete_batch([])
        assert set(store.get_batch(keys)) == set(keys[20::2])

    def second_connection_sees_it(self, opener: Opener, key: str) -> None:
        """A connection reads what another one wrote, also after the other was closed."""
        first, second = opener(), opener()
        first.set(key, b"value")
        assert value_at(second, key) == b"value"
        first.set(key, b"another")
        assert value_at(second, key) == b"another"
        first.close()
        assert value_at(second, key) == b"another"
        second.close()

    def reopens_after_close(self, store: Store, key: str) -> None:
        """A call after `close` opens the store again."""
        store.set(key, b"value")
        store.close()
        store.close()
        assert value_at(store, key) == b"value"

    def ping(self, store: Store) -> None:
        """`ping` succeeds on a store that can be reached."""
        store.ping()
