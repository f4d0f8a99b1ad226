"""Connections whose writes succeed once replicas have confirmed them (WAIT)."""

from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import AskError

from kvbackends_redis.connecting.connections import Command, Connections, Sent, key_of
from kvbackends_redis.errors import Unavailable, translated
from kvbackends_redis.operations.ranked import marker_beside

_WRITES = frozenset({"SET", "UNLINK", "PEXPIRE", "EVALSHA", "EVAL"})

MARKED_FOR = 1000
"""Time to live of a marker, in milliseconds."""


class ReplicatedConnections(Connections):
    """Sends WAIT after each write; raises `Unavailable` on too few confirmations.

    Args:
        arguments: Of `Connections`.
        replicas: Number of replicas that must confirm.
        seconds: Maximum time for the confirmations.
    """

    def __init__(self, *arguments: Any, replicas: int, seconds: float) -> None:
        super().__init__(*arguments)
        self._replicas = replicas
        self._wait = ("WAIT", replicas, int(seconds * 1000) or 1)

    def call(self, *command: Any) -> Any:
        """Send one command and return its answer; raise an error reply."""
        if command[0] not in _WRITES:
            return super().call(*command)
        [answer] = self.send(command)
        if isinstance(answer, Exception):
            raise translated(answer) from answer
        return answer

    def begin(self, *commands: Command) -> Sent:
        """Send several commands at once; the caller reads or drops the answers."""
        written = [command for command in commands if command[0] in _WRITES]
        if not written:
            return super().begin(*commands)
        more = [*_marked(written[0]), self._wait]
        sent = super().begin(*commands, *more)
        return _Waiting(sent, len(commands), self._replicas, self.doubt)


class _Waiting(Sent):
    def __init__(self, sent: Sent, count: int, replicas: int, doubt: Callable[[], object]) -> None:
        self._sent = sent
        self._count = count
        self._replicas = replicas
        self._doubt = doubt

    def answers(self) -> list[Any]:
        """The answers to the caller's commands, without those to the marker and WAIT."""
        answers = self._sent.answers()
        confirmed = answers[-1]
        asked = answers[: self._count]
        errors = [answer for answer in asked if isinstance(answer, Exception)]
        led = sum(isinstance(error, AskError) for error in errors)
        if len(errors) == len(asked) or len(errors) > led:
            return asked  # nothing was written, or the caller raises an error anyway
        if isinstance(confirmed, Exception):
            raise translated(confirmed) from confirmed
        if confirmed < self._replicas:
            self._doubt()
            raise Unavailable(
                f"{confirmed} replicas confirmed in time, {self._replicas} are required"
            )
        return asked

    def drop(self) -> None:
        """Disconnect, because the answers will not be read."""
        self._sent.drop()


def _marked(command: Command) -> Sequence[Command]:
    """A write to a marker beside the command's key.

    If an earlier, unconfirmed attempt has done the command's work, this attempt writes nothing, and
    since Redis 8 WAIT would then return at once.  The marker gives WAIT something to wait for.
    """
    marker = marker_beside(key_of(command))
    return [("SET", marker, b"", "PX", MARKED_FOR)] if marker else []
