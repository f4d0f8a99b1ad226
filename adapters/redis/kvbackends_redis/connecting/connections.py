"""The pool of connections: a call takes one for an exchange and gives it back.

It replaces redis-py's pool, pipelines and commands, which cost more than the exchange itself.
"""

import logging
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from kvbackends import StoreError
from kvbackends.contract import Pool, delays_forks, within
from kvbackends_redis.connecting.sentinel import Sentinels
from kvbackends_redis.connecting.wire import MOST_OWED, Link, Settle, Wire, bounded, pack
from kvbackends_redis.errors import Unavailable, UnknownScript, translated
from kvbackends_redis.operations.scripts import Script

logger = logging.getLogger(__name__)

Command = tuple[Any, ...]

LARGE = 65_536
"""Bytes from which a separate send costs less than a copy."""

VERIFYING = 1.0
"""Most seconds for the Sentinels' answer while a process waits for results."""

CLOSED = "another thread has closed the store"


class Connections(Pool[Wire]):
    """The connections of one process to one server: one per concurrent call, at most `most`.

    Args:
        kind: Connection class of redis-py.
        options: Its arguments.
        most: Limit of connections; further calls wait.
        patience: Maximum number of seconds to wait for a connection.
    """

    def __init__(
        self,
        kind: type[Any],
        options: Mapping[str, Any],
        most: int,
        patience: float,
    ) -> None:
        self._kind = bounded(kind)
        self._options = options
        super().__init__(lambda: Wire(self._kind(**options)), most, patience, Unavailable)
        self._listening: weakref.WeakSet[Link] = weakref.WeakSet()
        self._closed = False
        self._sentinels: Sentinels | None = options.get("sentinels")
        if self._sentinels is not None:
            self._sentinels.tell(self)

    def call(self, *command: Any) -> Any:
        """Send one command and return its answer; raise an error reply."""
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
        """Send several commands at once and return their answers, including error replies."""
        return self.begin(*commands).answers()

    def begin(self, *commands: Command) -> "Sent":
        """Send several commands at once; the caller reads or drops the answers."""
        packed = _packed(commands)
        wire = self._take()
        try:
            wire.send(*packed)
        except BaseException as error:
            self._broken(wire, error)
            raise
        return Sent(self, wire, len(commands))

    def post(self, settle: Settle, *command: Any) -> None:
        """Send one command without waiting; `settle` is called with the answer later.

        The thread of this connection's next exchange calls it, or `close`.  It is not called if the
        connection is lost before.
        """
        packed = pack(command)
        wire = self._take()
        try:
            wire.send(packed)
            wire.owed.append(settle)
            # A call that waits is given this connection; the server may then receive what this
            # thread sends next, on another one, before the command.
            wire.collect(0 if self._waiting else MOST_OWED)
        except BaseException as error:
            self._broken(wire, error)
            raise
        self._give_back(wire)

    def run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script by its digest, or by its text where the server does not know it."""
        try:
            return self.call("EVALSHA", script.digest, str(len(keys)), *keys, *arguments)
        except UnknownScript:  # new server, failover or SCRIPT FLUSH; EVAL loads it
            return self.call("EVAL", script.text, str(len(keys)), *keys, *arguments)

    def spelled(self, script: Script) -> Script:
        """The variant of the script for this server."""
        return script

    def for_listening(self) -> Link:
        """A link for the caller alone, not yet connected; it does not count as one of `most`."""
        link = Link(self._kind(**self._options))
        with self._lock:
            self._listening.add(link)
        return link

    def verify(self, link: Link) -> None:
        """Ask the Sentinels, if there are any, whether the link's server is still the primary.

        A process that only waits would not notice: a primary that is cut off still answers.  Where
        it was replaced all connections leave it, and `Unavailable` is raised.
        """
        if self._sentinels is None:
            return
        server = link.connection.host, link.connection.port
        try:
            self._sentinels.rotate()
            with delays_forks:  # a TLS handshake
                named = within(VERIFYING, self._sentinels.named)
        except (RedisError, OSError):
            return  # none that answers knows it
        if named != server:
            old, new = (f"{host}:{port}" for host, port in (server, named))
            raise Unavailable(f"{old} was the primary, and the Sentinels name {new} now")

    def abandon(self) -> None:
        """Close a forked child's copies of the sockets; the parent's stay open."""
        self._free.clear()
        for link in (*self._alive, *self._listening):
            link.disconnect()

    def close(self) -> None:
        """Close every connection, after the deferred answers of idle ones have been read.

        A connection that a thread uses meanwhile, or makes, is closed when it is given back.
        """
        self._closed = True
        for _ in range(len(self._free)):
            with suppress(IndexError):
                self._drain(self._free.popleft())
        with self._lock:  # iterating needs sets that do not change
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
            return self._another()

    def _give_back(self, wire: Wire) -> None:
        come = wire.come
        if come:
            wire.come = []
        if self._closed or wire.is_outdated:
            wire.disconnect()
        self._free.append(wire)
        if self._waiting:
            self._notify()
        for settle, answer in come:
            _settle(settle, answer)

    def _broken(self, wire: Wire, error: BaseException) -> None:
        """Disconnect after an interrupted exchange: the next answer would be another command's."""
        if isinstance(error, RedisError | OSError):
            self._lost(wire)
            raise translated(error) from error
        self._disconnected(wire)
        if self._closed and isinstance(error, Exception):  # TLS sockets may raise AttributeError
            raise Unavailable(CLOSED) from error

    def _disconnected(self, wire: Wire) -> None:
        """Return it to the pool disconnected; it reconnects on next use."""
        wire.discard()
        self._give_back(wire)

    def _refused(self, answer: Exception) -> Exception:
        """The exception for an error reply; a retry connects anew, perhaps to another server."""
        error = translated(answer)
        if isinstance(error, Unavailable):
            self.doubt()
        return error

    def doubt(self) -> None:
        """`leave`, and ask another Sentinel: one that is cut off with the primary names it."""
        if self._sentinels is not None:
            self._sentinels.rotate()
        self.leave()

    def leave(self) -> None:
        """Connect anew on next use, each connection: this primary may have been replaced.

        One that is cut off from all others goes on answering, and would be read for ever.
        """
        with self._lock:  # iterating needs a set that does not change
            for wire in self._alive:
                wire.is_outdated = True
        self._forget()

    def _lost(self, wire: Wire) -> None:
        """Disconnect the idle connections, too: they have most likely lost the same server."""
        self._forget()
        self._disconnected(wire)

    def _forget(self) -> None:
        """Disconnect all idle connections; they reconnect on next use."""
        for _ in range(len(self._free)):
            with suppress(IndexError):
                self._disconnected(self._free.popleft())


class Sent:
    """Commands that were sent, and the connection taken for them."""

    def __init__(self, connections: Connections, wire: Wire, count: int) -> None:
        self._connections = connections
        self._wire = wire
        self._count = count

    def answers(self) -> list[Any]:
        """Read the answers; error replies are returned, not raised."""
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
        """Disconnect, because the answers will not be read."""
        self._connections._disconnected(self._wire)  # noqa: SLF001 - its own module


def key_of(command: Command) -> Any:
    """The first key of a command, which decides its slot; a script's follows the number of keys."""
    return command[3] if command[0] in ("EVALSHA", "EVAL") else command[1]


def checked(answers: Sequence[Any]) -> Sequence[Any]:
    """`answers`; raises the first error reply among them."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise translated(answer) from answer
    return answers


def _packed(commands: Sequence[Command]) -> list[bytes]:
    """The commands as one piece, for one system call, unless they are large."""
    pieces = [pack(command) for command in commands]
    return pieces if sum(map(len, pieces)) > LARGE else [b"".join(pieces)]


def _settle(settle: Settle, answer: Any) -> None:
    """Errors of deferred answers are logged: the current command has not caused them."""
    try:
        settle(answer)
    except (RedisError, StoreError) as error:
        logger.warning("a deferred write failed: %s", error)
