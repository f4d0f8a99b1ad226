"""Connections to memcached: the driver makes them, here is what is said on them.

The commands are those of memcached's ``protocol.txt``, which every version of the server knows.
The driver sends one and waits for its answer; several in one send save round trips.
"""

import select
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from pymemcache.client.base import Client
from pymemcache.exceptions import (
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownError,
)

from kvbackends import ValueTooLarge
from kvbackends.contract import Entry, Secret

T = TypeVar("T")
DONE = {
    b"STORED\r\n": True,
    b"DELETED\r\n": True,
    b"TOUCHED\r\n": True,
    b"NOT_STORED\r\n": False,
    b"EXISTS\r\n": False,
    b"NOT_FOUND\r\n": False,
}
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"


class Connection:
    """One connection, used by one thread at a time.  What raises leaves it unusable."""

    def __init__(self, client: Client, login: Secret | None) -> None:
        if login is not None:  # protocol.txt, "Authentication": the key does not matter
            client.set("login", login.reveal())
        stats = client.stats()
        self.run = (stats[b"pid"], stats[b"time"] - stats[b"uptime"])
        """Names this run of the server: where it ends, so does the connection."""
        self._client = client
        self._file = client.sock.makefile("rb")
        self._idle = select.poll()
        self._idle.register(client.sock, select.POLLIN)
        self.send = client.sock.sendall
        """Takes commands; the answer to each has to be read."""

    def lost(self) -> bool:
        """True if the server has closed it while it was idle."""
        return bool(self._idle.poll(0))

    def close(self) -> None:
        """Close it; may be repeated."""
        self._file.close()
        self._client.close()

    def done(self) -> bool:
        """The answer to a command that changes something.  Raises the driver's exceptions."""
        line = self._file.readline()
        done = DONE.get(line)
        if done is None:
            raise _error(line)
        return done

    def entries(self) -> dict[bytes, Entry]:
        """The answer to ``gets``."""
        found = {}
        while (line := self._file.readline()).startswith(b"VALUE "):
            _, key, _, size, unique = line.split()
            value = self._file.read(int(size))
            if self._file.read(2) != b"\r\n":
                raise MemcacheUnexpectedCloseError
            # The server counts from the beginning when it starts: the number alone would repeat.
            found[key] = Entry(value, (self.run, unique))
        if line != b"END\r\n":
            raise _error(line)
        return found


class Server:
    """One server and its idle connections."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._idle: deque[Connection] = deque()
        self._closed = False

    def ask(self, commands: bytes, answer: Callable[[Connection], T]) -> T:
        """Send, and read the answer."""

        def said(connection: Connection) -> T:
            connection.send(commands)
            return answer(connection)

        return self.talk(said)

    def talk(self, what: Callable[[Connection], T]) -> T:
        """``what(connection)``, on a connection of its own."""
        connection = self._from_idle() or self._connect()
        try:
            said = what(connection)
        except BaseException:
            connection.close()  # an answer may be under way
            raise
        self._idle.append(connection)
        if self._closed:
            self.close()
        return said

    def close(self) -> None:
        """Close what is idle now, and the others when they are given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _from_idle(self) -> Connection | None:
        while self._idle:
            with suppress(IndexError):  # another thread was faster
                connection = self._idle.pop()
                if not connection.lost():
                    return connection
                connection.close()
        return None


def connect(address: Any, login: Secret | None, settings: dict[str, Any]) -> Connection:
    """Connect to ``(host, port)``, or to the path of a Unix socket; `settings` are the driver's."""
    client = Client(address, default_noreply=False, **settings)
    try:
        return Connection(client, login)
    except BaseException:
        client.close()
        raise


def _error(line: bytes) -> Any:
    if line == TOO_LARGE:
        return ValueTooLarge("memcached refused a value; see the option item_size_max")
    if not line.endswith(b"\r\n"):
        return MemcacheUnexpectedCloseError()
    text = line.decode("latin-1").strip()
    return (MemcacheServerError if text.startswith("SERVER_ERROR") else MemcacheUnknownError)(text)
