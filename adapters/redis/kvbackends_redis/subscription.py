"""Wakes waiters: one connection that listens on the channels of the keys."""

import time
from collections.abc import Collection, Iterator
from typing import Any

from redis.exceptions import RedisError

from kvbackends import Doorbell
from kvbackends_redis.errors import Unavailable, translated

BATCH = 1000
"""Channels in one command."""


class PubSub:
    """A subscriber to the channels that have the names of the keys.

    The published payload is not used: a message may be older than what is stored by now.
    """

    def __init__(self, connection: Any, health_check_interval: float, patience: float) -> None:
        self._connection = connection
        self._interval = health_check_interval
        self._patience = patience
        self._bell = Doorbell()
        self._keys: dict[bytes, str] = {}
        self._changed: set[str] = set()
        self._unconfirmed = 0
        self._heard = time.monotonic()
        self._asked: float | None = None
        self._woken = False

    def watch(self, keys: Collection[str]) -> None:
        """Tell of later changes of these keys too: the server has confirmed each."""
        new = {key.encode(): key for key in keys if key.encode() not in self._keys}
        self._keys.update(new)
        self._command(b"SUBSCRIBE", list(new))
        self._unconfirmed += len(new)
        while self._unconfirmed:
            self._hear()

    def unwatch(self, keys: Collection[str]) -> None:
        """Forget these keys; the server's confirmation is read some time."""
        gone = self._keys.keys() & {key.encode() for key in keys}
        for name in gone:
            self._changed.discard(self._keys.pop(name))
        self._command(b"UNSUBSCRIBE", list(gone))

    def wait(self, timeout: float) -> Collection[str]:
        """The watched keys that were told of since the last call."""
        until = time.monotonic() + timeout
        while not self._was_woken():
            self._hear_all()
            left = until - time.monotonic()
            if self._changed or left <= 0:
                changed, self._changed = self._changed, set()
                return changed
            self._bell.wait(min(left, self._stay_alive()), self._file())
        return ()

    def wake(self) -> None:
        """End a `wait` from any thread."""
        self._woken = True
        self._bell.ring()

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()
        self._bell.close()

    def _was_woken(self) -> bool:
        woken, self._woken = self._woken, False
        return woken

    def _command(self, name: bytes, channels: list[bytes]) -> None:
        for batch in _batches(channels):
            self._send(name, *batch)

    def _hear_all(self) -> None:
        while self._try(self._connection.can_read, 0):
            self._hear()

    def _hear(self) -> None:
        """One message: a change, or an answer to one of our own commands."""
        message = self._try(self._connection.read_response)
        self._heard, self._asked = time.monotonic(), None
        kind = message[0] if isinstance(message, list) else b"pong"
        if kind == b"subscribe":
            self._unconfirmed -= 1
        elif kind == b"message" and message[1] in self._keys:
            self._changed.add(self._keys[message[1]])

    def _stay_alive(self) -> float:
        """Ask a silent server whether it is there; seconds until that is to be done again."""
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
        self._send(b"PING")
        return self._patience

    def _file(self) -> Any:
        return self._connection._sock  # noqa: SLF001 - the driver has no other name for it

    def _send(self, *command: bytes) -> None:
        self._try(self._connection.send_command, *command, check_health=False)

    def _try(self, step: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return step(*arguments, **options)
        except RedisError as error:
            raise translated(error) from error


def _batches(channels: list[bytes]) -> Iterator[list[bytes]]:
    return (channels[start : start + BATCH] for start in range(0, len(channels), BATCH))
