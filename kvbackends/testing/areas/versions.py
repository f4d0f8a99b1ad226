"""Versions."""

from kvbackends.contract import Store
from kvbackends.testing.check import Area
from kvbackends.testing.delayed import Waits
from kvbackends.testing.tools import SHORT, TTL, Opener, value_at, version_at

TWINS = (
    *((b"plumless", b"buckeroo"), (b"costarring", b"liquid")),
    *((b"ab", b"ba"), (b"\0\2\0", b"\1\0\1")),
)
"""Pairs of values with the same CRC-32, FNV-1, length and sum, and Adler-32."""


class Versions(Area):
    """Writing only over what was read."""

    area = "versions"
    rule = "versions"

    def only_if_absent(self, store: Store, key: str) -> None:
        """Version None stores only if the key is absent."""
        assert store.compare_and_set(key, b"first", None)
        assert not store.compare_and_set(key, b"second", None)
        assert value_at(store, key) == b"first"

    def with_the_version_read(self, store: Store, key: str) -> None:
        """A write with the version that was read succeeds."""
        store.set(key, b"one")
        assert store.compare_and_set(key, b"two", version_at(store, key))
        assert value_at(store, key) == b"two"

    def stale(self, store: Store, key: str) -> None:
        """A version from before another write is False, and nothing is stored."""
        store.set(key, b"one")
        stale = version_at(store, key)
        store.set(key, b"two")
        assert not store.compare_and_set(key, b"three", stale)
        assert value_at(store, key) == b"two"

    def deleted(self, store: Store, key: str) -> None:
        """A version of a key that was deleted is False, not a creation."""
        store.set(key, b"one")
        version = version_at(store, key)
        store.delete(key)
        assert not store.compare_and_set(key, b"two", version)
        assert store.get(key) is None

    def version_never_returns_with_other_bytes(self, store: Store, key: str) -> None:
        """After delete and re-creation an old version does not fit other bytes."""
        versions = {}
        for i in range(20):
            store.set(key, b"%d" % i)
            versions[version_at(store, key)] = i
            store.delete(key)
        assert len(versions) == 20
        store.set(key, b"last")
        assert not any(store.compare_and_set(key, b"bad", version) for version in versions)

    def same_bytes(self, store: Store, key: str) -> None:
        """Storing the bytes that are already stored succeeds."""
        store.set(key, b"same")
        assert store.compare_and_set(key, b"same", version_at(store, key))

    def own_bytes_are_no_win(self, store: Store, key: str) -> None:
        """A write that finds the very bytes that it brings has lost its race like any other."""
        assert store.compare_and_set(key, b"same", None)
        assert not store.compare_and_set(key, b"same", None)
        store.set(key, b"old")
        stale = version_at(store, key)
        store.set(key, b"same")
        assert not store.compare_and_set(key, b"same", stale)

    def version_is_the_bytes(self, store: Store, key: str) -> None:
        """Equal versions mean equal bytes, whichever operation has written them."""
        seen: dict[object, bytes] = {}
        for i in (1, 2, 1, 2, 3):
            store.set(key, b"%d" % i)
            for n in range(4):
                entry = store.get(key)
                assert entry is not None
                assert seen.setdefault(entry.version, entry.value) == entry.value
                assert store.compare_and_set(key, b"%d%d" % (i, n), entry.version)

    def twins(self, store: Store, key: str) -> None:
        """Values with the same checksum have different versions."""
        for first, second in TWINS:
            store.set(key, first)
            version = version_at(store, key)
            store.set(key, second)
            assert version_at(store, key) != version, (first, second)
            assert not store.compare_and_set(key, b"lost", version)

    def of_new_connections(self, opener: Opener, key: str) -> None:
        """What the first write of one connection stored has another version than another's."""
        one, two = opener(), opener()
        one.set(key, b"one")
        version = version_at(one, key)
        two.set(key, b"two")
        assert version_at(two, key) != version
        assert not one.compare_and_set(key, b"lost", version)

    def version_after_expiry(self, store: Store, key: str) -> Waits:
        """A version does not return with other bytes after its key has expired."""
        store.set(key, b"old", TTL)
        versions = [version_at(store, key)]
        for n in range(3):
            assert store.compare_and_set(key, b"%d" % n, versions[-1], TTL)
            versions.append(version_at(store, key))
        store.touch(key, SHORT)
        yield SHORT
        for n in range(3, 9):
            store.set(key, b"%d" % n, TTL)
            assert version_at(store, key) not in versions
        assert not any(store.compare_and_set(key, b"bad", each) for each in versions)
