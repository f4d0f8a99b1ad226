"""Connections to memcached: the driver makes them, here is what is said on them.

The commands are those of memcached's ``protocol.txt``, which every version of the server knows.
The driver sends one and waits for its answer; several in one send save round trips.
"""

import select
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from pymemcache.client.base import Client
from pymemcache.exceptions import (
    MemcacheClientError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
)

from kvbackends import Entry, Secret, ValueTooLarge

T = TypeVar("T")
TOO_LARGE = b"SERVER_ERROR object too large for cache"
STORED = {b"STORED": True, b"NOT_STORED": False, b"EXISTS": False, b"NOT_FOUND": False}


class Connection:
    """One connection, used by one thread at a time.  What raises leaves it unusable."""

    def __init__(self, client: Client, login: Secret | None) -> None:
        if login is not None:  # protocol.txt, "Authentication": the key does not matter
            client.set("login", login.reveal())
        stats = client.stats()
        self.run = (stats[b"pid"], stats[b"time"] - stats[b"uptime"])
        """Names this run of the server: where it ends, so does the connection."""
        self._client = client
        self._send = client.sock.sendall
        self._file = client.sock.makefile("rb")
        self._readable = select.poll()
        self._readable.register(client.sock, select.POLLIN)

    def lost(self) -> bool:
        """True if the server has closed it while it was idle."""
        return bool(self._readable.poll(0))

    def close(self) -> None:
        """Close it; may be repeated."""
        self._file.close()
        self._client.close()

    def send(self, commands: bytes) -> "Connection":
        """Send; for each command one answer has to be read."""
        self._send(commands)
        return self

    def answer(self) -> bytes:
        """The next line.  Raises the driver's exceptions."""
        line: bytes = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise MemcacheUnexpectedCloseError
        answer = line[:-2]
        if answer == TOO_LARGE:
            raise ValueTooLarge("memcached refused a value; see the option item_size_max")
        if answer.startswith(b"SERVER_ERROR"):
            raise MemcacheServerError(answer.decode("latin-1"))
        if answer.startswith((b"CLIENT_ERROR", b"ERROR")):
            raise MemcacheClientError(answer.decode("latin-1"))
        return answer

    def stored(self) -> bool:
        """The answer to a storage command."""
        return STORED[self.answer()]

    def entries(self) -> dict[bytes, Entry]:
        """The answer to ``gets``."""
        found = {}
        while (answer := self.answer()) != b"END":
            _, key, _, size, unique = answer.split()
            value = self._file.read(int(size))
            if self._file.read(2) != b"\r\n":
                raise MemcacheUnexpectedCloseError
            # The server counts from the beginning when it starts: the number alone would repeat.
            found[key] = Entry(value, (self.run, unique.decode()))
        return found


class Server:
    """One server and its idle connections."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._idle: deque[Connection] = deque()
        self._closed = False

    def talk(self, what: Callable[[Connection], T]) -> T:
        """``what(connection)``, on a connection of its own."""
        connection = self._idle_one() or self._connect()
        try:
            said = what(connection)
        except BaseException:
            connection.close()  # an answer may be under way
            raise
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)
        return said

    def close(self) -> None:
        """Close what is idle now, and the others when they are given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _idle_one(self) -> Connection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if not connection.lost():
                return connection
            connection.close()


def connect(address: Any, login: Secret | None, settings: dict[str, Any]) -> Connection:
    """Connect to ``(host, port)``, or to the path of a Unix socket; `settings` are the driver's."""
    client = Client(address, default_noreply=False, **settings)
    try:
        return Connection(client, login)
    except BaseException:
        client.close()
        raise
