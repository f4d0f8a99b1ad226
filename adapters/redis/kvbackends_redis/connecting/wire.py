"""A connection made by redis-py, used without redis-py's own commands, pool and pipelines.

The driver connects: addresses, TLS, credentials, handshake.  Its work around each command takes
longer than the command itself, so `Wire` packs and parses with hiredis on the driver's socket.

The socket and the parser of errors are private names of redis-py, `_sock` and `_parser`.  Only
`_ends` reads them.  Where a version of redis-py has renamed or changed them, `_PublicEnds` sends
and receives by redis-py's public methods instead: slower (see `docs/redis.md`), otherwise the same.
"""

import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

from hiredis import Reader, pack_command
from redis import SSLConnection, exceptions

from kvbackends.contract import BoundedSocket, deadline, delays_forks, seconds_left

Settle = Callable[[Any], None]
"""Receives the answer to a command whose caller did not wait; the answer may be an exception."""

MOST_OWED = 16
"""Maximum number of deferred answers per connection: the server buffers them."""

NEARLY = 0.25
"""Seconds by which a socket's own timeout may be later than the deadline, to save system calls."""

CHUNK = 65_536
"""Bytes per `recv`; more than TLS buffers, so a readable socket is read to its end."""

NOTHING = object()
"""Returned by a reader that has no complete answer."""

_CLOSED = socket.socket()
"""Stands in for a socket that another thread has closed: using it raises OSError."""
_CLOSED.close()

_PING = pack_command(("PING",))
_deadline = deadline.get


class NoDescriptor(Exception):
    """There is no file descriptor to select on: ask `is_readable` instead."""


def pack(command: tuple[Any, ...]) -> bytes:
    """The command as bytes to send.

    Numbers are converted here: hiredis crashes the process if a signal handler raises while hiredis
    converts one, as the handler of Celery's soft time limit does.
    """
    if int in map(type, command):
        command = tuple([str(each) if type(each) is int else each for each in command])
    packed: bytes = pack_command(command)
    return packed


class _Handshake:
    """A socket for redis-py's handshake, whose every step ends at the deadline."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self._bounded = BoundedSocket(sock, sock.gettimeout() or math.inf)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def recv_into(self, *arguments: Any) -> int:
        """As the socket does."""
        self._bounded.bound()
        return int(self.sock.recv_into(*arguments))


class _Bounded:
    """Connects as redis-py does."""

    def _connect(self) -> Any:
        sock = super()._connect()  # type: ignore[misc]
        return sock if isinstance(sock, ssl.SSLSocket) else _Handshake(sock)


def bounded(kind: type[Any]) -> type[Any]:
    """The connection class of redis-py, with a handshake that ends at the deadline."""
    return type(kind.__name__, (_Bounded, kind), {})


class Link:
    """The two ends of a redis-py connection: `sock` to send, `reader` to parse answers.

    Args:
        connection: Of redis-py; nothing else sends on it.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._longest = connection.socket_timeout or math.inf
        self._longest_connect = connection.socket_connect_timeout or math.inf
        self._relaxed = self._longest - NEARLY
        self._hurried, self._cuts = False, 0  # `_cuts`: by `disconnect`, of any thread
        self.sock: Any = None
        """None while disconnected."""
        self.reader: Any = None

    def connect(self) -> None:
        """Connect; raises redis-py's errors."""
        self.connection.disconnect()  # an interrupted `disconnect` may have left it open
        cuts = self._cuts
        try:
            with delays_forks if isinstance(self.connection, SSLConnection) else nullcontext():
                self.connection.connect()
            ends = _ends(self.connection)
        except Exception as error:  # redis-py may use a socket that it does not have any more
            if self._cuts == cuts:
                raise
            raise exceptions.ConnectionError("Connection closed by another thread.") from error
        if self._cuts != cuts:
            self.connection.disconnect()
            raise exceptions.ConnectionError("Connection closed by another thread.")
        self.sock, self.reader = ends

    def hurry(self) -> None:
        """Bound the next step by the deadline: a socket's timeout is for one step only."""
        left = seconds_left(self._longest)
        self._hurried = left < self._relaxed
        self.connection.socket_timeout = left
        self.connection.socket_connect_timeout = min(left, self._longest_connect)
        if (sock := self.sock) is not None:  # another thread may disconnect
            sock.settimeout(left)

    def disconnect(self) -> None:
        """Close the socket, if it is open.  Safe while another thread uses it."""
        self._cuts += 1
        if isinstance(self.sock, _PublicEnds):
            self.sock.is_closed = True
        try:
            self.connection.disconnect()
        finally:
            self.sock = None


class Wire(Link):
    """A connection for one call at a time; it connects on first use.

    Raises redis-py's errors and `OSError`.  After any exception, including a `BaseException`, the
    caller must disconnect it: the next answer might belong to another command.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._interval = connection.health_check_interval or math.inf
        self._due = 0.0
        self.owed: deque[Settle] = deque()
        """Deferred commands whose answers precede the next command's."""
        self.come: list[tuple[Settle, Any]] = []
        """Deferred commands and their answers, not yet passed on."""
        self.is_outdated = False  # True: it connects anew after the exchange that it is used for

    def send(self, *pieces: bytes) -> None:
        """Send packed commands; the caller reads one answer for each."""
        now = time.monotonic()
        if self._hurried or _deadline() < now + self._relaxed:
            self.hurry()
        if self.sock is None:
            self.connect()
        elif now > self._due:
            self._check_health()
        self._due = now + self._interval
        sock = self.sock or _CLOSED
        for piece in pieces:
            sock.sendall(piece)

    def answer(self) -> Any:
        """The next answer; an error reply is returned, not raised."""
        reader, sock = self.reader, self.sock or _CLOSED
        answer = reader.gets()
        while answer is NOTHING:
            data = sock.recv(CHUNK)
            if not data:
                raise exceptions.ConnectionError("Connection closed by server.")
            reader.feed(data)
            answer = reader.gets()
            if answer is NOTHING:  # the server may send its answer byte by byte
                self.hurry()
        return answer

    def collect(self, left: int = 0) -> None:
        """Read deferred answers until at most `left` are outstanding."""
        while len(self.owed) > left:
            self.come.append((self.owed.popleft(), self.answer()))

    def connect(self) -> None:
        """Connect; deferred answers are lost."""
        self.is_outdated = False
        self.owed.clear()  # another thread may have cut it after the send, before the append
        super().connect()

    def discard(self) -> None:
        """Disconnect; deferred answers are lost."""
        self.owed.clear()
        self.come.clear()
        self.disconnect()

    def _check_health(self) -> None:
        """Reconnect if the idle connection was dropped on the way."""
        try:
            (self.sock or _CLOSED).sendall(_PING)
            self.collect()
            self.answer()
        except (OSError, exceptions.RedisError):
            self.discard()
            self.connect()


class _PublicEnds:
    """Both ends by redis-py's public methods, where `_ends` does not find the private ones.

    redis-py would reconnect by itself after another thread has disconnected; the next answer would
    then be taken for an older command's.  Hence `is_closed`.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._answers: deque[Any] = deque()
        self._seconds = math.inf
        self.is_closed = False

    def sendall(self, piece: bytes) -> None:
        """Send packed commands."""
        self._run(lambda: self._connection.send_packed_command([piece], check_health=False))

    def recv(self, _size: int) -> bytes:
        """Wait for the next answer, which `gets` returns."""
        self._answers.append(self._run(self._read))
        return b"+"

    def settimeout(self, seconds: float) -> None:
        """Let the next `recv` wait for so many seconds."""
        self._seconds = seconds

    def feed(self, _data: bytes) -> None:
        """Nothing: `recv` keeps the answer."""

    def gets(self) -> Any:
        """The next answer, or `NOTHING`."""
        if not self._answers and self.is_readable():
            return self._run(self._read)
        return self._answers.popleft() if self._answers else NOTHING

    def fileno(self) -> int:
        """Raises `NoDescriptor`."""
        raise NoDescriptor

    def is_readable(self) -> bool:
        """True if an answer, or a part of one, has arrived."""
        return bool(self._run(lambda: self._connection.can_read(timeout=0)))

    def _read(self) -> Any:
        if self._seconds < math.inf and not self._connection.can_read(timeout=self._seconds):
            raise exceptions.TimeoutError("Timeout reading from socket")
        try:
            return self._connection.read_response()
        except exceptions.ResponseError as refusal:
            return refusal

    def _run(self, step: Callable[[], Any]) -> Any:
        try:
            self._check_open()
            result = step()
        except (AttributeError, TypeError, ValueError):  # another thread disconnected meanwhile
            self._check_open()
            raise
        self._check_open()
        return result

    def _check_open(self) -> None:
        if self.is_closed:
            raise exceptions.ConnectionError("Connection closed by another thread.")


def _ends(connection: Any) -> tuple[Any, Any]:
    """The socket of a connected connection, and a reader; both by public methods if need be."""
    sock: Any = getattr(connection, "_sock", None)
    sock = sock.sock if isinstance(sock, _Handshake) else sock
    as_error: Any = getattr(getattr(connection, "_parser", None), "parse_error", None)
    with suppress(AttributeError, TypeError, ValueError):  # they are missing or have changed
        if isinstance(as_error("ERR"), Exception) and sock.sendall and sock.recv and sock.fileno:
            reader = Reader(
                protocolError=exceptions.InvalidResponse,
                replyError=as_error,
                notEnoughData=NOTHING,
            )
            return sock, reader
    public = _PublicEnds(connection)
    return public, public
