"""Connections whose writes count when replicas have confirmed them, too."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import AskError

from kvbackends_redis.connecting.connections import Command, Connections, Sent, key_of
from kvbackends_redis.errors import Unavailable, translated
from kvbackends_redis.operations.ranked import marker_beside

_WRITES = frozenset({"SET", "UNLINK", "PEXPIRE", "EVALSHA", "EVAL"})

MARKED_FOR = 1000
"""Milliseconds that a marker lives."""


class ReplicatedConnections(Connections):
    """Sends WAIT behind each write; too few confirmations are worth another attempt.

    Args:
        arguments: Of `Connections`.
        replicas: How many have to confirm.
        seconds: How long they may take.
    """

    def __init__(self, *arguments: Any, replicas: int, seconds: float) -> None:
        super().__init__(*arguments)
        self._replicas = replicas
        self._wait = ("WAIT", replicas, int(seconds * 1000) or 1)

    def call(self, *command: Any) -> Any:
        """Send one command; its answer."""
        if command[0] not in _WRITES:
            return super().call(*command)
        [answer] = self.send(command)
        if isinstance(answer, Exception):
            raise translated(answer) from answer
        return answer

    def begin(self, *commands: Command) -> Sent:
        """Send several commands in one go; whoever called reads the answers, or drops them."""
        written = [command for command in commands if command[0] in _WRITES]
        if not written:
            return super().begin(*commands)
        more = [*_marked(written[0]), self._wait]
        return _Waiting(super().begin(*commands, *more), len(commands), self._replicas)


class _Waiting(Sent):
    def __init__(self, sent: Sent, count: int, replicas: int) -> None:
        self._sent = sent
        self._count = count
        self._replicas = replicas

    def answers(self) -> list[Any]:
        """The answers to what was asked, without those of ours."""
        answers = self._sent.answers()
        confirmed = answers[-1]
        asked = answers[: self._count]
        errors = [answer for answer in asked if isinstance(answer, Exception)]
        led = sum(isinstance(error, AskError) for error in errors)
        if len(errors) == len(asked) or len(errors) > led:
            return asked  # nothing was written, or the whole fails: that is what counts
        if isinstance(confirmed, Exception):
            raise translated(confirmed) from confirmed
        if confirmed < self._replicas:
            raise Unavailable(
                f"{confirmed} replicas confirmed in time, {self._replicas} were asked for"
            )
        return asked

    def drop(self) -> None:
        """Nobody will read the answers."""
        self._sent.drop()


def _marked(command: Command) -> Sequence[Command]:
    """A write for certain.

    The command may have nothing to do, because an earlier attempt has; since Redis 8 WAIT would
    then wait for nothing, although that attempt was not confirmed.
    """
    marker = marker_beside(key_of(command))
    return [("SET", marker, b"", "PX", MARKED_FOR)] if marker else []
