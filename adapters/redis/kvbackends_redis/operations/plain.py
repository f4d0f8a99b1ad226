"""Operations on plain keys, which have no rank."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any

from kvbackends.contract import Entry
from kvbackends_redis.connecting.connections import Connections, checked
from kvbackends_redis.operations import scripts
from kvbackends_redis.operations.ranked import is_staged
from kvbackends_redis.operations.scripts import milliseconds

BITS = 2**63
"""INCRBY handles numbers from -BITS to BITS - 1."""

STEP = 1000
"""Keys examined by one SCAN."""

RECENT = 10_000
"""Names that a scan remembers at least, and at most twice as many."""


class PlainKeys:
    """The operations on plain keys.  The version of an entry is its value."""

    _connections: Callable[[], Any]

    def get(self, key: str) -> Entry | None:
        """The stored value and its version, which is the value itself.  Cost: one command."""
        value = self._connections().call("GET", key)
        return None if value is None else Entry(value, value)

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """The values of the keys that exist.  Cost: one command."""
        if not keys:
            return {}
        found = zip(keys, self._connections().call("MGET", *keys), strict=True)
        return {key: value for key, value in found if value is not None}

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store unconditionally.  Cost: one command."""
        self._connections().call("SET", key, value, *_expiry(ttl))

    def delete(self, key: str) -> None:
        """Remove the key if it exists.  Cost: one command."""
        self._connections().call("UNLINK", key)

    def delete_batch(self, keys: Collection[str]) -> None:
        """Remove the keys that exist.  Cost: one command."""
        if keys:
            self._connections().call("UNLINK", *keys)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """True if stored: `version` was the stored value.  Cost: one command or script."""
        connections = self._connections()
        if version is None:
            return connections.call("SET", key, value, "NX", *_expiry(ttl)) is not None
        return bool(connections.run(scripts.SWAP, (key,), version, value, milliseconds(ttl)))

    def touch(self, key: str, ttl: float | None) -> bool:
        """Set a new time to live; False if the key is absent.  Cost: one command or script."""
        if ttl is None:
            return bool(self._connections().run(scripts.KEEP, (key,)))
        return bool(self._connections().call("PEXPIRE", key, milliseconds(ttl)))

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """The new total.  Cost: one script; beyond 64 bits a compare-and-set loop."""
        if -BITS <= by < BITS:
            answer = self._connections().run(scripts.ADD, (key,), int(by), milliseconds(ttl))
            if answer is not None:
                return int(answer)
        while True:
            old = self._connections().call("GET", key)
            total = int(old or b"0") + by
            if self.compare_and_set(key, b"%d" % total, old, ttl):
                return total

    def scan(self, prefix: str) -> Iterator[str]:
        """Yield the keys with this prefix; keys written meanwhile may be missing.

        It does not block the server, but it reads the names of all keys of the database.
        """
        return scanned(self._connections(), f"{literally(prefix)}*")

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        """Seconds that the keys that exist have left.  Cost: one exchange."""
        if not keys:
            return {}
        left = checked(self._connections().send(*(("PTTL", key) for key in keys)))
        return lifetimes_of(dict(zip(keys, left, strict=True)))


def lifetimes_of(answers: Mapping[str, int]) -> dict[str, float | None]:
    """The seconds that PTTL's answers stand for, without absent keys."""
    return {key: None if left < 0 else left / 1000 for key, left in answers.items() if left != -2}


def scanned(connections: Connections, pattern: str, kind: str = "string") -> Iterator[str]:
    """Yield one server's keys of a kind that match, each once; strings are no barriers.

    In constant memory.  A server repeats names only when it shrinks its table meanwhile, and only
    those of the buckets which a bucket of the new table replaces, which it visits one after the
    other.  So the recent names suffice, unless all but one of some `RECENT` keys are deleted.
    """
    seen: set[bytes] = set()
    before: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, names = connections.call(
            "SCAN", cursor, "MATCH", pattern, "COUNT", STEP, "TYPE", kind
        )
        fresh = set(names) - seen - before
        seen |= fresh
        if len(seen) > RECENT:
            seen, before = set(), seen
        yield from _keys(fresh)
        if cursor == b"0":
            return


def _keys(names: Iterable[bytes]) -> Iterator[str]:
    for name in names:
        if is_staged(name):
            continue
        try:
            key = name.decode()
        except UnicodeDecodeError:
            continue  # another program's key: ours are text
        yield key


def literally(prefix: str) -> str:
    """`prefix` as a glob pattern that matches only itself."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in prefix)


def _expiry(ttl: float | None) -> tuple[str | int, ...]:
    return () if ttl is None else ("PX", milliseconds(ttl))
