"""Connections to memcached servers, and the text protocol that is spoken on them.

The driver, pymemcache, opens the connections.  It sends one command and waits for the answer; this
module sends several commands at once, which saves round trips.  The commands are those of
memcached's ``protocol.txt``.
"""

import select
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any, TypeVar

from pymemcache.client.base import Client
from pymemcache.exceptions import (
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownError,
)

from kvbackends import ValueTooLarge
from kvbackends.contract import Entry, Secret, delays_forks

T = TypeVar("T")
STATUS = {
    b"STORED\r\n": True,
    b"DELETED\r\n": True,
    b"TOUCHED\r\n": True,
    b"NOT_STORED\r\n": False,
    b"EXISTS\r\n": False,
    b"NOT_FOUND\r\n": False,
}
"""The answers to a command that changes something, and whether it did."""
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"


class Connection:
    """One connection, used by one thread at a time.

    After an exception it has to be closed: the rest of an answer may still arrive.
    """

    def __init__(self, client: Client, login: Secret | None) -> None:
        if login is not None:  # protocol.txt, "Authentication": the server ignores the key
            client.set("login", login.reveal())
        stats = client.stats()
        self.server_run = (stats[b"pid"], stats[b"time"] - stats[b"uptime"])
        """Identifies the server's process; another one cannot answer on this connection."""
        self._client = client
        self._file = client.sock.makefile("rb")
        self._poll = select.poll()
        self._poll.register(client.sock, select.POLLIN)
        self.send = client.sock.sendall
        """Sends commands; the answer to each has to be read."""

    def is_lost(self) -> bool:
        """True if the server has closed this idle connection."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Close the connection; repeated calls are allowed."""
        self._file.close()
        self._client.close()

    def read_status(self) -> bool:
        """Read the answer to a command that changes something: true if it did.

        Raises the driver's exceptions, and `ValueTooLarge`.
        """
        line = self._file.readline()
        status = STATUS.get(line)
        if status is None:
            raise self._error(line)
        return status

    def read_entries(self) -> dict[bytes, Entry]:
        """Read the answer to ``gets``.  Raises the driver's exceptions."""
        found = {}
        while (line := self._file.readline()).startswith(b"VALUE "):
            _, key, _, size, unique = line.split()
            value = self._file.read(int(size))
            if self._file.read(2) != b"\r\n":
                raise self._error(b"")
            # A restarted server counts "cas unique" from the beginning, so it alone would repeat.
            found[key] = Entry(value, (self.server_run, unique))
        if line != b"END\r\n":
            raise self._error(line)
        return found

    def _error(self, line: bytes) -> Any:
        """The exception for an answer that is an error, or is cut off."""
        server = _name(self._client.server)
        if line == TOO_LARGE:
            return ValueTooLarge(
                f"{server} refused a value as too large: the option item_size_max exceeds the "
                "server's own limit; lower it, or start the server with a larger -I"
            )
        if not line.endswith(b"\r\n"):
            return MemcacheUnexpectedCloseError(f"{server} closed the connection")
        text = line.decode("latin-1").strip()
        is_servers = text.startswith("SERVER_ERROR")
        return (MemcacheServerError if is_servers else MemcacheUnknownError)(f"{server}: {text}")


class Server:
    """One server's idle connections; safe from any thread."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._idle: deque[Connection] = deque()
        self._closed = False

    def request(self, commands: bytes, read: Callable[[Connection], T]) -> T:
        """Send the commands; return what `read` makes of the answer."""

        def exchange(connection: Connection) -> T:
            connection.send(commands)
            return read(connection)

        return self.run(exchange)

    def run(self, exchange: Callable[[Connection], T]) -> T:
        """``exchange(connection)``, on a connection that no other thread uses meanwhile."""
        connection = self._take_idle() or self._connect()
        try:
            result = exchange(connection)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if self._closed:
            self.close()
        return result

    def close(self) -> None:
        """Close the idle connections now, and those in use when they are given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self) -> Connection | None:
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                connection = self._idle.pop()
                if not connection.is_lost():
                    return connection
                connection.close()
        return None


def connect(address: Any, login: Secret | None, settings: dict[str, Any]) -> Connection:
    """Connect to ``(host, port)`` or to a Unix socket's path; `settings` go to the driver."""
    client = Client(address, default_noreply=False, **settings)
    try:
        with delays_forks if "tls_context" in settings else nullcontext():
            return Connection(client, login)
    except BaseException:
        client.close()
        raise


def _name(address: Any) -> str:
    """The server's address as messages show it."""
    where = address if isinstance(address, str) else ":".join(map(str, address))
    return f"memcached at {where}"
