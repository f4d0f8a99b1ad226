"""Listeners of a cluster: one per node of the keys, or one without sharded channels."""

from collections.abc import Collection, Iterable
from typing import Any

from redis.exceptions import AskError

from kvbackends_redis.cluster.slots import Node, Slots, slot_of
from kvbackends_redis.errors import Unavailable
from kvbackends_redis.listening.listener import SHARDED, Listener


class _NodeListener(Listener):
    """A listener whose errors and redirections update the map of the cluster."""

    def __init__(self, slots: Slots, node: Node, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._slots = slots
        self._node = node

    def hear(self) -> None:
        """Read what has arrived; if the node is gone, the map may be outdated."""
        try:
            super().hear()
        except Unavailable:
            self._slots.doubt()
            raise

    def _take(self, message: Any) -> None:
        """Handle one message; MOVED is also the answer to unsubscribing from a moved channel."""
        if isinstance(message, AskError):
            self._slots.led_to(message, self._node)
            slot = int(message.slot_id)
            for name in [each for each in self._unconfirmed if slot_of(each) == slot][:1]:
                self._unconfirmed.remove(name)
                self._expel(name)
        else:
            super()._take(message)


class NodeListeners:
    """A listener for each node that serves a watched key.

    Args:
        slots: Map of the cluster.
        arguments: Of each `Listener`: its interval and patience, in seconds.
    """

    def __init__(self, slots: Slots, *arguments: float) -> None:
        self._slots = slots
        self._arguments = arguments
        slots.update()
        # Without sharded channels every node forwards every message, so one listener is enough.
        self._words = (SHARDED,) if slots.sharded else ()
        self._listeners: dict[Node, Listener] = {}

    def of(self, names: Iterable[bytes]) -> dict[Listener, list[bytes]]:
        """The channels by the listener at their node."""
        found: dict[Listener, list[bytes]] = {}
        for name in names:
            found.setdefault(self._listener(name), []).append(name)
        return found

    def opened(self) -> Collection[Listener]:
        """All listeners opened so far."""
        return tuple(self._listeners.values())

    def _listener(self, name: bytes) -> Listener:
        if not self._words and self._listeners:
            return next(iter(self._listeners.values()))
        node = self._slots.node_of(name)
        if node not in self._listeners:
            connection = node.connections.for_listening()
            self._listeners[node] = _NodeListener(
                self._slots, node, connection, *self._arguments, *self._words
            )
        return self._listeners[node]
