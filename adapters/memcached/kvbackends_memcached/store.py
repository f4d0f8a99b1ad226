"""The store: the contract in memcached's own commands."""

import json
import math
import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Self

from pymemcache.client.rendezvous import RendezvousHash
from pymemcache.exceptions import MemcacheServerError

from kvbackends import ConfigurationError
from kvbackends.contract import (
    Entry,
    Feature,
    Limits,
    Offer,
    PerProcess,
    RankOf,
    Secret,
    Store,
    StoreURL,
)
from kvbackends_memcached.client import Connection, Server, connect
from kvbackends_memcached.options import MemcachedOptions

PORT = 11211
KEY_BYTES = 250
ITEM_BYTES = 59 + KEY_BYTES
"""What an item of server 1.6 takes beside its value: header, version, the longest key, line end."""
TICKS = 2
"""Seconds.  The server's clock has whole ones, is up to one late, and when it skips one, two."""
LONGEST_RELATIVE = 30 * 86400
"""Seconds.  More is taken for a time since 1970 (protocol.txt, "Expiration times")."""
LATEST = 2**31 - 1
AT_ONCE = 16 * 1024
"""Bytes.  While more is being sent the server may wait for us to read, and we for it."""


class MemcachedStore(Store):
    """One or several memcached servers; each key belongs to one of them."""

    options_type = MemcachedOptions
    promises = Feature.AUTOEXPIRE | Feature.SHARED
    transient_errors = (OSError, MemcacheServerError)

    def __init__(
        self, addresses: Mapping[str, Any], login: Secret | None, options: MemcachedOptions
    ) -> None:
        self._addresses = addresses
        self._login = login
        self._options = options
        self._prefix = options.prefix()
        self._driver = options.for_driver()
        # As pymemcache and Celery spread keys, but for this: who is down keeps its keys.
        self._hash = RendezvousHash(list(addresses))
        self._only = next(iter(addresses)) if len(addresses) == 1 else None
        self._servers = PerProcess(self._connected, close=_close, abandon=_close)
        self.limits = Limits(
            key_bytes=KEY_BYTES - len(self._prefix),
            value_bytes=options.item_size_max - ITEM_BYTES,
            key_pattern="[!-~]+",
            ttl_step=1.0 + TICKS,
        )

    @classmethod
    def from_url(cls, url: StoreURL, options: MemcachedOptions) -> Self:
        """Hosts and ports, or the path of a Unix socket; with a password it logs in."""
        addresses: dict[str, Any] = {
            f"{host.name}:{host.port or PORT}": (host.name, host.port or PORT) for host in url.hosts
        }
        path = url.path.strip("/")
        if not addresses and path:
            addresses[f"/{path}"] = f"/{path}"
        if not addresses:
            raise ConfigurationError(
                "a memcached URL names servers, memcached://host:11211;other:11211, or a Unix "
                "socket, memcached:///run/memcached.sock"
            )
        login = url.password and Secret(f"{url.username or ''} {url.password.reveal()}")
        return cls(addresses, login, options)

    # -- the five -----------------------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """One round trip.  The version is the server's "cas unique"."""
        name = self._name(key)
        return self._server(key).ask(b"gets %b\r\n" % name, Connection.entries).get(name)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """One round trip."""
        self._server(key).ask(self._storing("set", key, value, ttl), Connection.done)

    def delete(self, key: str) -> None:
        """One round trip."""
        self._server(key).ask(b"delete %b\r\n" % self._name(key), Connection.done)

    def compare_and_set(
        self, key: str, value: bytes, version: Any, ttl: float | None = None
    ) -> bool:
        """One round trip: ``add``, or ``cas``."""
        if version is None:
            return self._server(key).ask(self._storing("add", key, value, ttl), Connection.done)
        run, unique = version
        swap = self._storing("cas", key, value, ttl, b" " + unique)

        def swapped(connection: Connection) -> bool:
            if connection.run != run:
                return False
            connection.send(swap)
            return connection.done()

        return self._server(key).talk(swapped)

    # -- for speed ----------------------------------------------------------------------------

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """One round trip a server."""
        found: dict[str, bytes] = {}
        for server, names in self._by_server(keys).items():
            command = b"gets %b\r\n" % b" ".join(names)
            for name, entry in server.ask(command, Connection.entries).items():
                found[names[name]] = entry.value
        return found

    def delete_batch(self, keys: Collection[str]) -> None:
        """One send a server."""
        for server, names in self._by_server(keys).items():
            commands = b"".join(b"delete %b\r\n" % name for name in names)
            server.ask(commands, partial(_all_done, len(names)))

    def touch(self, key: str, ttl: float | None) -> bool:
        """One round trip."""
        command = b"touch %b %d\r\n" % (self._name(key), expiry(ttl))
        return self._server(key).ask(command, Connection.done)

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """One round trip where nothing is there or nothing is to be replaced, else two."""
        while (there := self._add_or_get(offer.key, offer.value, offer.ttl)) is not None:
            if there.value == offer.value:
                return True  # an earlier attempt of this one
            if not rank_of(there.value).yields_to(offer.rank):
                return False
            if self.compare_and_set(offer.key, offer.value, there.version, offer.ttl):
                return True
        return True

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        """One round trip for the first member, two for others."""
        alone = json.dumps([member]).encode()
        while (there := self._add_or_get(key, alone, ttl)) is not None:
            members = frozenset(json.loads(there.value))
            value = there.value if member in members else there.value[:-1] + b", " + alone[1:]
            if self.compare_and_set(key, value, there.version, ttl):
                return members | {member}
        return frozenset([member])

    def ping(self) -> None:
        """Asks each server."""
        for server in self._servers().values():
            server.ask(b"gets kvbackends-ping\r\n", Connection.entries)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._servers.close()

    # -- what they share ----------------------------------------------------------------------

    def _add_or_get(self, key: str, value: bytes, ttl: float | None) -> Entry | None:
        """None if it was absent, and now is `value`; else what is there."""
        name = self._name(key)
        get, add = b"gets %b\r\n" % name, self._storing("add", key, value, ttl)

        def both(connection: Connection) -> Entry | bool | None:
            if len(value) > AT_ONCE:
                connection.send(add)
                if connection.done():
                    return True
                connection.send(get)
                return connection.entries().get(name)
            connection.send(get + add)
            there = connection.entries().get(name)
            return connection.done() or there

        while (there := self._server(key).talk(both)) is None:
            pass  # it came or went in between
        return there if isinstance(there, Entry) else None

    def _storing(
        self, command: str, key: str, value: bytes, ttl: float | None, unique: bytes = b""
    ) -> bytes:
        # Flags are 0, as Celery's: to some clients others mean that the value is no bytes.
        line = f"{command} {self._prefix}{key} 0 {expiry(ttl)} {len(value)}".encode()
        return b"%b%b\r\n%b\r\n" % (line, unique, value)

    def _name(self, key: str) -> bytes:
        return (self._prefix + key).encode()

    def _server(self, key: str) -> Server:
        servers = self._servers()
        return servers[self._only or self._hash.get_node(key)]

    def _by_server(self, keys: Collection[str]) -> dict[Server, dict[bytes, str]]:
        """Each server's keys, by the names that it has for them."""
        theirs: dict[Server, dict[bytes, str]] = {}
        for key in keys:
            theirs.setdefault(self._server(key), {})[self._name(key)] = key
        return theirs

    def _connected(self) -> dict[str, Server]:
        context = self._options.tls_context()
        settings = self._driver | ({} if context is None else {"tls_context": context})
        return {
            name: Server(partial(connect, address, self._login, settings))
            for name, address in self._addresses.items()
        }


def expiry(ttl: float | None) -> int:
    """The server's ``exptime`` with which a key lives at least `ttl` seconds."""
    seconds = 0 if ttl is None else math.ceil(ttl) + TICKS
    if seconds <= LONGEST_RELATIVE:
        return seconds
    moment = math.ceil(time.time()) + seconds
    return moment if moment <= LATEST else 0  # for ever


def _all_done(count: int, connection: Connection) -> None:
    for _ in range(count):
        connection.done()


def _close(servers: Mapping[str, Server]) -> None:
    for server in servers.values():
        server.close()
