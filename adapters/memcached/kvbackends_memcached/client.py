"""Connections to memcached servers, and the text protocol that is spoken on them.

The driver, pymemcache, opens the connections.  It sends one command and waits for the answer; this
module sends several commands at once, which saves round trips.  The commands are those of
memcached's ``protocol.txt``.
"""

import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple, TypeVar

from pymemcache.client.base import Client
from pymemcache.exceptions import (
    MemcacheClientError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownError,
)

from kvbackends import ConfigurationError, StoreError, ValueTooLarge
from kvbackends.contract import BoundedSocket, Entry, Secret, delays_forks, seconds_left
from kvbackends_memcached.sockets import Sockets

T = TypeVar("T")
ServerRun = tuple[Any, Any] | None
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
LINE_BYTES = 2048
"""A line that is longer is no answer of memcached's."""
MOST_BYTES = 2**30
"""The largest value of the server's option -I."""
LOST = (OSError, MemcacheUnexpectedCloseError)
"""The errors of a connection that is lost."""


class Garbage(ConnectionError):
    """An answer that memcached does not give: the connection is as good as lost."""


class Connection:
    """One connection, used by one thread at a time.

    After an exception it has to be closed: the rest of an answer may still arrive.
    """

    def __init__(self, client: Client, server_run: ServerRun, timeout: float) -> None:
        self.server_run = server_run
        """Identifies the server's process, another one of which cannot answer on this connection;
        None behind a proxy, which does not tell."""
        self.is_lost = _readable(client.sock)
        """Returns true if the server has closed this idle connection."""
        self._client = client
        bounded = BoundedSocket(client.sock, timeout)
        self._file = bounded.reader()
        self.send = bounded.send
        """Sends commands; the answer to each has to be read."""

    def close(self) -> None:
        """Close the connection; repeated calls are allowed."""
        self._file.close()
        self._client.close()

    def read_status(self) -> bool:
        """Read the answer to a command that changes something: true if it did.

        Raises the driver's exceptions, `OSError`, `StoreError` and `ValueTooLarge`.
        """
        line = self._file.readline(LINE_BYTES)
        status = STATUS.get(line)
        if status is None:
            raise self._error(line)
        return status

    def read_entries(self) -> dict[bytes, Entry]:
        """Read the answer to ``gets``.  Raises the driver's exceptions, `OSError`, `StoreError`."""
        found = {}
        while (line := self._file.readline(LINE_BYTES)).startswith(b"VALUE "):
            try:
                _, key, _, size, unique = line.split()
                value = self._file.read(self._checked(int(size), line))
            except ValueError:
                raise self._error(line) from None
            if self._file.read(2) != b"\r\n":
                raise self._error(b"")
            # A restarted server counts "cas unique" from the beginning, so it alone would repeat.
            found[key] = Entry(value, (self.server_run or value, unique))
        if line != b"END\r\n":
            raise self._error(line)
        return found

    def _checked(self, size: int, line: bytes) -> int:
        if not 0 <= size <= MOST_BYTES:
            raise self._error(line)
        return size

    def _error(self, line: bytes) -> Any:
        """The exception for an answer that is an error, is cut off, or is none of memcached's."""
        server = _name(self._client.server)
        if line == TOO_LARGE:
            return ValueTooLarge(
                f"{server} refused a value as too large: the option item_size_max exceeds the "
                "server's own limit; lower it, or start the server with a larger -I"
            )
        if not line.endswith(b"\r\n") and len(line) < LINE_BYTES:
            return MemcacheUnexpectedCloseError(f"{server} closed the connection")
        text = line.decode("latin-1").strip()
        if text.startswith("SERVER_ERROR"):
            return MemcacheServerError(f"{server}: {text}")
        if text.startswith(("CLIENT_ERROR", "ERROR")):
            return StoreError(f"{server}: {text}")
        return _garbage(server, line)


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
        except BaseException as error:
            connection.close()
            if isinstance(error, LOST):
                self._forget()  # the idle ones have most likely lost the same server
            raise
        self._idle.append(connection)
        if self._closed:
            self.close()
        return result

    def close(self) -> None:
        """Close the idle connections now, and those in use when they are given back."""
        self._closed = True
        self._forget()

    def _forget(self) -> None:
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                self._idle.pop().close()

    def _take_idle(self) -> Connection | None:
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                connection = self._idle.pop()
                if not connection.is_lost():
                    return connection
                connection.close()
        return None


class Question(NamedTuple):
    """Commands for one server, and what reads its answer."""

    server: Server
    commands: bytes
    read: Callable[[Connection], object]


def ask_all(questions: Sequence[Question]) -> None:
    """Ask several servers at the same time: all commands are sent before an answer is read."""
    if not questions:
        return
    (server, commands, read), *others = questions

    def exchange(connection: Connection) -> None:
        connection.send(commands)
        ask_all(others)
        read(connection)

    server.run(exchange)


def connect(address: Any, login: Secret | None, settings: dict[str, Any]) -> Connection:
    """Connect to ``(host, port)`` or to a Unix socket's path; `settings` go to the driver.

    Raises `ConfigurationError` if the server refuses the login.
    """
    with suppress(MemcacheUnexpectedCloseError):  # as twemproxy answers "stats"
        return _connected(address, login, settings, _server_run)
    try:
        return _connected(address, login, settings, _no_server_run)
    except MemcacheUnexpectedCloseError:
        raise MemcacheUnexpectedCloseError(
            f"{_name(address)} closes new connections. If it accepts the binary protocol only "
            "(-S for SASL, or -B binary), start it without; for passwords with --auth-file"
        ) from None


def _connected(
    address: Any,
    login: Secret | None,
    settings: dict[str, Any],
    server_run: Callable[[Client], ServerRun],
) -> Connection:
    longest = {name: settings[name] for name in ("connect_timeout", "timeout")}
    bounded = {name: seconds_left(seconds) for name, seconds in longest.items()}
    client = Client(address, default_noreply=False, socket_module=Sockets(), **settings | bounded)
    try:
        with delays_forks if "tls_context" in settings else nullcontext():
            if login is not None:  # protocol.txt, "Authentication": the server ignores the key
                client.set("login", login.reveal())
            return Connection(client, server_run(client), longest["timeout"])
    except BaseException as error:
        client.close()
        _translate(error, _name(address))
        raise


def _server_run(client: Client) -> ServerRun:
    stats = client.stats()
    return stats[b"pid"], stats[b"time"] - stats[b"uptime"]


def _no_server_run(client: Client) -> ServerRun:
    client.get("kvbackends-ping")
    return None


def _translate(error: BaseException, server: str) -> None:
    """Raise ours for what the driver makes of a refusal, or of an answer that is garbage."""
    if isinstance(error, MemcacheClientError):
        raise ConfigurationError(
            f"{server} refuses the login or its absence ({_words(error)}): check the user and "
            "password in the URL, as in memcached://user:password@host"
        ) from None
    unread = isinstance(error, MemcacheUnknownError | LookupError | TypeError | ValueError)
    if unread and not isinstance(error, OSError | UnicodeError):  # of the connection or the host
        raise _garbage(server, _words(error).encode()) from None


def _words(error: BaseException) -> str:
    (text,) = error.args[:1] or ("",)
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)


def _garbage(server: str, line: bytes) -> Garbage:
    return Garbage(
        f"{server} answers {line[:32]!r}, which is not memcached's protocol; if it goes on, check "
        "that the URL names a memcached"
    )


def _readable(sock: socket.socket) -> Callable[[], bool]:
    """Return a function that tells whether there is something to read."""
    if not hasattr(select, "poll"):  # eventlet removes it, and its `select` has no limit
        return lambda: bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return lambda: bool(poll.poll(0))


def _name(address: Any) -> str:
    """The server's address as messages show it."""
    where = address if isinstance(address, str) else ":".join(map(str, address))
    return f"memcached at {where}"
