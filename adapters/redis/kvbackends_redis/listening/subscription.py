"""The subscription of a store: which watched keys have changed."""

import re
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from kvbackends.contract import Doorbell
from kvbackends_redis.connecting.wire import NoDescriptor
from kvbackends_redis.errors import Unavailable
from kvbackends_redis.listening.listener import Listener

_is_random = re.compile(rb"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\Z").search
"""Matches names that end with a UUID, as those of results do unless the caller chose the id."""

ATTEMPTS = 5
"""Maximum number of nodes that are asked in a row for a channel whose slot moves."""

POLL = 0.005
"""Seconds between two polls of listeners that cannot be selected on."""


class Listeners(Protocol):
    """The listeners of a subscription."""

    def of(self, names: Iterable[bytes]) -> dict[Listener, list[bytes]]:
        """The channels by listener; missing listeners are opened."""

    def opened(self) -> Collection[Listener]:
        """All open listeners."""


class OneListener:
    """A single listener, for all channels of one server."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def of(self, names: Iterable[bytes]) -> dict[Listener, list[bytes]]:
        """All channels, by the only listener."""
        return {self._listener: list(names)}

    def opened(self) -> Collection[Listener]:
        """The only listener."""
        return (self._listener,)


class PubSub:
    """A subscription to the channels named after the watched keys.

    A message carries the record, which may be older than the stored one; the waiter decides whether
    it needs to read.  `wait` returns None instead of the record in two cases.  Channels are shared
    by all databases of a server, so a name without a random id may be another database's.  And a
    message that arrives before `watch` is confirmed may have been sent before `watch`.
    """

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._bell = Doorbell()
        self._keys: dict[bytes, str] = {}
        self._changed: dict[str, bytes | None] = {}
        self._woken = False

    def watch(self, keys: Collection[str]) -> None:
        """Watch these keys, too; returns when the server has confirmed each."""
        new = {key.encode(): key for key in keys}
        self._keys.update(new)
        self._changed.update(dict.fromkeys(self._changed.keys() & new.values()))
        self._listen(new)

    def unwatch(self, keys: Collection[str]) -> None:
        """Stop watching these keys; the server's confirmation is read later."""
        gone = self._keys.keys() & {key.encode() for key in keys}
        for name in gone:
            self._changed.pop(self._keys.pop(name), None)
        for listener in self._listeners.opened():
            listener.leave(gone)

    def wait(self, timeout: float) -> dict[str, bytes | None] | tuple[()]:
        """The watched keys that changed since the last call, and their records."""
        until = time.monotonic() + timeout
        left = 0.0 if self._changed else timeout
        while True:
            self._hear(left)
            if self._was_woken():
                return ()
            left = until - time.monotonic()
            if self._changed or left <= 0:
                changed, self._changed = self._changed, {}
                return changed

    def wake(self) -> None:
        """End the current or next `wait`, from any thread."""
        self._woken = True
        self._bell.ring()

    def close(self) -> None:
        """Close the connections."""
        for listener in self._listeners.opened():
            listener.close()
        self._bell.close()

    def _was_woken(self) -> bool:
        woken, self._woken = self._woken, False
        return woken

    def _listen(self, names: Iterable[bytes]) -> None:
        """Subscribe at all nodes, then wait for the confirmations."""
        names = asked = set(names)
        for _ in range(ATTEMPTS):
            by_listener = self._listeners.of(names)
            for listener, some in by_listener.items():
                listener.listen(some)
            for listener in by_listener:
                listener.confirm()
                self._note(listener.take_told())  # including those of other keys
            names = {name for listener in by_listener for name in listener.take_expelled()}
            if not names:
                return
            # The caller of `watch` reads its keys; messages of other moved keys may have been lost.
            self._note(dict.fromkeys(names - asked))
        raise Unavailable("the cluster redirected a subscription too often")

    def _hear(self, longest: float) -> None:
        """Wait for something to read, and read it."""
        opened = self._listeners.opened()
        pause = min([listener.stay_alive() for listener in opened], default=longest)
        try:
            ready = self._bell.wait(min(longest, pause), *opened)
        except NoDescriptor:
            ready = self._poll(min(longest, pause), opened)
        except (OSError, ValueError) as error:
            raise Unavailable("another thread has closed the subscription's connection") from error
        for listener in opened:
            if listener in ready:
                listener.hear()
                self._take(listener)

    def _poll(self, seconds: float, listeners: Collection[Listener]) -> Sequence[Listener]:
        """The listeners with something to read; none after `seconds`, or if the bell rings."""
        until = time.monotonic() + seconds
        while not (ready := [each for each in listeners if each.is_readable()]):
            left = until - time.monotonic()
            if left <= 0 or self._bell.wait(min(left, POLL)):
                break
        return ready

    def _take(self, listener: Listener) -> None:
        told, expelled = listener.take_told(), listener.take_expelled()
        # A message may have been lost while the slot moved.
        for name in expelled:
            told.setdefault(name, None)
        self._note(told)
        if expelled:
            self._listen(name for name in expelled if name in self._keys)

    def _note(self, told: dict[bytes, bytes | None]) -> None:
        for name, record in told.items():
            if name in self._keys:
                self._changed[self._keys[name]] = record if _is_random(name) else None
