"""The store: each operation of the contract as memcached commands.

Costs are round trips.
"""

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
    ServerAddress,
    Store,
    StoreURL,
)
from kvbackends_memcached.client import Connection, Question, Server, ask_all, connect
from kvbackends_memcached.options import MemcachedOptions

PORT = 11211
KEY_BYTES = 250
ITEM_BYTES = 59 + KEY_BYTES
"""Bytes of an item beside its value in server 1.6: header, version, longest key, line end."""
CLOCK_MARGIN = 2
"""Seconds added to each ttl.  The server's clock counts whole seconds and is up to one second late;
when it skips a tick, up to two.
"""
LONGEST_RELATIVE = 30 * 86400
"""Seconds.  The server reads larger numbers as dates (protocol.txt, "Expiration times")."""
LATEST = 2**31 - 1
"""The last date, in seconds since 1970, that the server understands."""
PIPELINED_BYTES = 16 * 1024
"""The largest value that is sent together with another command.

With a larger one, client and server might each wait for the other to read.
"""


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
        self._tls_context = options.tls_context
        self._prefix = options.prefix()
        self._driver = options.for_driver()
        # As pymemcache and Celery distribute keys, except that a dead server keeps its keys.
        self._hash = RendezvousHash(list(addresses))
        self._only = next(iter(addresses)) if len(addresses) == 1 else None
        self._servers = PerProcess(self._connected, close=_close, abandon=_close)
        self.limits = Limits(
            key_bytes=KEY_BYTES - len(self._prefix.encode()),
            value_bytes=options.item_size_max - ITEM_BYTES,
            key_pattern="[!-~]+",
            ttl_step=1.0 + CLOCK_MARGIN,
        )

    @classmethod
    def from_url(cls, url: StoreURL, options: MemcachedOptions) -> Self:
        """The store on the servers, or the Unix socket, that the URL names.

        Raises `ConfigurationError` if it names neither, or gives half a login.
        """
        addresses: dict[str, Any] = {
            f"{host.name}:{host.port or PORT}": (host.name, host.port or PORT) for host in url.hosts
        }
        path = url.path.strip("/")
        if not addresses and path:
            addresses[f"/{path}"] = f"/{path}"
        if not addresses:
            raise ConfigurationError(
                "this URL names no memcached server; expected memcached://host:11211;other:11211, "
                "or a Unix socket as in memcached:///run/memcached.sock"
            )
        store = cls(addresses, options.login(url), options)
        for host in url.hosts[:1]:
            store.server = ServerAddress(host.name, host.port or PORT, options.tls)
        return store

    # -- the five methods ---------------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """Cost: one round trip.  The version is the server's process and its "cas unique"."""
        name = self._name(key)
        return self._server(key).request(b"gets %b\r\n" % name, Connection.read_entries).get(name)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Cost: one round trip."""
        self._change(key, self._store_command("set", key, value, ttl))

    def delete(self, key: str) -> None:
        """Cost: one round trip."""
        self._change(key, b"delete %b\r\n" % self._name(key))

    def compare_and_set(
        self, key: str, value: bytes, version: Any, ttl: float | None = None
    ) -> bool:
        """Cost: one round trip, with ``add`` or ``cas``; two behind a proxy such as twemproxy."""
        if version is None:
            return self._change(key, self._store_command("add", key, value, ttl))
        (server_run, unique), name = version, self._name(key)
        swap = self._store_command("cas", key, value, ttl, b" " + unique)

        def swap_on(connection: Connection) -> bool:
            if connection.server_run is None:  # a proxy: compare the value, too
                connection.send(b"gets %b\r\n" % name)
                there = connection.read_entries().get(name)
                if there is None or there.version != version:
                    return False
            elif connection.server_run != server_run:
                return False
            connection.send(swap)
            return connection.read_status()

        return self._server(key).run(swap_on)

    # -- derived operations, overridden for speed ---------------------------------------------

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Cost: one round trip, to all servers at the same time."""
        found: dict[str, bytes] = {}

        def read(names: Mapping[bytes, str], connection: Connection) -> None:
            for name, entry in connection.read_entries().items():
                if name in names:
                    found[names[name]] = entry.value

        ask_all(
            [
                Question(server, b"gets %b\r\n" % b" ".join(names), partial(read, names))
                for server, names in self._by_server(keys).items()
            ]
        )
        return found

    def delete_batch(self, keys: Collection[str]) -> None:
        """Cost: one round trip, to all servers at the same time."""
        questions = []
        for server, names in self._by_server(keys).items():
            commands = b"".join(b"delete %b\r\n" % name for name in names)
            questions.append(Question(server, commands, partial(_read_statuses, len(names))))
        ask_all(questions)

    def touch(self, key: str, ttl: float | None) -> bool:
        """Cost: one round trip."""
        return self._change(key, b"touch %b %d\r\n" % (self._name(key), expiry(ttl)))

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """Cost: one round trip if the key is absent or the offer is refused, else two."""
        while (there := self._add_or_get(offer.key, offer.value, offer.ttl)) is not None:
            if there.value == offer.value:
                return True  # stored by an earlier attempt
            if not rank_of(there.value).yields_to(offer.rank):
                return False
            if self.compare_and_set(offer.key, offer.value, there.version, offer.ttl):
                return True
        return True

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        """Cost: one round trip for the first member, two for each other one."""
        alone = json.dumps([member]).encode()
        while (there := self._add_or_get(key, alone, ttl)) is not None:
            members = frozenset(json.loads(there.value))
            value = there.value if member in members else there.value[:-1] + b", " + alone[1:]
            if self.compare_and_set(key, value, there.version, ttl):
                return members | {member}
        return frozenset([member])

    def ping(self) -> None:
        """Raise if any of the servers does not answer."""
        for name, server in self._servers().items():
            try:
                server.request(b"gets kvbackends-ping\r\n", Connection.read_entries)
            except ConnectionRefusedError as error:
                raise ConnectionRefusedError(error.errno, f"{name}: {error.strerror}") from error

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._servers.close()

    # -- helpers ------------------------------------------------------------------------------

    def _change(self, key: str, command: bytes) -> bool:
        """Send a command that changes something; true if it did."""
        return self._server(key).request(command, Connection.read_status)

    def _add_or_get(self, key: str, value: bytes, ttl: float | None) -> Entry | None:
        """Store `value` and return None if the key is absent; else return the stored entry."""
        name = self._name(key)
        get, add = b"gets %b\r\n" % name, self._store_command("add", key, value, ttl)

        def get_and_add(connection: Connection) -> Entry | bool | None:
            if len(value) > PIPELINED_BYTES:
                connection.send(add)
                if connection.read_status():
                    return True
                connection.send(get)
                return connection.read_entries().get(name)
            connection.send(get + add)
            there = connection.read_entries().get(name)
            return connection.read_status() or there

        while (there := self._server(key).run(get_and_add)) is None:
            pass  # the key was stored or removed between the two commands
        return there if isinstance(there, Entry) else None

    def _store_command(
        self, command: str, key: str, value: bytes, ttl: float | None, unique: bytes = b""
    ) -> bytes:
        # Flags 0, as in Celery: to some clients other flags mean that the value is not bytes.
        line = f"{command} {self._prefix}{key} 0 {expiry(ttl)} {len(value)}".encode()
        return b"%b%b\r\n%b\r\n" % (line, unique, value)

    def _name(self, key: str) -> bytes:
        return (self._prefix + key).encode()

    def _server(self, key: str) -> Server:
        servers = self._servers()
        return servers[self._only or self._hash.get_node(key)]

    def _by_server(self, keys: Collection[str]) -> dict[Server, dict[bytes, str]]:
        """For each server its keys, by their names on the server."""
        theirs: dict[Server, dict[bytes, str]] = {}
        for key in keys:
            theirs.setdefault(self._server(key), {})[self._name(key)] = key
        return theirs

    def _connected(self) -> dict[str, Server]:
        context = self._tls_context()
        settings = self._driver | ({} if context is None else {"tls_context": context})
        return {
            name: Server(partial(connect, address, self._login, settings))
            for name, address in self._addresses.items()
        }


def expiry(ttl: float | None) -> int:
    """The ``exptime`` with which a key lives at least `ttl` seconds; 0 means for ever."""
    seconds = 0 if ttl is None else math.ceil(ttl) + CLOCK_MARGIN
    if seconds <= LONGEST_RELATIVE:
        return seconds
    moment = math.ceil(time.time()) + seconds
    return moment if moment <= LATEST else 0


def _read_statuses(count: int, connection: Connection) -> None:
    for _ in range(count):
        connection.read_status()


def _close(servers: Mapping[str, Server]) -> None:
    for server in servers.values():
        server.close()
