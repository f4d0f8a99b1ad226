"""Which node of a cluster serves which slot."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError

from kvbackends_redis.connecting.connections import Connections
from kvbackends_redis.connecting.sentinel import HELLO, Address, field_of
from kvbackends_redis.errors import Refused, Unavailable

PAUSE = 0.1
"""Minimum number of seconds between two reads of the map."""

SHARDED_SINCE = 7
"""The first major version of Redis and Valkey with sharded channels."""


class Node:
    """One server of the cluster."""

    def __init__(self, address: Address, connections: Connections) -> None:
        self.address = address
        self.connections = connections
        self.sharded = False


class Slots:
    """The map of the cluster as it was last read.

    A redirection corrects one slot.  A lost node makes one thread read the whole map again, for
    all threads.

    Args:
        seeds: Addresses of the nodes in the URL.
        connect: Returns the connections to a node.
    """

    def __init__(self, seeds: Sequence[Address], connect: Callable[[Address], Connections]) -> None:
        self._seeds = seeds
        self._connect = connect
        self._nodes: dict[Address, Node] = {}
        self._named = set(seeds)
        self._serving: list[Node | None] = [None] * SLOTS
        self._updating = threading.Lock()
        self._updated = 0.0
        self._known = False
        self._doubted = True
        self.sharded = False
        """Whether every primary has sharded channels."""

    def node_of(self, key: str | bytes) -> Node:
        """The node that serves the key's slot; raises `Unavailable` if there is none."""
        self.update()
        slot = slot_of(key)
        node = self._serving[slot]
        if node is None:
            self._doubted = True
            raise Unavailable(f"no node of the cluster serves slot {slot}")
        return node

    def primaries(self) -> list[Node]:
        """All nodes that serve slots."""
        return list(dict.fromkeys(node for node in self._serving if node is not None))

    def update(self) -> None:
        """Read the map now if it may be outdated."""
        if self._doubted:
            self._update()

    def nodes(self) -> list[Node]:
        """All nodes with connections that the map still names."""
        return list(self._nodes.values())

    def doubt(self) -> None:
        """Read the map again before it is used next."""
        self._doubted = True

    def led_to(self, redirection: AskError, sender: Node) -> Node:
        """The node that a redirection names."""
        node = self._node((redirection.host or sender.address[0], int(redirection.port)))
        if isinstance(redirection, MovedError):
            self._serving[int(redirection.slot_id)] = node
            self._doubted = True  # slots seldom move one at a time
        return node

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            made = Node(address, self._connect(address))
            node = self._nodes.setdefault(address, made)
        return node

    def _update(self) -> None:
        """Read the map in one thread; the others use the old map if there is one."""
        if self._known and self._updating.locked():
            return
        with self._updating:  # not `acquire`: an exception could be raised before the `try`
            if not self._doubted or time.monotonic() - self._updated < PAUSE:
                return
            try:
                self._updated = time.monotonic()
                self._doubted = False
                self._adopt(self._asked())
            except BaseException:
                self._doubted = True
                raise

    def _asked(self) -> tuple[Node, list[Any]]:
        """The map from the first node that answers; nodes in use are asked first."""
        error: Exception | None = None
        for address in self._candidates():
            node = self._node(address)
            try:
                return node, node.connections.call("CLUSTER", "SLOTS")
            except (Unavailable, Refused) as failed:
                error = failed
        if isinstance(error, Refused):
            raise error
        raise Unavailable(f"no node of the cluster answers: {error}") from error

    def _candidates(self) -> Iterable[Address]:
        known = list(self._nodes)
        random.shuffle(known)
        return dict.fromkeys((*known, *self._seeds, *self._named))

    def _adopt(self, answer: tuple[Node, list[Any]]) -> None:
        teller, ranges = answer
        serving: list[Node | None] = [None] * SLOTS
        named = set(self._seeds)
        for first, last, *servers in ranges:
            addresses = [_address(server, teller) for server in servers]
            named.update(addresses)
            serving[first : last + 1] = [self._node(addresses[0])] * (last - first + 1)
        self._serving, self._named = serving, named
        self._known = True
        self.sharded = all(map(_has_sharded_channels, self.primaries()))
        for address in list(self._nodes):  # a copy: a redirection in another thread may add a node
            if address not in named:
                del self._nodes[address]  # calls in progress there are not disturbed


def slot_of(key: str | bytes) -> int:
    """The slot of a key, or of its hash tag if it has one."""
    return key_slot(key.encode() if isinstance(key, str) else key)


def _address(server: Sequence[Any], teller: Node) -> Address:
    """The address of a node; one that does not know its host has that of the answering node."""
    host = server[0].decode() if server[0] else ""
    return (host if host not in ("", "?") else teller.address[0], int(server[1]))


def _has_sharded_channels(node: Node) -> bool:
    """True if the node has sharded channels; asks again as long as it had none."""
    if not node.sharded:
        with suppress(Unavailable, Refused):
            version = field_of(node.connections.call(HELLO), "version")
            node.sharded = int(version.partition(".")[0]) >= SHARDED_SINCE
    return node.sharded
