"""Connections of redis-py, used directly: each is taken for one exchange and given back.

The driver makes them, with its TLS, authentication and handshake, and packs and parses; its pool,
pipeline and command objects are not in the way of each call.
"""

import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import redis
from hiredis import pack_command
from redis.exceptions import RedisError, ResponseError

from kvbackends_redis.errors import Unavailable, UnknownScript, translated
from kvbackends_redis.scripts import Script

Command = tuple[Any, ...]

LARGE = 65_536
"""Bytes.  From here on a send of its own costs less than a copy."""

TURN = 0.05
"""Seconds after which who waits for a connection looks again, if nobody has told it to."""


class Connections:
    """The connections of one process: as many as there are calls at once, but `most`."""

    def __init__(self, kind: type[Any], options: Mapping[str, Any], most: int) -> None:
        self._kind = kind
        self._options = options
        self._most = most
        self._patience = options["socket_timeout"]
        self._free: deque[Any] = deque()
        # Weakly: a connection that an exception has torn from its call frees its place.
        self._alive: weakref.WeakSet[Any] = weakref.WeakSet()
        self._listening: weakref.WeakSet[Any] = weakref.WeakSet()
        self._given_back = threading.Condition()
        self._waiting = 0
        self._client: redis.Redis | None = None

    @property
    def client(self) -> redis.Redis:
        """redis-py's own client to the same server, with a pool of its own."""
        if self._client is None:
            pool: Any = redis.ConnectionPool(
                connection_class=self._kind, max_connections=self._most, **self._options
            )
            self._client = redis.Redis(connection_pool=pool)
        return self._client

    def call(self, *command: Any) -> Any:
        """Send one command; its answer."""
        connection = self._take()
        try:
            connection.send_packed_command([pack_command(command)])
            answer = connection.read_response()
        except ResponseError as error:  # read to its end: the connection is in order
            self._give_back(connection)
            raise translated(error) from error
        except RedisError as error:
            self._lost(connection)
            raise translated(error) from error
        except BaseException:  # half sent or half read: the next answer would be another's
            self._disconnected(connection)
            raise
        self._give_back(connection)
        return answer

    def send(self, *commands: Command) -> list[Any]:
        """Send several commands in one go; their answers, which may be errors."""
        connection = self._take()
        try:
            connection.send_packed_command(_packed(commands))
            answers = [_answer(connection) for _ in commands]
        except RedisError as error:
            self._lost(connection)
            raise translated(error) from error
        except BaseException:
            self._disconnected(connection)
            raise
        self._give_back(connection)
        return answers

    def run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script that the server most likely knows."""
        try:
            return self.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except UnknownScript:  # a new server, a failover, SCRIPT FLUSH: EVAL makes it known
            return self.call("EVAL", script.text, len(keys), *keys, *arguments)

    def for_listening(self) -> Any:
        """A connection for the caller alone, which counts for nothing; nothing is sent yet."""
        connection = self._kind(**self._options)
        self._listening.add(connection)
        return connection

    def abandon(self) -> None:
        """Close a forked child's copies of the files; what the parent uses is not touched.

        The plain client's pool does so itself, when it notices.
        """
        self._free.clear()
        for connection in (*self._alive, *self._listening):
            connection.disconnect()

    def close(self) -> None:
        """Close every connection."""
        self.abandon()
        if self._client is not None:
            self._client.connection_pool.disconnect()

    def _take(self) -> Any:
        try:
            return self._free.pop()
        except IndexError:
            return self._new() or self._wait_for_one()

    def _new(self) -> Any | None:
        with self._given_back:
            if len(self._alive) >= self._most:
                return None
            connection = self._kind(**self._options)
            self._alive.add(connection)
            return connection

    def _give_back(self, connection: Any) -> None:
        self._free.append(connection)
        if self._waiting:
            with self._given_back:
                self._given_back.notify()

    def _disconnected(self, connection: Any) -> None:
        """It connects again when it is used."""
        connection.disconnect()
        self._give_back(connection)

    def _lost(self, connection: Any) -> None:
        """The idle ones have lost the same server: the next call must not meet them."""
        for _ in range(len(self._free)):
            with suppress(IndexError):
                self._disconnected(self._free.popleft())
        self._disconnected(connection)

    def _wait_for_one(self) -> Any:
        until = time.monotonic() + self._patience
        with self._given_back:
            self._waiting += 1
            try:
                while time.monotonic() < until:
                    self._given_back.wait(TURN)
                    with suppress(IndexError):
                        return self._free.pop()
                    if (connection := self._new()) is not None:
                        return connection
            finally:
                self._waiting -= 1
        raise Unavailable(f"all {self._most} connections are in use (option max_connections)")


def checked(answers: Sequence[Any]) -> Sequence[Any]:
    """The answers, where none is an error."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise translated(answer) from answer
    return answers


def _packed(commands: Sequence[Command]) -> list[bytes]:
    """In one piece, which is one system call, unless it is large."""
    pieces = [pack_command(command) for command in commands]
    return pieces if sum(map(len, pieces)) > LARGE else [b"".join(pieces)]


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
