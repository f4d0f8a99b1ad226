"""A connection that is subscribed to the channels of keys."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from kvbackends_redis.connecting.wire import CHUNK, NOTHING, Link, pack
from kvbackends_redis.errors import Unavailable, translated


class Words(NamedTuple):
    """The commands and messages of a kind of channel."""

    subscribe: bytes
    unsubscribe: bytes
    message: bytes
    batch: int
    """Maximum number of channels in one command."""


CLASSIC = Words(b"subscribe", b"unsubscribe", b"message", 1000)
SHARDED = Words(
    b"ssubscribe", b"sunsubscribe", b"smessage", 1
)  # several would have to be of one slot


class Listener:
    """Subscribes to channels and collects their messages; it connects on first use.

    Args:
        link: For this listener alone, not yet connected.
        interval: Seconds of silence after which the server is pinged; 0: never.
        patience: Maximum number of seconds to wait for the answer.
        words: Commands of the kind of channels.
        verify: Is called with the connected link after each interval; raises `Unavailable` if
            another server has taken the place of its server.
    """

    def __init__(
        self,
        link: Link,
        interval: float,
        patience: float,
        words: Words = CLASSIC,
        verify: Callable[[Link], None] = lambda _: None,
    ) -> None:
        self._link = link
        self._verify = verify
        self._verified = time.monotonic()
        self._interval = interval
        self._patience = patience
        self._words = words
        self._names: set[bytes] = set()
        self._unconfirmed: deque[bytes] = deque()
        self._heard = time.monotonic()
        self._asked: float | None = None
        self._told: dict[bytes, bytes | None] = {}
        self._expelled: set[bytes] = set()

    def listen(self, names: Iterable[bytes]) -> None:
        """Subscribe to these channels; `confirm` waits for the server's confirmation."""
        new = list(names)
        self._names.update(new)
        self._unconfirmed.extend(new)
        self._command(self._words.subscribe, new)

    def confirm(self) -> None:
        """Return when the server has confirmed every subscription."""
        while self._unconfirmed:
            with _lost_connection():
                self._link.hurry()
            self.hear()

    def leave(self, names: Iterable[bytes]) -> None:
        """Unsubscribe; the confirmation is read later."""
        gone = self._names & set(names)
        self._names -= gone
        for name in gone:
            self._told.pop(name, None)
        self._command(self._words.unsubscribe, list(gone))

    def take_told(self) -> dict[bytes, bytes | None]:
        """The latest message of each channel since the last call.

        None in place of a message that may have been sent before `listen`.
        """
        told, self._told = self._told, {}
        return told

    def take_expelled(self) -> set[bytes]:
        """The channels that the server has dropped since the last call: their slot has moved."""
        expelled, self._expelled = self._expelled, set()
        return expelled

    def hear(self) -> None:
        """Read what has arrived; blocks if nothing has."""
        try:
            data = self._socket().recv(CHUNK)
            self._link.reader.feed(data)
            while (message := self._link.reader.gets()) is not NOTHING:
                self._take(message)
        except (OSError, RedisError) as error:
            raise translated(error) from error
        if not data:
            raise Unavailable("the server has closed the subscription's connection")
        self._heard, self._asked = time.monotonic(), None

    def stay_alive(self) -> float:
        """Ping a silent server; the seconds until the next call is due."""
        self._verify_in_time()
        now = time.monotonic()
        if self._asked is not None:
            if now - self._asked > self._patience:
                raise Unavailable("the subscription's connection is dead")
            return self._asked + self._patience - now + 0.01
        if not self._interval:
            return self._patience
        if now - self._heard < self._interval:
            return self._heard + self._interval - now + 0.01
        self._asked = now
        self._send([(b"PING",)])
        return self._patience

    def _verify_in_time(self) -> None:
        now = time.monotonic()
        if self._interval and now - self._verified >= self._interval and self._link.sock:
            self._verified = now
            self._verify(self._link)

    def fileno(self) -> int:
        """The file to select on; raises `NoDescriptor` if redis-py does not give it."""
        descriptor: int = self._socket().fileno()
        return descriptor

    def is_readable(self) -> bool:
        """True if `hear` has something to read.  Only for listeners without a file."""
        with _lost_connection():
            return bool(self._socket().is_readable())

    def close(self) -> None:
        """Close the connection."""
        self._link.disconnect()

    def _take(self, message: Any) -> None:
        """Handle one message or confirmation; raise an error reply."""
        if isinstance(message, Exception):
            raise message
        kind = message[0] if isinstance(message, list) else b"pong"
        if kind == self._words.message:
            if message[1] in self._names:
                self._told[message[1]] = None if self._unconfirmed else message[2]
        elif kind == self._words.subscribe:
            self._unconfirmed.popleft()
        elif kind == self._words.unsubscribe and message[1] in self._names:
            self._expel(message[1])

    def _expel(self, name: bytes) -> None:
        self._names.discard(name)
        self._expelled.add(name)

    def _command(self, word: bytes, names: list[bytes]) -> None:
        self._send([(word, *batch) for batch in _batches(names, self._words.batch)])

    def _send(self, commands: list[Any]) -> None:
        if not commands:
            return
        with _lost_connection():
            self._socket().sendall(b"".join([pack(command) for command in commands]))

    def _socket(self) -> Any:
        """The socket; connects the first time.  A lost connection is not opened again."""
        if self._link.reader is None:
            self._connect()
        if (sock := self._link.sock) is None:
            raise Unavailable("the subscription's connection is closed")
        return sock

    def _connect(self) -> None:
        with _lost_connection():
            self._link.hurry()
            self._link.connect()


@contextmanager
def _lost_connection() -> Iterator[None]:
    """Translate the errors of a connection that the server, or another thread, has closed."""
    try:
        yield
    except (OSError, RedisError) as error:
        raise translated(error) from error


def _batches(names: list[bytes], size: int) -> Iterator[list[bytes]]:
    return (names[start : start + size] for start in range(0, len(names), size))
