"""Connections of redis-py, used directly: each is taken for one exchange and given back.

The driver makes them, with its TLS, authentication and handshake; its pool, pipeline and command
objects are not in the way of each call.
"""

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from kvbackends import StoreError
from kvbackends_redis.connecting.wire import MOST_OWED, Link, Settle, Wire, pack
from kvbackends_redis.errors import Unavailable, UnknownScript, translated
from kvbackends_redis.operations.scripts import Script

logger = logging.getLogger(__name__)

Command = tuple[Any, ...]

LARGE = 65_536
"""Bytes.  From here on a send of its own costs less than a copy."""

TURN = 0.05
"""Seconds after which who waits for a connection looks again, if nobody has told it to."""


class Connections:
    """The connections of one process: as many as there are calls at once, but `most`.

    Args:
        kind: redis-py's class of connections.
        options: Its arguments.
        most: When so many are in use, who comes next waits for one.
        patience: Seconds that it waits.
    """

    def __init__(
        self,
        kind: type[Any],
        options: Mapping[str, Any],
        most: int,
        patience: float,
    ) -> None:
        self._kind = kind
        self._options = options
        self._most = most
        self._patience = patience
        self._free: deque[Wire] = deque()
        # Weakly: a connection that an exception has torn from its call frees its place.
        self._alive: weakref.WeakSet[Wire] = weakref.WeakSet()
        self._listening: weakref.WeakSet[Link] = weakref.WeakSet()
        self._given_back = threading.Condition()
        self._waiting = 0

    def call(self, *command: Any) -> Any:
        """Send one command; its answer."""
        packed = pack(command)
        wire = self._take()
        try:
            wire.send(packed)
            if wire.owed:
                wire.collect()
            answer = wire.answer()
        except BaseException as error:
            self._broken(wire, error)
            raise
        self._give_back(wire)
        if isinstance(answer, Exception):
            raise self._refused(answer) from answer
        return answer

    def send(self, *commands: Command) -> list[Any]:
        """Send several commands in one go; their answers, which may be errors."""
        return self.begin(*commands).answers()

    def begin(self, *commands: Command) -> "Sent":
        """Send several commands in one go; whoever called reads the answers, or drops them."""
        packed = _packed(commands)
        wire = self._take()
        try:
            wire.send(*packed)
        except BaseException as error:
            self._broken(wire, error)
            raise
        return Sent(self, wire, len(commands))

    def post(self, settle: Settle, *command: Any) -> None:
        """Send one command without waiting; `settle` is told its answer when that has come.

        That is after the next exchange of this connection, by the thread which makes that, or in
        `close`.  It is told nothing if the connection is lost before.
        """
        packed = pack(command)
        wire = self._take()
        try:
            wire.send(packed)
            wire.owed.append(settle)
            wire.collect(MOST_OWED)
        except BaseException as error:
            self._broken(wire, error)
            raise
        self._give_back(wire)

    def run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script that the server most likely knows."""
        try:
            return self.call("EVALSHA", script.digest, str(len(keys)), *keys, *arguments)
        except UnknownScript:  # a new server, a failover, SCRIPT FLUSH: EVAL makes it known
            return self.call("EVAL", script.text, str(len(keys)), *keys, *arguments)

    def spelled(self, script: Script) -> Script:
        """The script as this server is to run it."""
        return script

    def for_listening(self) -> Link:
        """A link for the caller alone, not yet connected; it does not count as one of `most`."""
        link = Link(self._kind(**self._options))
        with self._given_back:
            self._listening.add(link)
        return link

    def abandon(self) -> None:
        """Close a forked child's copies of the files; what the parent uses is not touched."""
        self._free.clear()
        for link in (*self._alive, *self._listening):
            link.disconnect()

    def close(self) -> None:
        """Close every connection; what was sent on the idle ones has been received by then."""
        for _ in range(len(self._free)):
            with suppress(IndexError):
                self._drain(self._free.popleft())
        with self._given_back:  # a set that grows is not to be looked through
            self.abandon()

    def _drain(self, wire: Wire) -> None:
        try:
            wire.collect()
        except (RedisError, OSError):
            self._lost(wire)
        else:
            self._give_back(wire)

    def _take(self) -> Wire:
        try:
            return self._free.pop()
        except IndexError:
            return self._new() or self._wait_for_one()

    def _new(self) -> Wire | None:
        with self._given_back:
            if len(self._alive) >= self._most:
                return None
            wire = Wire(self._kind(**self._options))
            self._alive.add(wire)
            return wire

    def _give_back(self, wire: Wire) -> None:
        come = wire.come
        if come:
            wire.come = []
        self._free.append(wire)
        if self._waiting:
            with self._given_back:
                self._given_back.notify()
        for settle, answer in come:
            _tell(settle, answer)

    def _broken(self, wire: Wire, error: BaseException) -> None:
        """Half sent or half read: the next answer on this connection would be another's."""
        if isinstance(error, RedisError | OSError):
            self._lost(wire)
            raise translated(error) from error
        self._disconnected(wire)

    def _disconnected(self, wire: Wire) -> None:
        """It connects again when it is used."""
        wire.discard()
        self._give_back(wire)

    def _refused(self, answer: Exception) -> Exception:
        """What to raise.  Where another attempt is worth it, it may be another server's by now."""
        error = translated(answer)
        if isinstance(error, Unavailable):
            self._forget()
        return error

    def _lost(self, wire: Wire) -> None:
        """The idle ones have lost the same server: the next call must not meet them."""
        self._forget()
        self._disconnected(wire)

    def _forget(self) -> None:
        """Connect anew wherever nobody is waiting for an answer."""
        for _ in range(len(self._free)):
            with suppress(IndexError):
                self._disconnected(self._free.popleft())

    def _wait_for_one(self) -> Wire:
        until = time.monotonic() + self._patience
        with self._given_back:
            self._waiting += 1
            try:
                while time.monotonic() < until:
                    self._given_back.wait(TURN)
                    with suppress(IndexError):
                        return self._free.pop()
                    if (wire := self._new()) is not None:
                        return wire
            finally:
                self._waiting -= 1
        raise Unavailable(f"all {self._most} connections are in use (option max_connections)")


class Sent:
    """Commands that are under way, on a connection that is taken for them."""

    def __init__(self, connections: Connections, wire: Wire, count: int) -> None:
        self._connections = connections
        self._wire = wire
        self._count = count

    def answers(self) -> list[Any]:
        """The answers, which may be errors."""
        connections, wire = self._connections, self._wire
        try:
            wire.collect()
            answers = [wire.answer() for _ in range(self._count)]
        except BaseException as error:
            connections._broken(wire, error)  # noqa: SLF001 - its own module
            raise
        connections._give_back(wire)  # noqa: SLF001 - its own module
        for answer in answers:
            if isinstance(answer, Exception):
                connections._refused(answer)  # noqa: SLF001 - its own module
        return answers

    def drop(self) -> None:
        """Nobody will read the answers."""
        self._connections._disconnected(self._wire)  # noqa: SLF001 - its own module


def key_of(command: Command) -> Any:
    """The first key of a command, which says whose it is; a script's comes behind their number."""
    return command[3] if command[0] in ("EVALSHA", "EVAL") else command[1]


def checked(answers: Sequence[Any]) -> Sequence[Any]:
    """The answers, where none is an error."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise translated(answer) from answer
    return answers


def _packed(commands: Sequence[Command]) -> list[bytes]:
    """In one piece, which is one system call, unless it is large."""
    pieces = [pack(command) for command in commands]
    return pieces if sum(map(len, pieces)) > LARGE else [b"".join(pieces)]


def _tell(settle: Settle, answer: Any) -> None:
    """What goes wrong here is not the fault of the command that is under way."""
    try:
        settle(answer)
    except (RedisError, StoreError) as error:
        logger.warning("what nobody waited for was not stored: %s", error)
