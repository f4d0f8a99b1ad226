"""Operations on plain keys, which have no rank."""

from collections.abc import Collection, Hashable, Iterator

from kvbackends_redis.connecting.connections import Connections
from kvbackends_redis.operations import scripts
from kvbackends_redis.operations.ranked import is_staged
from kvbackends_redis.operations.scripts import milliseconds

BITS = 2**63
"""INCRBY handles numbers from -BITS to BITS - 1."""

STEP = 1000
"""Keys examined by one SCAN."""


def get_batch(connections: Connections, keys: Collection[str]) -> dict[str, bytes]:
    """The values of the keys that exist."""
    if not keys:
        return {}
    found = zip(keys, connections.call("MGET", *keys), strict=True)
    return {key: value for key, value in found if value is not None}


def put(connections: Connections, key: str, value: bytes, ttl: float | None) -> None:
    """Store unconditionally."""
    connections.call("SET", key, value, *_expiry(ttl))


def compare_and_set(
    connections: Connections, key: str, value: bytes, old: Hashable | None, ttl: float | None
) -> bool:
    """True if stored: the key was absent (`old` is None), or its value was `old`."""
    if old is None:
        return connections.call("SET", key, value, "NX", *_expiry(ttl)) is not None
    return bool(connections.run(scripts.SWAP, (key,), old, value, milliseconds(ttl)))


def touch(connections: Connections, key: str, ttl: float | None) -> bool:
    """Set a new time to live; False if the key is absent."""
    if ttl is None:
        return bool(connections.run(scripts.KEEP, (key,)))
    return bool(connections.call("PEXPIRE", key, milliseconds(ttl)))


def increment(connections: Connections, key: str, by: int, ttl: float | None) -> int:
    """Add to a decimal number of any length; the new total."""
    if -BITS <= by < BITS:
        answer = connections.run(scripts.ADD, (key,), int(by), milliseconds(ttl))
        if answer is not None:
            return int(answer)
    while True:
        old = connections.call("GET", key)
        total = int(old or b"0") + by
        if compare_and_set(connections, key, b"%d" % total, old, ttl):
            return total


def scan(connections: Connections, prefix: str) -> Iterator[str]:
    """Yield the keys with this prefix, each once, without those of barriers."""
    seen: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, names = connections.call(
            "SCAN", cursor, "MATCH", f"{_literally(prefix)}*", "COUNT", STEP, "TYPE", "string"
        )
        for name in names:
            if name in seen or is_staged(name):
                continue
            seen.add(name)
            try:
                key = name.decode()
            except UnicodeDecodeError:
                continue  # another program's key: ours are text
            yield key
        if cursor == b"0":
            return


def _literally(prefix: str) -> str:
    """`prefix` as a glob pattern that matches only itself."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in prefix)


def _expiry(ttl: float | None) -> tuple[str | int, ...]:
    return () if ttl is None else ("PX", milliseconds(ttl))
