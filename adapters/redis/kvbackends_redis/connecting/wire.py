"""One connection of redis-py's, whose socket is used directly.

The driver connects: addresses, TLS, credentials, handshake.  What it does around each command
afterwards takes longer than the command, and is not needed here.  Only this module and
`listening.listener` use the two private names of its connections, `_sock` and `_parser`.
"""

import math
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from hiredis import Reader, pack_command
from redis import exceptions

Settle = Callable[[Any], None]
"""Is given an answer that nobody waited for; it may be an exception."""

MOST_OWED = 16
"""Answers that may be outstanding; the server keeps them, and they may be large."""

_CHUNK = 65_536
"""Bytes that are received at once."""

_NOTHING = object()

_CLOSED = socket.socket()
"""In place of a socket that another thread has closed meanwhile: whatever is done raises."""
_CLOSED.close()

_PING = pack_command(("PING",))


def pack(command: tuple[Any, ...]) -> bytes:
    """The command as it is sent.

    Numbers are spelled here: hiredis kills the process where a signal's handler raises, as that of
    a soft time limit does, while it spells one.
    """
    if int in map(type, command):
        command = tuple([str(each) if type(each) is int else each for each in command])
    packed: bytes = pack_command(command)
    return packed


class Wire:
    """A connection for one call at a time; it connects when it is used.

    It raises the driver's errors and `OSError`.  After any exception, a `BaseException` too, it has
    to be disconnected: the next answer could be another command's.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._interval = connection.health_check_interval or math.inf
        self._due = 0.0
        self._reader: Any = None
        self.owed: deque[Settle] = deque()
        """Whose answers are still to come, before that to the next command."""
        self.come: list[tuple[Settle, Any]] = []
        """Those that have come, and nobody has been told of."""

    def send(self, *pieces: bytes) -> None:
        """Send commands; each will be answered."""
        now = time.monotonic()
        if self._connection._sock is None:  # noqa: SLF001
            self._connect()
        elif now > self._due:
            self._try()
        self._due = now + self._interval
        sock = self._connection._sock or _CLOSED  # noqa: SLF001
        for piece in pieces:
            sock.sendall(piece)

    def answer(self) -> Any:
        """The next answer; the server's refusal of a command is a value, too."""
        reader, sock = self._reader, self._connection._sock or _CLOSED  # noqa: SLF001
        answer = reader.gets()
        while answer is _NOTHING:
            data = sock.recv(_CHUNK)
            if not data:
                raise exceptions.ConnectionError("Connection closed by server.")
            reader.feed(data)
            answer = reader.gets()
        return answer

    def collect(self, left: int = 0) -> None:
        """Read the answers that nobody has waited for, but `left` of them."""
        while len(self.owed) > left:
            self.come.append((self.owed.popleft(), self.answer()))

    def disconnect(self) -> None:
        """Close the socket; what was outstanding is lost."""
        self.owed.clear()
        self.come.clear()
        self._connection.disconnect()

    def cut(self) -> None:
        """Close the socket under another thread, which still knows what it waits for."""
        self._connection.disconnect()

    def _connect(self) -> None:
        self.owed.clear()  # if it was cut between a send and the note of it
        self._connection.connect()
        self._reader = Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=self._connection._parser.parse_error,  # noqa: SLF001
            notEnoughData=_NOTHING,
        )

    def _try(self) -> None:
        """An idle connection may have been dropped on the way; then there is a new one."""
        try:
            (self._connection._sock or _CLOSED).sendall(_PING)  # noqa: SLF001
            self.collect()
            self.answer()
        except (OSError, exceptions.RedisError):
            self.disconnect()
            self._connect()
