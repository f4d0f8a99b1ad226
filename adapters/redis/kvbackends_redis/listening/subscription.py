"""Wakes waiters."""

import re
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from kvbackends.contract import Doorbell
from kvbackends_redis.connecting.wire import NoDescriptor
from kvbackends_redis.errors import Unavailable
from kvbackends_redis.listening.listener import Listener

_is_random = re.compile(rb"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\Z").search
"""Tells of names that end with a UUID, as those of results do unless somebody chose the id."""

ATTEMPTS = 5
"""Most nodes in a row that a channel is looked for at."""

POLL = 0.005
"""Seconds between two polls of listeners that cannot be selected on."""


class Listeners(Protocol):
    """Who hears which channels."""

    def of(self, names: Iterable[bytes]) -> dict[Listener, list[bytes]]:
        """The channels by their listeners, which are opened where there is none yet."""

    def opened(self) -> Collection[Listener]:
        """All of them."""


class OneListener:
    """Hears all channels of one server."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def of(self, names: Iterable[bytes]) -> dict[Listener, list[bytes]]:
        """The one."""
        return {self._listener: list(names)}

    def opened(self) -> Collection[Listener]:
        """The one."""
        return (self._listener,)


class PubSub:
    """A subscriber to the channels that have the names of the keys.

    A message brings the record.  It may be older than what is stored by now, which is for whoever
    waits to judge.  But it is not told where it may be another's or an earlier one: channels are
    shared by all databases of a server, so only a name that ends with a random id is surely ours;
    and what comes before the confirmation of `watch` may have been on its way since before.
    """

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._bell = Doorbell()
        self._keys: dict[bytes, str] = {}
        self._changed: dict[str, bytes | None] = {}
        self._woken = False

    def watch(self, keys: Collection[str]) -> None:
        """Tell of later changes of these keys too: the server has confirmed each."""
        new = {key.encode(): key for key in keys}
        self._keys.update(new)
        self._changed.update(dict.fromkeys(self._changed.keys() & new.values()))
        self._listen(new)

    def unwatch(self, keys: Collection[str]) -> None:
        """Forget these keys; the server's confirmation is read some time."""
        gone = self._keys.keys() & {key.encode() for key in keys}
        for name in gone:
            self._changed.pop(self._keys.pop(name), None)
        for listener in self._listeners.opened():
            listener.leave(gone)

    def wait(self, timeout: float) -> dict[str, bytes | None] | tuple[()]:
        """The watched keys that were told of since the last call, and their records."""
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
        """End a `wait` from any thread."""
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
        """All are asked before the first confirmation is waited for."""
        names = asked = set(names)
        for _ in range(ATTEMPTS):
            by_listener = self._listeners.of(names)
            for listener, some in by_listener.items():
                listener.listen(some)
            for listener in by_listener:
                listener.confirm()
                self._note(listener.take_told())  # of other keys, too
            names = {name for listener in by_listener for name in listener.take_expelled()}
            if not names:
                return
            # Who watches reads what it asked for; of other keys a message may have been lost.
            self._note(dict.fromkeys(names - asked))
        raise Unavailable("the cluster sends listeners from node to node")

    def _hear(self, longest: float) -> None:
        """Sleep until something has come, and read it."""
        opened = self._listeners.opened()
        pause = min([listener.stay_alive() for listener in opened], default=longest)
        try:
            ready = self._bell.wait(min(longest, pause), *opened)
        except NoDescriptor:
            ready = self._poll(min(longest, pause), opened)
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
        # A message may have been lost on the way of a slot to its new node.
        for name in expelled:
            told.setdefault(name, None)
        self._note(told)
        if expelled:
            self._listen(name for name in expelled if name in self._keys)

    def _note(self, told: dict[bytes, bytes | None]) -> None:
        for name, record in told.items():
            if name in self._keys:
                self._changed[self._keys[name]] = record if _is_random(name) else None
